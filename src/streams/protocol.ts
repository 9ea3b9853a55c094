/** What a session needs of a subprotocol: frames of the client read, frames to the client written. */
import type { Filter } from '../api/frames.js'
import type { RecordBuffer } from '../api/records.js'
import type { Incoming } from './incoming.js'
import type { Outlet } from './outbox.js'
import type { FrameBuffer } from './websocket-frames.js'

/** A batch in a client's frame, as records. */
export interface RecordBatch {
  readonly words: Int32Array
  readonly from: number
  readonly end: number
  readonly count: number
  readonly nameOf: (number: number) => string | undefined
}

export interface BatchOutcome {
  readonly seq: number
  readonly applied: number
  /** vCPUs that the batch blocked, and that are still blocked. */
  readonly halted: readonly number[]
}

/** Consecutive notifications: `begin` up to `end` of those that begin in `words` where `starts` says. */
export interface Run {
  readonly words: Int32Array
  readonly starts: Int32Array
  /** When each was: monotonic milliseconds. */
  readonly timesMs: Float64Array
  readonly begin: number
  readonly end: number
}

/** The partition as a session sees it; the composition root fits the engine to it. */
export interface StreamPartition {
  readonly id: string
  /** Tells it from others that have had, or will have, the same id. */
  readonly createdAt: Date
  /** Number of the newest notification, and of the oldest still kept. */
  readonly lastN: number
  readonly firstN: number
  /** The oldest of notifications `from` to `to` that are kept, as many as lie together. */
  run(from: number, to: number): Run | undefined
  /** Everybody has been told what is new. */
  settle(): void
  /** Results as JSON texts. Throws what `describe` can tell. */
  applyBatch(
    ops: readonly unknown[],
    stopOnFault: boolean,
  ): BatchOutcome & { readonly results: readonly string[] }
  /** Results as records, appended to `out`. Throws what `describe` can tell. */
  applyRecords(batch: RecordBatch, stopOnFault: boolean, out: RecordBuffer): BatchOutcome
  /** Calls `done` once each of these vCPUs has been awake; returns what ends the wait. */
  whenAwake(vcpus: readonly number[], done: () => void): () => void
  /** An error as a problem document; undefined if it is no client's mistake. */
  describe(error: unknown): object | undefined
}

/** A batch that was applied, and its answer. */
export interface Answered {
  readonly halted: readonly number[]
  /** What it takes to keep the answer. */
  readonly bytes: number
  /** Writes the answer; at once, or later if `halted` is not empty. */
  write(outlet: Outlet): void
}

/** A batch that a client's frame asks for. */
export interface Batch {
  /** What is returned holds until the next batch, unless it is one that waits. */
  applyTo(partition: StreamPartition): Answered
}

/** What the client's frames ask for. */
export interface Requests {
  /** False: what follows in the message waits until the client has read its answers, or for ever. */
  mayAsk(): boolean
  apply(id: number, batch: Batch): void
  subscribe(id: number, filter: Filter): void
}

export interface Protocol {
  /**
   * Reads one message and hands on what it asks for.
   * @returns what is wrong with it, if it is none of this protocol; or the rest of it, where it may not ask
   *   for more for now
   */
  read(message: Incoming, requests: Requests): string | Incoming | undefined
  hello(outlet: Outlet, partition: StreamPartition): void
  refused(outlet: Outlet, id: number, problem: object): void
  subscribed(outlet: Outlet, id: number, n: number): void
  gap(outlet: Outlet, from: number, to: number): void
  /** One notification to one client. */
  notification(outlet: Outlet, words: Int32Array, at: number): void
  /** Names this protocol; and notifications as frames that all its clients can be sent. */
  readonly name: string
  share(run: Run, wanted: readonly number[], frames: FrameBuffer): void
}
