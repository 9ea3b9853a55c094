/** One load from its first partition to its last figure. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SynicdClient, SynicdProblem, type SynicdStream, SynicdUnreachable } from '../client/index.js'
import { PORT_BUFFERS } from '../hv/limits.js'
import type { Run, Target } from './connect.js'
import { Figures, type Sample } from './figures.js'
import { Guest } from './guest.js'
import { Harness } from './harness.js'
import { Ledger } from './ledger.js'
import { Lodging } from './lodging.js'
import { Openings } from './openings.js'
import { Pacer } from './pacer.js'
import { LeftBehind, LoadError, type LoadPlan, type LoadProfile, warmupMsOf } from './plan.js'
import { Troubles } from './troubles.js'
import { watch } from './watcher.js'

/** Why it ended: its time was over, somebody ended it, or it could not go on. */
type Ending =
  | { readonly ended: 'time' | 'interrupted' }
  | { readonly ended: 'broken'; readonly reason: unknown }

export interface Outcome {
  readonly plan: LoadPlan
  readonly ending: Ending
  /** 0: it ended earlier, and nothing is left out. */
  readonly warmupSeconds: number
  /** Behind the warm-up. */
  readonly sample: Sample
  /** From here on of the whole run: messages the server took, and those that their guests read. */
  readonly posted: number
  readonly seen: number
  /** Taken by the server, and never seen by a guest that was told all there was to tell. */
  readonly lost: number
  /** Without an answer to the harness or the guest, or on their way when it broke. */
  readonly inDoubt: number
  readonly troubles: Troubles
  /** Partitions that are still there. */
  readonly left: readonly string[]
}

/** Where a load stands. */
export interface Moment {
  readonly elapsedMs: number
  readonly isWarmup: boolean
  readonly troubles: Troubles
}

export interface Observer {
  /** Ends it early. */
  readonly signal: AbortSignal
  /** Does not wait for the last messages either. */
  readonly hurry?: AbortSignal
  /** How long the last messages may take at the end. */
  readonly drainMs?: number
  readonly intervalMs: number
  readonly onInterval: (sample: Sample, now: Moment) => void
  /** So many streams of all are open, and the server takes no more within this second. */
  readonly onOpening?: (open: number, of: number) => void
}

const CALL_TIMEOUT_MS = 10_000
/** How long the last messages may take, unless said otherwise. */
const DRAIN_MS = 5000

/** How often a partition is asked for again, a second apart, where the server refuses for the rate. */
const ATTEMPTS_MAX = 30

/** Machines that queue behind a full slot keep so many; the others have room for the one in the slot. */
const ROOM: Readonly<Partial<Record<LoadProfile, number>>> = { tlfs: PORT_BUFFERS, openvmm: PORT_BUFFERS }

/**
 * Rejected where it could not even begin: with what the client says, or a LoadError; in a LeftBehind where it
 * could not clean up. Whatever ends it later is in the outcome.
 */
export async function runLoad(plan: LoadPlan, observer: Observer): Promise<Outcome> {
  const load = new Load(plan)
  const interrupt = () => load.end({ ended: 'interrupted' })
  observer.signal.addEventListener('abort', interrupt)
  if (observer.signal.aborted) interrupt()
  try {
    await load.setUp(observer)
    await load.measure(observer)
    await load.drain(observer)
    await load.tearDown()
    return load.outcome()
  } catch (reason) {
    const left = await load.tearDown()
    throw left.length === 0 ? reason : new LeftBehind(reason, left)
  } finally {
    observer.signal.removeEventListener('abort', interrupt)
  }
}

class Load {
  readonly #plan: LoadPlan
  readonly #lodging: Lodging
  readonly #figures = new Figures()
  readonly #troubles = new Troubles()
  readonly #halt = new AbortController()
  readonly #openings = new Openings(this.#halt.signal)
  readonly #run: Run
  readonly #targets: Target[] = []
  readonly #streams: SynicdStream[] = []
  readonly #guests: Guest[] = []
  readonly #harnesses: Harness[] = []
  #work: Promise<unknown> = Promise.resolve()
  #ending: Ending | undefined
  #warmupSeconds = 0
  #lost = 0
  #sample: Sample | undefined
  #left: readonly string[] = []

  constructor(plan: LoadPlan) {
    this.#plan = plan
    const client = new SynicdClient(plan.url, { timeoutMs: CALL_TIMEOUT_MS })
    this.#lodging = new Lodging(client, (perSecond) => {
      this.#openings.perSecond = perSecond
    })
    this.#run = {
      plan,
      client,
      figures: this.#figures,
      troubles: this.#troubles,
      halted: this.#halt.signal,
      fail: (reason) => this.end({ ended: 'broken', reason }),
    }
  }

  /** The first reason counts. */
  end(ending: Ending): void {
    if (this.#ending !== undefined) return
    this.#ending = ending
    this.#halt.abort()
    for (const { ledger } of this.#targets) ledger.wake()
  }

  async setUp(observer: Observer): Promise<void> {
    const { partitions, harnesses, watchers, rate } = this.#plan
    for (let i = 0; i < partitions; i++) {
      await this.#createPartition(this.#guestsOf(i))
    }
    if (this.#halt.signal.aborted) return
    const pacer = rate === undefined ? undefined : new Pacer(rate)
    const doors: (() => SynicdStream)[] = []
    for (const [i, target] of this.#targets.entries()) {
      for (let vcpu = 0; vcpu < this.#guestsOf(i); vcpu++) {
        doors.push(() => added(this.#guests, new Guest(this.#run, target, vcpu)).stream)
      }
    }
    for (let i = 0; i < harnesses; i++) {
      const target = this.#targets[i % partitions]
      const guests = this.#guestsOf(i % partitions)
      doors.push(() => added(this.#harnesses, new Harness(this.#run, target, guests, pacer)).stream)
    }
    for (let i = 0; i < watchers; i++) doors.push(() => watch(this.#run, this.#targets[i % partitions]))
    await this.#open(doors, observer)
    if (this.#halt.signal.aborted && this.#ending?.ended === 'interrupted') return
    await Promise.all(this.#guests.map((guest) => guest.setUp()))
  }

  async #open(doors: readonly (() => SynicdStream)[], { onOpening }: Observer): Promise<void> {
    while (this.#streams.length < doors.length) {
      const open = this.#streams.length
      if (open > 0) onOpening?.(open, doors.length)
      const count = await this.#openings.room(doors.length - open)
      if (count === 0) return
      const fresh = doors.slice(open, open + count).map((door) => door())
      this.#streams.push(...fresh)
      await this.#opened(fresh)
    }
  }

  async #opened(streams: readonly SynicdStream[]): Promise<void> {
    try {
      await Promise.all(streams.map(({ opened }) => opened))
    } catch (reason) {
      const { perSecond } = this.#openings
      // Of a refused WebSocket no more is known than that there is none.
      if (!(reason instanceof SynicdUnreachable) || perSecond === undefined) throw reason
      throw new LoadError(
        `the server takes ${perSecond} requests a second from one address (--max-rate), and refused one of ` +
          `ours, so others ask it from here, too: allow more there (${reason.message})`,
      )
    }
  }

  /** Until its time is over or it ends in another way. */
  async measure({ intervalMs, onInterval }: Observer): Promise<void> {
    if (this.#halt.signal.aborted) return
    const { durationMs } = this.#plan
    const warmupMs = warmupMsOf(durationMs)
    const beganAtMs = performance.now()
    this.#figures.restart()
    const timers = [
      setInterval(() => {
        const sample = this.#figures.endInterval()
        // One that the end of the warm-up cut short says little.
        if (sample.seconds * 2000 < intervalMs) return
        onInterval(sample, {
          elapsedMs: performance.now() - beganAtMs,
          isWarmup: this.#warmupSeconds === 0,
          troubles: this.#troubles,
        })
      }, intervalMs),
      setTimeout(() => {
        this.#warmupSeconds = warmupMs / 1000
        this.#figures.restart()
      }, warmupMs),
      setTimeout(() => this.end({ ended: 'time' }), durationMs),
    ]
    const halted = new Promise((resolve) => this.#halt.signal.addEventListener('abort', resolve))
    this.#work = Promise.all(this.#harnesses.map((harness) => harness.work()))
    await halted
    this.#sample = this.#figures.whole()
    for (const timer of timers) clearTimeout(timer)
  }

  /** What is on its way may still arrive; it counts no more. */
  async drain({ drainMs = DRAIN_MS, hurry }: Observer): Promise<void> {
    await within(drainMs, this.#drained(), hurry)
    // A server that has stopped may have answered the harness and not told the guest yet: what a guest has
    // missed is known once it has been answered, and not before.
    let lost = 0
    const judging = this.#guests.map(async (guest) => {
      const missed = await guest.missed()
      lost += missed
    })
    await within(drainMs, Promise.all(judging), hurry)
    if (this.#ending?.ended !== 'broken') this.#lost = lost
  }

  async #drained(): Promise<void> {
    await this.#work
    if (this.#ending?.ended === 'broken') return
    for (const { ledger } of this.#targets) while (ledger.inFlight > 0) await ledger.changed()
  }

  /** Never rejected. The partitions that are still there. */
  async tearDown(): Promise<readonly string[]> {
    this.#halt.abort()
    await Promise.all(this.#streams.map((stream) => stream.close()))
    this.#left = this.#plan.keep ? this.#lodging.ids : await this.#lodging.clear()
    return this.#left
  }

  outcome(): Outcome {
    const ending = this.#ending ?? { ended: 'time' }
    return {
      plan: this.#plan,
      ending,
      warmupSeconds: this.#warmupSeconds,
      sample: this.#sample ?? this.#figures.whole(),
      posted: this.#sum(({ posted }) => posted),
      seen: this.#sum(({ seen }) => seen),
      lost: this.#lost,
      inDoubt: this.#sum(({ inFlight }) => inFlight) - this.#lost,
      troubles: this.#troubles,
      left: this.#left,
    }
  }

  #sum(of: (ledger: Ledger) => number): number {
    return this.#targets.reduce((total, { ledger }) => total + of(ledger), 0)
  }

  /** Of the partition with this index. */
  #guestsOf(index: number): number {
    const { guests, partitions } = this.#plan
    return Math.floor(guests / partitions) + (index < guests % partitions ? 1 : 0)
  }

  async #createPartition(guests: number): Promise<void> {
    const { profile } = this.#plan
    for (let left = ATTEMPTS_MAX; (await this.#openings.room(1)) > 0; left--) {
      try {
        const pid = await this.#lodging.create(profile, guests)
        this.#targets.push({ pid, ledger: new Ledger(guests, ROOM[profile] ?? 1) })
        return
      } catch (reason) {
        const isRate = reason instanceof SynicdProblem && reason.code === 'too-many-requests'
        if (!isRate || left === 0) throw reason
        this.#openings.refused()
      }
    }
  }
}

function added<T>(list: T[], each: T): T {
  list.push(each)
  return each
}

async function within(ms: number, work: Promise<unknown>, hurry?: AbortSignal): Promise<void> {
  const timer = new AbortController()
  const signal = hurry === undefined ? timer.signal : AbortSignal.any([timer.signal, hurry])
  try {
    await Promise.race([work, sleep(ms, undefined, { signal }).catch(() => {})])
  } finally {
    timer.abort()
  }
}
