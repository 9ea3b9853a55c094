// What is wrong with what a replay was given, told in one line: the command ends with status 2.

/** A mistake of the caller: a file that cannot be read, a line that is no op, a server that refuses. */
export class ReplayInputError extends Error {}

/** The reason an unknown error gives, in one line. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  // fetch says "fetch failed" and keeps the reason in its cause.
  const text = cause instanceof Error && cause.message !== '' ? cause.message : error.message
  return text.split('\n', 1)[0]
}
