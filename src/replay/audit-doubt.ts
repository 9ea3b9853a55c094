// What of a finding does not follow from kernel events alone: the reason why it is a note, marked uncertain.
import type { Violation } from '../audit/rule.js'
import { AT_FOUND_ZERO, BEYOND_MEMORY } from '../audit/rules/page-overlap.js'
import { HV_X64_MSR_SCONTROL, HV_X64_MSR_STIMER0_CONFIG, NESTED_MSR_OFFSET } from '../hv/msrs.js'
import { STIMER_COUNT } from '../hv/registers.js'
import type { EventOrigin } from './target.js'

/** Rules whose other side is the write that switched the SynIC off. */
const OF_A_DISABLE = new Set(['write_under_foreign_disable', 'disabled_write'])

/** The rule that asks what a timer's CONFIG says. */
const OF_A_CONFIG = 'timer_without_vector'

/** The rule that asks where pages lie. */
const OF_PAGES = 'page_overlap'

export const HELD_BEFORE = 'what the register held before is not in the trace'
export const WAS_IT_ON = 'whether the SynIC was on is not in the trace'

/** An op that a later one may collide with. */
export interface Place {
  readonly line: number
  readonly seq: number | undefined
  readonly time: number | undefined
  readonly msr: number
  /** Did what the register held before follow from the trace? */
  readonly isKnown: boolean
}

/** What an audit knows beside the finding. */
export interface Known {
  /** The op it collides with; undefined: no line is of it any more. */
  readonly other: Place | undefined
  /** Is that op where the recording of this vCPU begins? */
  readonly isFromBefore: boolean
  /** Names that are drivers', and those that have acted. */
  readonly drivers: ReadonlySet<string>
  readonly seen: ReadonlySet<string>
}

export function doubtOf(violation: Violation, event: EventOrigin, known: Known): string | undefined {
  const { rule, vcpu, msr, actor, otherSeq } = violation
  const { other, drivers } = known
  if (event.isGuessed) return 'which vCPU it was is a guess'
  if (actor === '') return 'who did it is not in the trace'
  const process = [actor, violation.other].find((name) => name !== '' && !drivers.has(name))
  if (process !== undefined) return `"${process}" is a process: say with --actor which driver it runs`
  // A CONFIG tells all by itself; a count arms what its CONFIG said.
  if (rule === OF_A_CONFIG) {
    const config = msr - ((msr - HV_X64_MSR_STIMER0_CONFIG) & 1)
    return config === msr || event.isKnown(vcpu, config) ? undefined : HELD_BEFORE
  }
  if (known.isFromBefore) return `when ${violation.other || 'somebody'} enabled it is not in the trace`
  if (otherSeq > 0 && other === undefined) return 'the other side is too far back'
  // Where nobody else was recorded, somebody else may have been left out.
  // Two pages at one address are there whoever enabled them.
  if (rule !== OF_PAGES && violation.other === actor && known.seen.size < 2)
    return `whether another than ${actor} enabled the SynIC again is not in the trace`
  if (rule === OF_PAGES && other === undefined && !violation.text.endsWith(AT_FOUND_ZERO)) {
    const isBeyond = violation.text.endsWith(BEYOND_MEMORY)
    return `${isBeyond ? 'which memory there is,' : 'when the other page was enabled'} is not in the trace`
  }
  if (other !== undefined && isTimer(other.msr)) return 'whether the timer still ran is not in the trace'
  if (msr >= 0 && !event.isKnown(vcpu, msr)) return HELD_BEFORE
  const wasOn = OF_A_DISABLE.has(rule) ? other?.isKnown : isControlKnown(violation, event)
  if ((rule === 'wrong_order' || OF_A_DISABLE.has(rule)) && wasOn !== true) return WAS_IT_ON
  return undefined
}

/** Does it speak of a SynIC that nobody has enabled yet, though nobody knows? Then there is nothing to it. */
export function isUnfounded({ rule, otherSeq, ...violation }: Violation, event: EventOrigin): boolean {
  return rule === 'disabled_write' && otherSeq === 0 && !isControlKnown(violation, event)
}

/** That a value is the same as before rests on the simulation's first one, where the trace does not tell. */
export function textOf({ text }: Violation, doubt: string | undefined): string {
  return doubt === HELD_BEFORE ? text.replace(' back unchanged', '') : text
}

/** Does the trace tell whether the SynIC is on? */
function isControlKnown({ vcpu, msr }: Pick<Violation, 'vcpu' | 'msr'>, event: EventOrigin): boolean {
  const nested = msr >= HV_X64_MSR_SCONTROL + NESTED_MSR_OFFSET ? NESTED_MSR_OFFSET : 0
  return event.isKnown(vcpu, HV_X64_MSR_SCONTROL + nested)
}

function isTimer(msr: number): boolean {
  return msr >= HV_X64_MSR_STIMER0_CONFIG && msr < HV_X64_MSR_STIMER0_CONFIG + 2 * STIMER_COUNT
}
