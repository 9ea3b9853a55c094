/** The stream of one client, without a socket: what it asks for, what it is told, and what if it is slow. */
import { CLOSE_BAD_FRAME, CLOSE_TOO_SLOW, type Filter } from '../api/frames.js'
import { deliverySource } from '../api/notification.js'
import { NotificationFilter } from './filter.js'
import type { Outlet } from './outbox.js'
import type { Answered, Protocol, Requests, Run, StreamPartition, Told } from './protocol.js'

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

/** Deliveries of one kind in one batch, on their way to a client. */
export interface Deliveries {
  /** What delivered them: one of the effects' sources. */
  readonly source: number
  /** When: monotonic milliseconds. */
  readonly timeMs: number
  count: number
}

/** Bytes of notifications that many clients get alike, and the deliveries they tell. */
export interface Block {
  readonly frames: Uint8Array
  readonly deliveries: readonly Deliveries[]
}

/** Gives the frames of notifications `from` to `to` for all clients with this protocol and filter. */
export type Blocks = (session: StreamSession, from: number, to: number) => Block

/** Counts what is on its way to the client. */
export type Observe = (deliveries: readonly Deliveries[]) => void

export class StreamSession implements Requests {
  /** Notifications left out because the reader was slow. */
  dropped = 0
  filter: NotificationFilter
  /** Number of the last notification told, or left out. */
  #cursor: number
  /** First notification left out since the reader fell behind, and when; 0 while it keeps up. */
  #gapFrom = 0
  #behindSinceMs = 0
  /** Answers that wait for a vCPU to wake. */
  readonly #waits = new Set<() => void>()

  /**
   * @param now monotonic milliseconds
   * @param observe told what this client is told
   */
  constructor(
    private readonly partition: StreamPartition,
    private readonly outlet: Outlet,
    readonly protocol: Protocol,
    filter: Filter,
    private readonly limits: SessionLimits,
    private readonly now: () => number,
    private readonly observe: Observe = () => {},
  ) {
    this.filter = new NotificationFilter(filter)
    this.#cursor = partition.lastN
  }

  /** Says hello, and what was missed since `since` if that is asked. */
  begin(since: number | undefined): void {
    const { id, lastN } = this.partition
    this.protocol.hello(this.outlet, id, lastN)
    if (since === undefined || since >= lastN) return
    this.#cursor = since
    this.catchUp()
  }

  /** One message of the client. */
  receive(data: Uint8Array, isBinary: boolean): void {
    const wrong = this.protocol.read(data, isBinary, this)
    if (wrong !== undefined) this.outlet.close(CLOSE_BAD_FRAME, wrong)
  }

  /** A batch: what it makes known comes first, then its answer. */
  apply(id: number, run: (partition: StreamPartition) => Answered): void {
    let answered: Answered
    try {
      answered = run(this.partition)
    } catch (error) {
      const problem = this.partition.describe(error)
      if (problem === undefined) throw error
      this.protocol.refused(this.outlet, id, problem)
      return
    }
    if (answered.halted.length === 0) return this.#answer(answered)
    const end = this.partition.whenAwake(answered.halted, () => {
      this.#waits.delete(end)
      this.#answer(answered)
    })
    this.#waits.add(end)
    this.catchUp()
  }

  /** Another filter, from here on. */
  subscribe(id: number, filter: Filter): void {
    this.catchUp()
    // What the old filter was left out of is told before the new one begins.
    this.#endGap()
    this.filter = new NotificationFilter(filter)
    this.protocol.subscribed(this.outlet, id, this.partition.lastN)
  }

  /** Tells what is new. */
  catchUp(): void {
    const from = this.#cursor + 1
    const to = this.partition.lastN
    if (from > to || !this.#mayTell(from, to)) return
    const told = wantedOf(this.partition.runs(from, to), this.filter)
    for (const { run, wanted } of told) {
      for (const i of wanted) this.protocol.notification(this.outlet, run.words, run.starts[i])
    }
    this.observe(deliveriesOf(told))
  }

  /** Tells what is new in frames that it shares with clients like it. */
  catchUpShared(blocks: Blocks): void {
    const from = this.#cursor + 1
    const to = this.partition.lastN
    if (from > to || !this.#mayTell(from, to)) return
    const { frames, deliveries } = blocks(this, from, to)
    if (frames.length === 0) return
    this.outlet.frames(frames)
    this.observe(deliveries)
  }

  /** Looks after a reader that fell behind; called now and then. */
  tick(): void {
    const buffered = this.outlet.buffered()
    const behindMs = this.#gapFrom === 0 ? 0 : this.now() - this.#behindSinceMs
    if (buffered > this.limits.cutBytes || behindMs > this.limits.cutMs) {
      this.outlet.close(CLOSE_TOO_SLOW, 'the reader is too slow')
    } else if (buffered <= this.limits.budgetBytes / 2) this.#endGap()
  }

  /** The client is gone: nobody waits for an answer any more. */
  end(): void {
    for (const end of this.#waits) end()
    this.#waits.clear()
  }

  #endGap(): void {
    if (this.#gapFrom !== 0) this.protocol.gap(this.outlet, this.#gapFrom, this.#cursor)
    this.#gapFrom = 0
  }

  #answer(answered: Answered): void {
    this.catchUp()
    answered.write(this.outlet)
  }

  /** Moves the cursor. False: the reader is behind, and gets none of this until it has caught up. */
  #mayTell(from: number, to: number): boolean {
    this.#cursor = to
    if (this.#gapFrom === 0 && this.outlet.buffered() <= this.limits.budgetBytes) {
      // A single turn can bring more than the ring holds.
      const { firstN } = this.partition
      if (from < firstN) this.protocol.gap(this.outlet, from, firstN - 1)
      return true
    }
    if (this.#gapFrom === 0) {
      this.#gapFrom = from
      this.#behindSinceMs = this.now()
    }
    for (const { wanted } of wantedOf(this.partition.runs(from, to), this.filter))
      this.dropped += wanted.length
    return false
  }
}

/** The deliveries among notifications, those of one batch and kind together. */
export function deliveriesOf(told: readonly Told[]): Deliveries[] {
  const deliveries: Deliveries[] = []
  for (const { run, wanted } of told) {
    for (const i of wanted) {
      const source = deliverySource(run.words, run.starts[i])
      if (source < 0) continue
      const timeMs = run.timesMs[i]
      const same = deliveries.findLast((each) => each.timeMs === timeMs && each.source === source)
      if (same === undefined) deliveries.push({ source, timeMs, count: 1 })
      else same.count++
    }
  }
  return deliveries
}

/** Those of the notifications in `runs` that pass the filter, by their places in the run. */
export function wantedOf(runs: Iterable<Run>, filter: NotificationFilter): Told[] {
  const told: Told[] = []
  for (const run of runs) {
    const wanted: number[] = []
    for (let i = run.begin; i < run.end; i++) {
      if (filter.isOpen || filter.wants(run.words, run.starts[i])) wanted.push(i)
    }
    if (wanted.length > 0) told.push({ run, wanted })
  }
  return told
}
