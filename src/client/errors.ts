/** Everything that can go wrong between a client and a server, one class a case. */
import type { FieldProblem, ProblemCode } from '../api/problem.js'

/** All errors of this client; what an `AbortSignal` brings is rejected as it is. */
export class SynicdError extends Error {
  override name = 'SynicdError'
}

/** A problem document as far as a client reads it. */
export interface ProblemDocument {
  readonly type: string
  readonly title?: string | undefined
  readonly status?: number | undefined
  readonly detail?: string | undefined
  readonly errors?: readonly FieldProblem[] | undefined
  readonly request_id?: string | undefined
}

const TYPE_PREFIX = '/problems/'

/** Is this a problem document of synicd? A proxy in between may send some of its own. */
export function isProblem(value: unknown): value is ProblemDocument {
  if (typeof value !== 'object' || value === null || !('type' in value)) return false
  return typeof value.type === 'string' && value.type.startsWith(TYPE_PREFIX)
}

/** The server refused (RFC 9457): nothing was changed. `code` is a section of docs/problems.md. */
export class SynicdProblem extends SynicdError {
  override name = 'SynicdProblem'
  /** A server newer than this client may send a code that is not in the type. */
  readonly code: ProblemCode
  /** HTTP status; on a stream, what REST would have answered, 0 if it does not say. */
  readonly status: number
  readonly title: string
  readonly detail: string
  /** What is wrong with which field: paths as in `ops/3/vcpu`. Empty if it is no single field. */
  readonly errors: readonly FieldProblem[]
  /** Find it in the server's log by this; streams have none. */
  readonly requestId: string | undefined

  constructor(problem: ProblemDocument) {
    const { type, title = '', status = 0, detail = title, errors = [] } = problem
    super(detail === '' ? type : detail)
    this.code = type.slice(TYPE_PREFIX.length) as ProblemCode
    this.status = status
    this.title = title
    this.detail = detail
    this.errors = errors
    this.requestId = problem.request_id
  }
}

/** No answer came: no connection, or it broke; `cause` says why. What was sent may have been applied. */
export class SynicdUnreachable extends SynicdError {
  override name = 'SynicdUnreachable'

  constructor(
    readonly url: string,
    cause?: unknown,
  ) {
    super(`cannot reach ${url}${reasonOf(cause)}`, { cause })
  }
}

/** No answer came in time. The request may have been applied. */
export class SynicdTimeout extends SynicdError {
  override name = 'SynicdTimeout'

  constructor(
    readonly url: string,
    readonly timeoutMs: number,
  ) {
    super(`no answer from ${url} within ${timeoutMs} ms`)
  }
}

/** An answer that is not synicd's: another server, or a proxy in between. */
export class SynicdUnexpectedReply extends SynicdError {
  override name = 'SynicdUnexpectedReply'

  /** @param excerpt the beginning of what came */
  constructor(
    readonly url: string,
    readonly status: number,
    readonly excerpt: string,
    cause?: unknown,
  ) {
    const text = excerpt === '' ? 'with nothing in it' : `that begins ${JSON.stringify(excerpt)}`
    super(`${url} gave an answer that is not synicd's: status ${status}, ${text}`, { cause })
  }
}

/**
 * The stream broke after a batch was sent and before it was answered: it **may or may not have been
 * applied**. It is never sent again by itself. Whoever needs to know reads the state, or `/log`, before
 * trying again.
 */
export class SynicdInterrupted extends SynicdError {
  override name = 'SynicdInterrupted'

  constructor(cause: unknown) {
    super('the stream broke before the answer came: the batch may or may not have been applied', { cause })
  }
}

/** The batch was longer than a message to this server may be: it was not applied, and never will be. */
export class SynicdTooLarge extends SynicdError {
  override name = 'SynicdTooLarge'

  /** @param bytes of the message that it made */
  constructor(readonly bytes: number) {
    super(`the server takes no message as long as this batch's, of ${bytes} bytes: send it in parts`)
  }
}

/** The stream is over. */
export class SynicdStreamClosed extends SynicdError {
  override name = 'SynicdStreamClosed'

  /**
   * @param code 4000 bad frame or query, 4001 unauthorized, 4004 no such partition, 4010 partition deleted,
   * 1000 closed by this side
   */
  constructor(
    readonly code: number,
    readonly reason: string,
  ) {
    super(`the stream is closed: ${reason === '' ? unsaid(code) : reason} (${code})`)
  }
}

/** RFC 6455, section 7.1.5: the code of a connection that ended without one. */
const CLOSED_ABNORMALLY = 1006
const unsaid = (code: number) => (code === CLOSED_ABNORMALLY ? 'the connection broke' : 'no reason given')

/** More batches wait for their answers than the stream may keep; nothing was sent. */
export class SynicdBusy extends SynicdError {
  override name = 'SynicdBusy'

  constructor(readonly pendingMax: number) {
    super(`${pendingMax} batches wait already`)
  }
}

/** `: ` and what an error says; `fetch` hides the reason in `cause`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const inner = error.cause instanceof Error ? error.cause : error
  // Node tries several addresses and puts the reasons into a list; the error itself says nothing then.
  const [first = inner] = inner instanceof AggregateError ? (inner.errors as Error[]) : [inner]
  // What OpenSSL says has more than one line.
  const [line] = first.message.trim().split('\n')
  return line === '' ? '' : `: ${line}`
}
