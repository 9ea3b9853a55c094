/** Realtime partitions: wakes each when its next timer is due, with one timer of the process for all. */
import type { PartitionHost } from './partition-host.js'
import { WakeQueue } from './wake-queue.js'

/** A wait longer than this is taken in parts: Node's timers hold 31 bits of milliseconds. */
const LONGEST_WAIT_MS = 60_000
/** Partitions are served for so long at a time, then sockets have their turn: they wait for little more. */
const WORK_MS = 1
/** Interrupts that one partition may raise before the others have their turn. */
const SERVED_EXPIRIES_MAX = 64
/** Shorter than this is no wait: what is lost in sums of milliseconds is less, a tick is a tenth. */
const NO_WAIT_MS = 0.001

/** The turn of one partition. */
interface Turn {
  readonly host: PartitionHost
  /** Due time in the partition's ticks that the queue waits for; Infinity while it does not wait. */
  armedTicks: number
}

export class RealtimeClock {
  readonly #queue = new WakeQueue<Turn>()
  /** Place of each partition in the queue. */
  readonly #slots = new Map<PartitionHost, number>()
  #timer: NodeJS.Timeout | undefined
  /** When the timer is to fire; Infinity while there is none. */
  #wakeAtMs = Number.POSITIVE_INFINITY
  #restUntilMs = 0

  /** @param onServed told how long after its due time a partition is served */
  constructor(private readonly onServed?: (latenessMs: number) => void) {}

  /** Begins to follow a partition. */
  add(host: PartitionHost): void {
    if (host.clock !== 'realtime') return
    const turn: Turn = { host, armedTicks: Number.POSITIVE_INFINITY }
    const slot = this.#queue.add(turn)
    this.#slots.set(host, slot)
    host.onSettled = () => {
      // Whatever is not due earlier than before is looked at when its turn comes: most batches end here.
      if (host.partition.machine.due.first >= turn.armedTicks) return
      this.#arm(turn, slot, performance.now())
      this.#setTimer()
    }
    host.onSettled()
  }

  remove(host: PartitionHost): void {
    const slot = this.#slots.get(host)
    if (slot === undefined) return
    host.onSettled = null
    this.#slots.delete(host)
    this.#queue.remove(slot)
    this.#setTimer()
  }

  close(): void {
    for (const host of [...this.#slots.keys()]) this.remove(host)
  }

  /** Has a partition wait for its next timer, if one runs; never for a time that is past: a wake ends. */
  #arm(turn: Turn, slot: number, nowMs: number): void {
    const { due, paused } = turn.host.partition.machine
    const waitMs = turn.host.msUntilDue()
    const waits = !paused && waitMs !== Number.POSITIVE_INFINITY
    turn.armedTicks = waits ? due.first : Number.POSITIVE_INFINITY
    if (waits) this.#queue.arm(slot, nowMs + Math.max(waitMs, NO_WAIT_MS))
  }

  #setTimer(): void {
    const { first } = this.#queue
    const atMs = Math.max(first, this.#restUntilMs)
    // A timer that fires too early looks again; one that nobody waits for goes.
    if (atMs >= this.#wakeAtMs && first !== Number.POSITIVE_INFINITY) return
    clearTimeout(this.#timer)
    this.#wakeAtMs = atMs
    if (first === Number.POSITIVE_INFINITY) return
    const waitMs = Math.ceil(atMs - performance.now())
    this.#timer = setTimeout(() => this.#wake(), Math.min(Math.max(1, waitMs), LONGEST_WAIT_MS))
    // A server that is told to stop does not wait for simulated timers.
    this.#timer.unref()
  }

  /**
   * Serves who is due, the earliest first; Node's timers fire up to a millisecond early, hence the look at
   * the clock. Rests as long as it worked: a clock that cannot keep up falls behind, and never takes more
   * than half of the time for itself.
   */
  #wake(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY
    const beganMs = performance.now()
    if (beganMs >= this.#restUntilMs) {
      let nowMs = beganMs
      while (this.#queue.first <= nowMs && nowMs - beganMs < WORK_MS) {
        this.#serve(nowMs)
        nowMs = performance.now()
      }
      this.#restUntilMs = nowMs + (nowMs - beganMs)
    }
    this.#setTimer()
  }

  #serve(nowMs: number): void {
    const dueMs = this.#queue.first
    const turn = this.#queue.take()
    const { host } = turn
    if (!host.partition.machine.paused && host.msUntilDue() < NO_WAIT_MS) {
      host.catchUp(1, SERVED_EXPIRIES_MAX)
      this.onServed?.(nowMs - dueMs)
    }
    // Who hears of its timers may have deleted it.
    const slot = this.#slots.get(host)
    if (slot !== undefined) this.#arm(turn, slot, performance.now())
  }
}
