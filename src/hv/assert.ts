/** Programmer errors only: a guest outcome or a client mistake is never an assertion. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${what}`)
}
