/**
 * Counts and latencies of all partitions, in plain arrays: a few nanoseconds an op, read when somebody
 * scrapes.
 */
import { RULES } from '../audit/rules.js'
import * as e from '../synic/effects.js'
import { OP_NAMES } from '../synic/op.js'
import * as t from './tally.js'

/** Every op by its code; the first is no op. */
export const METERED_OPS: readonly string[] = OP_NAMES
export const OUTCOMES = ['ok', 'fault', 'errno'] as const satisfies { length: typeof t.OUTCOMES_COUNT }
export const MESSAGE_OUTCOMES = ['delivered', 'queued', 'busy', 'dropped'] as const
export const KINDS = ['message', 'event', 'gsi', 'timer'] as const satisfies { length: typeof t.KINDS_COUNT }
export const INTERRUPT_KINDS = e.SOURCES
/** In the order of the rules, each once. */
export const INVARIANTS: readonly string[] = [...new Set(RULES.map(({ invariant }) => invariant))]
export const STAGES = ['slot', 'socket', 'ack', 'eom'] as const satisfies { length: typeof t.STAGES_COUNT }
export const STAGE_SLOT = 0
const STAGE_SOCKET = 1
export const STAGE_ACK = 2
export const STAGE_EOM = 3

/** Upper bounds of the latency buckets, seconds. */
export const LATENCY_BUCKETS = [
  1e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
  1, 2.5, 10,
] as const
const SERIES = t.STAGES_COUNT * t.KINDS_COUNT
const WIDTH = LATENCY_BUCKETS.length + 1

/** Whose counts stand in the tally. */
let counting: Meter | null = null

export class Meter {
  /** Off only where it is measured what counting costs. */
  isOn = true
  readonly violations = new Float64Array(INVARIANTS.length)
  /** What was in the tally whenever another meter took it. */
  readonly #kept = new Float64Array(t.TALLY.length)
  /** Observations that took some time, per series and bucket (the last is +Inf), and their sum in seconds. */
  readonly buckets = new Float64Array(SERIES * WIDTH)
  readonly sums = new Float64Array(SERIES)

  /** What goes into the tally from now on is this meter's. To be called before each batch. */
  begin(): void {
    if (counting === this) return
    if (counting !== null) counting.#keep()
    counting = this
  }

  #keep(): void {
    for (let at = 0; at < t.TALLY.length; at++) this.#kept[at] += t.TALLY[at]
    t.TALLY.fill(0)
  }

  #counted(at: number): number {
    return this.#kept[at] + (counting === this ? t.TALLY[at] : 0)
  }

  /** Ops applied, by their code and their place in OUTCOMES. */
  ops(code: number, outcome: number): number {
    return this.#counted(t.TALLY_OPS + code * t.OUTCOMES_COUNT + outcome)
  }

  /** Interrupts raised, by their place in INTERRUPT_KINDS. */
  interrupts(kind: number): number {
    return this.#counted(t.TALLY_INTERRUPTS + kind)
  }

  get eom(): number {
    return this.#counted(t.TALLY_EOM)
  }

  get dropped(): number {
    return this.#counted(t.TALLY_DROPPED)
  }

  /** Messages by what became of them: an outcome each. */
  get messages(): readonly number[] {
    // Whatever was delivered came into a slot, at once or later, and is counted there.
    const counted = (kind: number) => this.series(STAGE_SLOT, kind).counts[LATENCY_BUCKETS.length]
    const inSlots = KINDS.map((_, kind) => (kind === e.FROM_EVENT ? 0 : counted(kind)))
    const waited = [t.TALLY_QUEUED, t.TALLY_BUSY].map((at) => this.#counted(at))
    return [inSlots.reduce((sum, count) => sum + count), ...waited, this.dropped]
  }

  /** An op that was applied, and the message it posted, if that is not in its slot. */
  countOp(code: number, { ok, fault, has, delivery }: e.Effects): void {
    const outcome = ok ? t.OUTCOME_OK : fault !== e.FAULT_NONE ? t.OUTCOME_FAULT : t.OUTCOME_ERRNO
    t.TALLY[t.TALLY_OPS + code * t.OUTCOMES_COUNT + outcome]++
    if ((has & e.HAS_DELIVERY) === 0) return
    if (delivery === e.QUEUED) t.TALLY[t.TALLY_QUEUED]++
    else if (delivery === e.BUSY) t.TALLY[t.TALLY_BUSY]++
  }

  countViolation(invariant: string): void {
    this.violations[INVARIANTS.indexOf(invariant)]++
  }

  /** @param ms duration in milliseconds */
  observe(stage: number, kind: number, ms: number, count = 1): void {
    const series = stage * t.KINDS_COUNT + kind
    const seconds = ms / 1000
    let bucket = 0
    while (bucket < LATENCY_BUCKETS.length && seconds > LATENCY_BUCKETS[bucket]) bucket++
    this.buckets[series * WIDTH + bucket] += count
    this.sums[series] += seconds * count
  }

  /** Deliveries of kind `source` were written to a subscriber's socket. */
  observeSocket(source: number, ms: number, count: number): void {
    this.observe(STAGE_SOCKET, source, ms, count)
  }

  /** Cumulative counts of one series, one a bucket and +Inf last, and the sum. */
  series(stage: number, kind: number): { counts: number[]; sum: number } {
    const series = stage * t.KINDS_COUNT + kind
    const at = series * WIDTH
    let total = this.#counted(t.TALLY_INSTANT + series)
    const counts = Array.from(this.buckets.subarray(at, at + WIDTH), (n) => {
      total += n
      return total
    })
    return { counts, sum: this.sums[series] }
  }
}
