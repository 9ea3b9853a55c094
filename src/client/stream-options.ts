/** How a stream is opened, and its defaults. */
import type { StreamCodec, StreamFilter } from './codec.js'
import type { StreamEvent } from './events.js'
import type { WebSocketConstructor } from './web-socket.js'

/** `connecting` also between two connections; `closed` is for good. */
export type StreamState = 'connecting' | 'open' | 'closed'

/** How to come back after a break: the wait doubles with each attempt, and half of it is chance. */
export interface Reconnect {
  /** First and longest wait in milliseconds; 100 and 10,000 unless given. */
  readonly minMs?: number
  readonly maxMs?: number
  /**
   * Attempts in a row that may fail before the stream ends; no limit unless given. A connection that brought
   * nothing but a hello, and ended before the longest wait was over, is one of them.
   */
  readonly attemptsMax?: number
}

export interface StreamOptions extends StreamFilter {
  /** First tell what came after this notification; without it, what comes from now on. */
  readonly since?: number | undefined
  /**
   * `createdAt` of the stream that gave `since`: if the partition is another one by now, the event
   * `restarted` tells so, and all of it follows.
   */
  readonly createdAt?: string | undefined
  /** Who acts in ops that name no actor. */
  readonly actor?: string | undefined
  /** Ends the stream; whoever waits is rejected with its reason. */
  readonly signal?: AbortSignal | undefined
  /** Takes each event as it comes, before the answer of the batch that caused it; then there is no loop. */
  readonly onEvent?: (event: StreamEvent) => void
  /** Told of each change; `cause` says why a connection ended. */
  readonly onState?: (state: StreamState, cause?: unknown) => void
  /** Events kept for the loop; 16,384 unless given. Beyond, the newest are left out and told as a gap. */
  readonly eventsMax?: number
  /** Batches that may wait to be sent or answered; 10,000 unless given. Beyond, `ops` is rejected. */
  readonly pendingMax?: number
  /** False: the first break ends the stream. */
  readonly reconnect?: Reconnect | false
  /** Milliseconds a connection may take up to its hello; 10,000 unless given. */
  readonly connectTimeoutMs?: number
  /** Milliseconds of silence before the server is asked for a sign of life; 30,000 unless given. */
  readonly idleMs?: number
  /** The subprotocol: `jsonCodec` unless given; for load, `binaryCodec` of `synicd/client/binary`. */
  readonly codec?: StreamCodec
  /** Instead of the global one, or where there is none, that of the package `ws`. */
  readonly WebSocket?: WebSocketConstructor
  /** Sent with the upgrade request; browsers cannot. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface SendOptions {
  /** Apply nothing behind the first op that faults or fails. */
  readonly stopOnFault?: boolean
  /** Gives up waiting. A batch not yet sent is not sent; one that was may still be applied. */
  readonly signal?: AbortSignal | undefined
}

export interface CloseOptions {
  readonly drain?: boolean
  readonly signal?: AbortSignal | undefined
}

export const EVENTS_MAX = 16_384
export const PENDING_MAX = 10_000
export const CONNECT_TIMEOUT_MS = 10_000
export const IDLE_MS = 30_000

const RECONNECT = { minMs: 100, maxMs: 10_000, attemptsMax: Number.POSITIVE_INFINITY }

/** `reconnect` with its defaults. */
export function reconnectRule(given: Reconnect | false = {}): Required<Reconnect> {
  return given === false ? { ...RECONNECT, attemptsMax: 0 } : { ...RECONNECT, ...given }
}

/** Milliseconds to wait after so many failures: between half and all of what doubling gives. */
export function backoffMs({ minMs, maxMs }: Required<Reconnect>, failures: number): number {
  return Math.min(maxMs, minMs * 2 ** failures) * (0.5 + Math.random() / 2)
}
