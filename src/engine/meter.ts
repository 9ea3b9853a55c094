/**
 * Counts and latencies of all partitions, in plain arrays: a few nanoseconds an op, read when somebody
 * scrapes.
 */
import { RULES } from '../audit/rules.js'
import * as e from '../synic/effects.js'
import { OP_NAMES } from '../synic/op.js'

/** Every op by its code; the first is no op. */
export const METERED_OPS: readonly string[] = OP_NAMES
/** Lengths as numbers: what is worked out would be looked up at each op. */
const OUTCOMES_COUNT = 3
export const KINDS_COUNT = 4
export const OUTCOMES = ['ok', 'fault', 'errno'] as const satisfies { length: typeof OUTCOMES_COUNT }
const OK = 0
const FAULT = 1
const ERRNO = 2
export const MESSAGE_OUTCOMES = ['delivered', 'queued', 'busy', 'dropped'] as const
export const KINDS = ['message', 'event', 'gsi', 'timer'] as const satisfies { length: typeof KINDS_COUNT }
export const INTERRUPT_KINDS = e.SOURCES
/** In the order of the rules, each once. */
export const INVARIANTS: readonly string[] = [...new Set(RULES.map(({ invariant }) => invariant))]
export const STAGES = ['slot', 'socket', 'ack', 'eom'] as const
export const STAGE_SLOT = 0
const STAGE_SOCKET = 1
export const STAGE_ACK = 2
export const STAGE_EOM = 3

/** Upper bounds of the latency buckets, seconds. */
export const LATENCY_BUCKETS = [
  1e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
  1, 2.5, 10,
] as const
const SERIES = STAGES.length * KINDS.length
const WIDTH = LATENCY_BUCKETS.length + 1

export class Meter {
  /** Off only where it is measured what counting costs. */
  isOn = true
  readonly ops = new Float64Array(OP_NAMES.length * OUTCOMES.length)
  readonly interrupts = new Float64Array(INTERRUPT_KINDS.length)
  readonly violations = new Float64Array(INVARIANTS.length)
  eom = 0
  dropped = 0
  #queued = 0
  #busy = 0
  /** Observations of no time at all per series, which are most under load. */
  readonly instant = new Float64Array(SERIES)
  /** All others per series and bucket (the last is +Inf), and their sum in seconds. */
  readonly buckets = new Float64Array(SERIES * WIDTH)
  readonly sums = new Float64Array(SERIES)

  /** Messages by what became of them: an outcome each. */
  get messages(): readonly number[] {
    // Whatever was delivered came into a slot, at once or later, and is counted there.
    const counted = (kind: number) => this.series(STAGE_SLOT, kind).counts[LATENCY_BUCKETS.length]
    const inSlots = KINDS.map((_, kind) => (kind === e.FROM_EVENT ? 0 : counted(kind)))
    return [inSlots.reduce((sum, count) => sum + count), this.#queued, this.#busy, this.dropped]
  }

  /** An op that was applied, and the message it posted, if that is not in its slot. */
  countOp(code: number, { ok, fault, has, delivery }: e.Effects): void {
    const outcome = ok ? OK : fault !== e.FAULT_NONE ? FAULT : ERRNO
    this.ops[code * OUTCOMES_COUNT + outcome]++
    if ((has & e.HAS_DELIVERY) === 0) return
    if (delivery === e.QUEUED) this.#queued++
    else if (delivery === e.BUSY) this.#busy++
  }

  countViolation(invariant: string): void {
    this.violations[INVARIANTS.indexOf(invariant)]++
  }

  /** @param ms duration in milliseconds */
  observe(stage: number, kind: number, ms: number, count = 1): void {
    const series = stage * KINDS_COUNT + kind
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
    const series = stage * KINDS_COUNT + kind
    const at = series * WIDTH
    let total = this.instant[series]
    const counts = Array.from(this.buckets.subarray(at, at + WIDTH), (n) => {
      total += n
      return total
    })
    return { counts, sum: this.sums[series] }
  }
}
