/** The stream of one client, without a socket: what it asks for, what it is told, and what if it is slow. */
import { CLOSE_BAD_FRAME, CLOSE_TOO_SLOW, type Filter } from '../api/frames.js'
import { deliverySource, numberOf } from '../api/notification.js'
import type { Shared } from './arena.js'
import { NotificationFilter } from './filter.js'
import type { Incoming } from './incoming.js'
import type { Outlet } from './outbox.js'
import type { Answered, Batch, Protocol, Requests, Run, StreamPartition } from './protocol.js'

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

/** What an answer that waits takes besides its own bytes. */
const HELD_BYTES = 512

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
  /** Number of the first notification of its run, and whose clients it fits. */
  readonly first: number
  readonly likeness: string
  readonly frames: Shared
  readonly deliveries: readonly Deliveries[]
}

/** Gives the frames of a run for all clients with this protocol and filter. */
export type Blocks = (session: StreamSession, run: Run) => Block

/** Counts what is on its way to the client. */
export type Observe = (deliveries: readonly Deliveries[]) => void

export class StreamSession implements Requests {
  /** Notifications left out because the reader was slow. */
  dropped = 0
  #filter: NotificationFilter
  /** Sessions with the same one get the same frames. */
  likeness = ''
  /** Number of the last notification told, or left out. */
  #cursor: number
  /** Since when there is more than the reader has read; null while it keeps up. */
  #behindSinceMs: number | null = null
  /** First notification left out since then; 0 while none is. */
  #gapFrom = 0
  /** A replay is told as the reader reads, and what comes meanwhile waits in the ring behind it. */
  #hasBacklog = false
  #isClosed = false
  /** What lies unread is an answer that is longer than notifications may come to. */
  #hasLongAnswer = false
  /** Answers that were due meanwhile. */
  #dueAnswers: Answered[] = []
  /** Answers that wait for a vCPU to wake. */
  readonly #waits = new Set<() => void>()
  #heldBytes = 0

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
    this.#filter = this.#become(filter)
    this.#cursor = partition.lastN
  }

  /** There is more to tell before the client may ask for something: its answer comes behind that. */
  get hasBacklog(): boolean {
    return this.#hasBacklog
  }

  /** Something waits for the reader to read. */
  get isBehind(): boolean {
    return this.#hasBacklog || this.#behindSinceMs !== null
  }

  /** Notifications left out since the last call. */
  takeDropped(): number {
    const { dropped } = this
    this.dropped = 0
    return dropped
  }

  get filter(): NotificationFilter {
    return this.#filter
  }

  #become(filter: Filter): NotificationFilter {
    const made = new NotificationFilter(filter)
    this.likeness = `${this.protocol.name} ${made.key}`
    return made
  }

  /**
   * Says hello, and what was missed since `since` if that is asked.
   * @param createdAtMs when the partition was made that counted up to `since`: of another one since then all
   *   was missed
   */
  begin(since: number | undefined, createdAtMs?: number): void {
    const { createdAt, lastN } = this.partition
    this.protocol.hello(this.outlet, this.partition)
    if (since === undefined) return
    const isAnother = createdAtMs !== undefined && createdAtMs !== createdAt.getTime()
    const seen = isAnother ? 0 : since
    if (seen >= lastN) return
    this.#cursor = seen
    this.#hasBacklog = true
    this.catchUp()
  }

  /**
   * One message of the client.
   * @returns the rest of it, where its answers so far are more than may lie unread: to be received when they
   *   have been read
   */
  receive(message: Incoming): Incoming | undefined {
    const wrong = this.protocol.read(message, this)
    if (typeof wrong === 'string') this.#close(CLOSE_BAD_FRAME, wrong)
    return typeof wrong === 'string' || this.#isClosed ? undefined : wrong
  }

  mayAsk(): boolean {
    return !this.#isClosed && !this.#hasBacklog && this.outlet.buffered() <= this.limits.budgetBytes
  }

  #close(code: number, reason: string): void {
    this.#isClosed = true
    this.outlet.close(code, reason)
  }

  /** A batch: what it makes known comes first, then its answer. */
  apply(id: number, batch: Batch): void {
    let answered: Answered
    try {
      answered = batch.applyTo(this.partition)
    } catch (error) {
      const problem = this.partition.describe(error)
      if (problem === undefined) throw error
      this.protocol.refused(this.outlet, id, problem)
      return
    }
    if (answered.halted.length === 0) return this.#answer(answered)
    this.#hold(answered)
    this.catchUp()
  }

  /** Keeps an answer until the vCPUs that its batch blocked have been awake. */
  #hold(answered: Answered): void {
    const bytes = answered.bytes + HELD_BYTES
    this.#heldBytes += bytes
    const end = this.partition.whenAwake(answered.halted, () => {
      this.#waits.delete(end)
      this.#heldBytes -= bytes
      this.#answer(answered)
    })
    this.#waits.add(end)
    if (this.#heldBytes > this.limits.cutBytes) {
      this.#close(CLOSE_TOO_SLOW, 'too many answers wait for a wake')
    }
  }

  /** Another filter, from here on. */
  subscribe(id: number, filter: Filter): void {
    this.#tellAll()
    // What the old filter was left out of is told before the new one begins.
    this.#endGap()
    this.#filter = this.#become(filter)
    this.protocol.subscribed(this.outlet, id, this.partition.lastN)
  }

  /** Tells what is new. */
  catchUp(): void {
    this.#tell(this.#write)
  }

  /** The same, however much has come in this turn; a reader with too much unread gets no more. */
  #tellAll(): void {
    const { budgetBytes } = this.limits
    this.#tell(this.#write, this.outlet.buffered() > budgetBytes ? budgetBytes : Number.POSITIVE_INFINITY)
  }

  readonly #write = (run: Run): void => {
    const wanted = wantedOf(run, this.filter)
    for (const i of wanted) this.protocol.notification(this.outlet, run.words, run.starts[i])
    this.observe(deliveriesOf(run, wanted))
  }

  /** Tells what is new in frames that it shares with clients like it. */
  catchUpShared(blocks: Blocks): void {
    this.#tell((run) => {
      const { frames, deliveries } = blocks(this, run)
      if (frames.bytes.length === 0) return
      this.outlet.frames(frames)
      this.observe(deliveries)
    })
  }

  /** Looks after a reader that fell behind; called now and then, and when it has read. */
  tick(): void {
    const buffered = this.outlet.buffered()
    const behindMs = this.#behindSinceMs === null ? 0 : this.now() - this.#behindSinceMs
    // An answer may be longer than what may lie unread; it is no reason to cut off who reads it.
    const isFull = this.#behindSinceMs !== null && !this.#hasLongAnswer && buffered > this.limits.cutBytes
    if (isFull || behindMs > this.limits.cutMs) {
      this.#close(CLOSE_TOO_SLOW, 'the reader is too slow')
    } else if (buffered <= this.limits.budgetBytes / 2) {
      this.#hasLongAnswer = false
      this.#endGap()
      this.catchUp()
      if (!this.#hasBacklog) for (const answered of this.#dueAnswers.splice(0)) this.#answer(answered)
    }
  }

  /** The client is gone: nobody waits for an answer any more. */
  end(): void {
    for (const end of this.#waits) end()
    this.#waits.clear()
    this.#dueAnswers = []
  }

  #endGap(): void {
    if (this.#gapFrom !== 0 && this.#gapFrom <= this.#cursor) {
      this.protocol.gap(this.outlet, this.#gapFrom, this.#cursor)
    }
    this.#gapFrom = 0
    this.#behindSinceMs = null
  }

  /** Behind what is to tell. Only an answer that waited can meet a backlog. */
  #answer(answered: Answered): void {
    if (this.#hasBacklog) {
      this.#dueAnswers.push(answered)
      return
    }
    this.#tellAll()
    answered.write(this.outlet)
    this.#hasLongAnswer ||= this.outlet.buffered() > this.limits.cutBytes
  }

  /**
   * Moves the cursor over what is new, run by run. A reader that has left too much unread gets none of it;
   * one for whom this alone is too much at once gets the rest as it reads.
   */
  #tell(write: (run: Run) => void, budgetBytes = this.limits.budgetBytes): void {
    const { lastN } = this.partition
    if (this.#cursor >= lastN) return
    const isLost = this.#cursor + 1 < this.partition.firstN
    // Who wants to know nothing, as those who only post, is never behind.
    if (this.filter.isClosed && !isLost && this.#gapFrom === 0) {
      this.#cursor = lastN
      this.#hasBacklog = false
      this.#behindSinceMs = null
      return
    }
    if (this.outlet.buffered() > budgetBytes) {
      this.#behindSinceMs ??= this.now()
      // What is replayed waits in the ring, what is new is left out.
      if (this.#hasBacklog) return
      if (this.#gapFrom === 0) this.#gapFrom = this.#cursor + 1
    }
    if (this.#gapFrom !== 0) this.#leaveOut(lastN)
    else {
      if (isLost) this.#tellLost()
      if (!this.#tellRuns(lastN, write, budgetBytes)) {
        this.#behindSinceMs ??= this.now()
        return
      }
    }
    this.#hasBacklog = false
    if (this.#gapFrom === 0) this.#behindSinceMs = null
  }

  /** Tells what the ring has lost: what waits, or comes in a single turn, can be more than it holds. */
  #tellLost(): void {
    const { firstN } = this.partition
    this.protocol.gap(this.outlet, this.#cursor + 1, firstN - 1)
    // Told once, even if nothing of it is kept and nothing has come since.
    this.#cursor = firstN - 1
  }

  /** Tells runs up to number `lastN`; false: the reader has enough to read before that. */
  #tellRuns(lastN: number, write: (run: Run) => void, budgetBytes: number): boolean {
    for (;;) {
      const run = this.#nextRun(lastN)
      if (run === undefined) return true
      if (this.outlet.buffered() > budgetBytes) return false
      write(run)
      this.#cursor = lastOf(run)
    }
  }

  /** Counts what is wanted up to number `lastN`, which the gap will tell. */
  #leaveOut(lastN: number): void {
    for (let run = this.#nextRun(lastN); run !== undefined; run = this.#nextRun(lastN)) {
      this.dropped += wantedOf(run, this.filter).length
      this.#cursor = lastOf(run)
    }
  }

  #nextRun(lastN: number): Run | undefined {
    return this.#cursor < lastN ? this.partition.run(this.#cursor + 1, lastN) : undefined
  }
}

const lastOf = (run: Run) => numberOf(run.words, run.starts[run.end - 1])

/** The deliveries among notifications of a run, those of one batch and kind together. */
export function deliveriesOf(run: Run, wanted: readonly number[]): Deliveries[] {
  const deliveries: Deliveries[] = []
  for (const i of wanted) {
    const source = deliverySource(run.words, run.starts[i])
    if (source < 0) continue
    const timeMs = run.timesMs[i]
    // Those of one batch stand together, so that few are looked at.
    let last = deliveries.length - 1
    while (last >= 0 && deliveries[last].timeMs === timeMs && deliveries[last].source !== source) last--
    if (last >= 0 && deliveries[last].timeMs === timeMs) deliveries[last].count++
    else deliveries.push({ source, timeMs, count: 1 })
  }
  return deliveries
}

/** Those of a run that pass the filter, by their places in it. */
export function wantedOf(run: Run, filter: NotificationFilter): number[] {
  const wanted: number[] = []
  for (let i = run.begin; i < run.end; i++) {
    if (filter.isOpen || filter.wants(run.words, run.starts[i])) wanted.push(i)
  }
  return wanted
}
