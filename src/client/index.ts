/** Public surface of `synicd/client`. */
export type { FieldProblem, ProblemCode } from '../api/problem.js'
export type { Result } from '../api/result.js'
export type { Notification } from '../api/server-frames.js'
export type { CallInput, CallOptions, CallReply, Calls, Op } from './calls.js'
export { jsonCodec, type StreamCodec, type StreamFilter } from './codec.js'
export type { OperationId } from './endpoints.js'
export {
  SynicdBusy,
  SynicdError,
  SynicdInterrupted,
  SynicdProblem,
  SynicdStreamClosed,
  SynicdTimeout,
  SynicdTooLarge,
  SynicdUnexpectedReply,
  SynicdUnreachable,
} from './errors.js'
export type { Gap, Restarted, StreamEvent } from './events.js'
export { type BatchOptions, type BatchResult, Partition } from './partition.js'
export { type ClientOptions, type Fetch, SynicdClient } from './rest.js'
export { SynicdStream } from './stream.js'
export type { CloseOptions, Reconnect, SendOptions, StreamOptions, StreamState } from './stream-options.js'
export type { WebSocketConstructor, WebSocketLike } from './web-socket.js'
