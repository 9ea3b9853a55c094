// Which rules a recording can be judged by, and why not by the others: what it does not hold raises no alarm.
import type { Rule } from '../audit/rule.js'
import { RULES } from '../audit/rules.js'
import type { Source } from './target.js'

/** Rules that need nothing but the writes of registers, which are all there between two lines of a trace. */
const OF_REGISTERS: ReadonlySet<string> = new Set([
  'write_under_foreign_disable',
  'foreign_write',
  'rug_pull',
  'wrong_order',
  'duplicate_enable',
  'disabled_write',
  'stale_page',
  'stale_sint',
  'page_overlap',
  'timer_without_vector',
])

/** Rules that are about drivers: without names they have nothing to say. */
const OF_ACTORS: ReadonlySet<string> = new Set([
  'write_under_foreign_disable',
  'foreign_write',
  'rug_pull',
  'wrong_order',
  'duplicate_enable',
  'step_after_release',
])

const NO_ACTORS: Readonly<Record<Source, string>> = {
  trace: 'no op of the trace says who acts',
  host: "a vCPU's thread is no driver: name one with --actor if you know better",
  guest: 'a process is no driver: say with --actor which process runs which',
}

const NO_SLOTS = 'the trace has no contents of message slots'
const REPLAYED = 'what events say of it is compared by the replay itself'
const NO_INTERRUPTS = { host: `${REPLAYED}, and much is not printed`, guest: 'the trace has no interrupts' }

type Why = string | Readonly<Record<'host' | 'guest', string>>

/** Why kernel events cannot be judged by the other rules: by rule, or by invariant. */
const KERNEL_LACKS: Readonly<Record<string, Why>> = {
  step_after_release: 'no event tells when a driver has gone',
  stale_timer: 'no event tells when the next kernel starts',
  slot_leak: NO_SLOTS,
  timer_on_masked_sint: 'which SINTs were unmasked before the recording is not in the trace',
  I5: 'no event tells of a reset',
  I6: NO_SLOTS,
  I7: NO_SLOTS,
  I8: NO_SLOTS,
  I9: 'the trace has no contents of pages',
  I10: 'the trace has no event flags',
  I11: NO_INTERRUPTS,
  I12: NO_INTERRUPTS,
  I13: NO_SLOTS,
  I14: 'the trace does not tell when a vCPU sleeps',
  I15: { host: REPLAYED, guest: 'the trace does not tell when a timer expires' },
  I16: 'the trace does not tell what the host does between two guest steps',
  I17: 'the trace has no GSI routes',
  I18: 'the trace has no irqfds',
  I19: 'the trace has no snapshots',
  I20: 'the trace does not tell all that the host writes',
  I21: 'the trace does not tell when the partition is paused',
  I22: "the replay's clock follows the stamps",
  I23: 'no event tells when a vCPU goes offline',
  I24: REPLAYED,
}

const UNDECIDED = 'nobody has said yet that kernel events can tell'
const OF_THE_SIMULATION = 'whole states are compared, which judges the simulation rather than the guest'
const NOT_WHOLE = 'nobody says that the trace is whole; --settled does'

/** Undefined: it is judged. */
function lackOf({ rule, invariant, deep }: Rule, source: Source): string | undefined {
  if (deep === true) return OF_THE_SIMULATION
  if (source === 'trace' || OF_REGISTERS.has(rule)) return undefined
  const why = KERNEL_LACKS[rule] ?? KERNEL_LACKS[invariant] ?? UNDECIDED
  return typeof why === 'string' ? why : why[source]
}

const judgedBy = (source: Source): readonly Rule[] =>
  RULES.filter((rule) => lackOf(rule, source) === undefined)

/** The rules that run over a recording. */
export const JUDGED: Readonly<Record<Source, readonly Rule[]>> = {
  trace: judgedBy('trace'),
  host: judgedBy('host'),
  guest: judgedBy('guest'),
}

interface NotChecked {
  /** `liveness` is the end of the trace under all rules. */
  readonly rule: string
  readonly invariant: string
  readonly why: string
}

interface Checked {
  readonly rule: string
  readonly invariant: string
  readonly holds: string
  readonly uncertain?: string
}

export interface Scope {
  readonly checked: readonly Checked[]
  readonly notChecked: readonly NotChecked[]
}

interface About {
  /** Drivers were named. */
  readonly hasActors: boolean
  /** The trace is whole, so its end was judged. */
  readonly settled: boolean
  /** Rules that found something. */
  readonly found: ReadonlySet<string>
}

export function scopeOf(source: Source, about: About): Scope {
  const checked: Checked[] = []
  const notChecked: NotChecked[] = []
  for (const each of RULES) {
    const { rule, invariant, holds } = each
    const why = lackOf(each, source) ?? lackNow(each, source, about)
    if (why === undefined) checked.push({ rule, invariant, holds })
    // Between processes it was looked at after all, for what that is worth.
    else if (about.found.has(rule)) checked.push({ rule, invariant, holds, uncertain: why })
    else notChecked.push({ rule, invariant, why })
  }
  const isOpen = source !== 'trace' || !about.settled
  const why = source === 'trace' ? NOT_WHOLE : 'the trace does not show what is left over at its end'
  if (isOpen) notChecked.push({ rule: 'liveness', invariant: 'liveness', why })
  return { checked, notChecked }
}

/** What this recording lacks, though others of its form may have it. */
function lackNow(rule: Rule, source: Source, { hasActors, settled }: About): string | undefined {
  if (OF_ACTORS.has(rule.rule) && !hasActors) return NO_ACTORS[source]
  const isOfTheEnd = rule.ops.length + rule.registers.length + (rule.effects?.length ?? 0) === 0
  return isOfTheEnd && !settled ? NOT_WHOLE : undefined
}
