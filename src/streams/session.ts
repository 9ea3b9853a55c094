/**
 * The JSON stream of one client, without a socket: frames in, frames out, and what happens to a slow reader.
 */
import {
  CLOSE_BAD_FRAME,
  CLOSE_TOO_SLOW,
  ClientFrame,
  type Filter,
  JSON_PROTOCOL,
  type NotificationKind,
} from '../api/frames.js'

/** The partition as a session sees it; the composition root fits the engine to it. */
export interface StreamPartition {
  readonly id: string
  /** Number of the newest notification, and of the oldest still kept. */
  readonly lastN: number
  readonly firstN: number
  after(n: number): readonly StreamNotification[]
  /** Results as JSON texts. Throws what `describe` can tell. */
  applyBatch(ops: readonly unknown[], stopOnFault: boolean): { seq: number; results: readonly string[] }
  /** An error as the members of a problem document; undefined if it is no client's mistake. */
  describe(error: unknown): object | undefined
}

export interface StreamNotification {
  readonly n: number
  readonly kind: string
  readonly vcpu: number
  readonly text: string
}

/** Where frames go. */
export interface Sink {
  send(text: string): void
  /** Bytes accepted and not yet written out. */
  buffered(): number
  close(code: number, reason: string): void
}

export interface SessionLimits {
  /** Beyond this many unsent bytes notifications are left out, and told as a gap. */
  readonly budgetBytes: number
  /** Beyond these, or behind for this long, the client is cut off. */
  readonly cutBytes: number
  readonly cutMs: number
}

export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  budgetBytes: 4 * 1024 * 1024,
  cutBytes: 16 * 1024 * 1024,
  cutMs: 30_000,
}

export class StreamSession {
  /** Notifications left out because the reader was slow. */
  dropped = 0
  #kinds: ReadonlySet<string> | null
  #vcpus: ReadonlySet<number> | null
  /** First notification left out since the reader fell behind, and when; 0 while it keeps up. */
  #gapFrom = 0
  #behindSinceMs = 0

  /** @param now monotonic milliseconds */
  constructor(
    private readonly partition: StreamPartition,
    private readonly sink: Sink,
    filter: Filter,
    private readonly limits: SessionLimits,
    private readonly now: () => number,
  ) {
    this.#kinds = setOf(filter.kinds)
    this.#vcpus = setOf(filter.vcpus)
  }

  /** Says hello, and what was missed since `since` if that is asked. */
  begin(since: number | undefined): void {
    const { id, lastN, firstN } = this.partition
    this.sink.send(JSON.stringify({ hello: { partition: id, n: lastN, protocol: JSON_PROTOCOL } }))
    if (since === undefined || since >= lastN) return
    if (since + 1 < firstN) this.#tellGap(since + 1, firstN - 1)
    this.notify(this.partition.after(since))
  }

  /** One text frame of the client. */
  receive(text: string): void {
    const frame = parseFrame(text)
    if (frame === undefined) {
      this.sink.close(CLOSE_BAD_FRAME, 'a frame is {"id","ops"} or {"id","subscribe"}')
    } else if ('subscribe' in frame) {
      this.#kinds = setOf(frame.subscribe.kinds)
      this.#vcpus = setOf(frame.subscribe.vcpus)
      this.sink.send(`{"id":${frame.id},"n":${this.partition.lastN}}`)
    } else this.#apply(frame.id, frame.ops, frame.stop_on_fault === true)
  }

  /** New notifications, oldest first. A reader that is behind gets none until it has caught up. */
  notify(news: readonly StreamNotification[]): void {
    for (const notification of news) {
      if (!this.#wants(notification)) continue
      if (this.#gapFrom !== 0) this.dropped++
      else if (this.sink.buffered() > this.limits.budgetBytes) {
        this.#gapFrom = notification.n
        this.#behindSinceMs = this.now()
        this.dropped++
      } else this.sink.send(notification.text)
    }
  }

  /** Looks after a reader that fell behind; called now and then. */
  tick(): void {
    const buffered = this.sink.buffered()
    const behindMs = this.#gapFrom === 0 ? 0 : this.now() - this.#behindSinceMs
    if (buffered > this.limits.cutBytes || behindMs > this.limits.cutMs) {
      this.sink.close(CLOSE_TOO_SLOW, 'the reader is too slow')
    } else if (this.#gapFrom !== 0 && buffered <= this.limits.budgetBytes / 2) {
      const from = this.#gapFrom
      this.#gapFrom = 0
      this.#tellGap(from, this.partition.lastN)
    }
  }

  #apply(id: number, ops: readonly unknown[], stopOnFault: boolean): void {
    let answer: string
    try {
      const { seq, results } = this.partition.applyBatch(ops, stopOnFault)
      answer = `{"id":${id},"seq":${seq},"results":[${results.join(',')}]}`
    } catch (error) {
      const problem = this.partition.describe(error)
      if (problem === undefined) throw error
      answer = JSON.stringify({ id, problem })
    }
    this.sink.send(answer)
  }

  #tellGap(from: number, to: number): void {
    this.sink.send(`{"gap":{"from":${from},"to":${to}}}`)
  }

  #wants({ kind, vcpu }: StreamNotification): boolean {
    if (this.#kinds !== null && !this.#kinds.has(kind)) return false
    // What concerns the whole partition concerns every vCPU.
    return this.#vcpus === null || vcpu < 0 || this.#vcpus.has(vcpu)
  }
}

function setOf<T extends number | NotificationKind>(items: readonly T[] | undefined): ReadonlySet<T> | null {
  return items === undefined ? null : new Set(items)
}

function parseFrame(text: string) {
  try {
    return ClientFrame.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
