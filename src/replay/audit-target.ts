// A partition in this process under audit: what rules say of each op, and where in the recording it stands.
import { violationView } from '../api/violation.js'
import { Auditor } from '../audit/auditor.js'
import type { Violation } from '../audit/rule.js'
import { HV_X64_MSR_SCONTROL, HV_X64_MSR_STIMER0_CONFIG, NESTED_MSR_OFFSET } from '../hv/msrs.js'
import { STIMER_COUNT } from '../hv/registers.js'
import * as o from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import { type ActorMap, actorNames, actorOf, type StartClaims } from './actors.js'
import type { AuditFinding } from './audit-report.js'
import { JUDGED } from './audit-scope.js'
import { commOf } from './ftrace-line.js'
import { ReplayInputError } from './input-error.js'
import { LocalTarget } from './local-target.js'
import type { EventOrigin, Origin, Source, TargetConfig } from './target.js'

/** Findings kept of each severity; more are only counted. */
export const FINDINGS_MAX = 10_000
/** Earlier ops whose lines are remembered, the newest. */
const PLACES_MAX = 262_144
/** Nothing collides with these: reading, and the time. */
const PASSING = new Set([o.OP_MSR_READ, o.OP_MEM_READ, o.OP_SYNIC_DUMP, o.OP_CLOCK_ADVANCE])

/** Rules whose other side is the write that switched the SynIC off. */
const OF_A_DISABLE = new Set(['write_under_foreign_disable', 'disabled_write'])

/** An op that a later one may collide with. */
interface Place {
  readonly line: number
  readonly seq: number | undefined
  readonly time: number | undefined
  readonly msr: number
  /** Did what the register held before follow from the trace? */
  readonly isKnown: boolean
}

export interface AuditSetup {
  readonly actors: ActorMap
  readonly claims: readonly StartClaims[]
  /** Default: PLACES_MAX. */
  readonly placesMax?: number
}

export class AuditTarget extends LocalTarget {
  source: Source = 'trace'
  /** Who acted so far and may be a driver. */
  readonly #seen = new Set<string>()
  readonly findings: AuditFinding[] = []
  readonly counts = { error: 0, note: 0 }
  readonly unlisted = { error: 0, note: 0 }
  #auditor: Auditor | undefined
  #gapLine = 0
  #last: Origin = { line: 1 }
  readonly #places = new Map<number, Place>()
  readonly #drivers: ReadonlySet<string>

  constructor(private readonly setup: AuditSetup) {
    super()
    const claimants = setup.claims.map(({ actor }) => actor)
    this.#drivers = new Set(['vmbus', 'mshv', ...actorNames(setup.actors), ...claimants])
  }

  override async create(config: TargetConfig): Promise<void> {
    this.source = config.source ?? 'trace'
    await super.create(config)
    for (const { actor, claims } of this.setup.claims) {
      const [{ ok }] = await this.apply([{ op: 'actor.attach', actor, claims }])
      if (!ok) throw new ReplayInputError(`--claims ${actor}: it is attached already`)
    }
  }

  /** Drivers acted: rules about them had something to look at. */
  get hasActors(): boolean {
    return this.#seen.size > 0
  }

  /** Judges what is left over: nothing comes after the last op. */
  settle(): void {
    for (const violation of this.#auditor?.settle() ?? []) this.#find(violation, this.#last)
  }

  protected override applyRecord(p: Partition, words: Int32Array, at: number, origin?: Origin): void {
    const auditor = this.#auditorOf(p, origin?.event?.gapLine ?? this.#gapLine)
    if (origin?.event !== undefined) this.#sign(p, words, at, origin.event)
    auditor.before(words, at)
    super.applyRecord(p, words, at)
    auditor.after()
    if (origin === undefined) return
    this.#last = origin
    const { code, actor, vcpu, msr } = auditor.op
    const isKnown = origin.event?.isKnown(vcpu, msr) ?? true
    if (actor > 0) this.#see(p.names.text(actor))
    for (const violation of auditor.found) this.#find(violation, origin)
    if (!PASSING.has(code)) this.#remember(p.seq, origin, msr, isKnown)
  }

  /** Where events were lost, who did what before says nothing of what follows: an auditor begins anew. */
  #auditorOf(p: Partition, gapLine: number): Auditor {
    if (this.#auditor === undefined || gapLine !== this.#gapLine) {
      this.#auditor = new Auditor(p, { rules: JUDGED[this.source] })
      this.#gapLine = gapLine
    }
    return this.#auditor
  }

  /** A process that is not said to be a driver is none. */
  #see(name: string): void {
    if (this.source === 'trace' || this.#drivers.has(name)) this.#seen.add(name)
  }

  /** What a guest does is done by the thread it was recorded on; a vCPU's thread on a host is nobody. */
  #sign({ names }: Partition, words: Int32Array, at: number, event: EventOrigin): void {
    if ((words[at] & o.OP_BY_HOST) !== 0 || words[at + o.OP_ACTOR] !== 0) return
    const comm = commOf(event)
    const name = actorOf(this.setup.actors, comm) ?? (this.source === 'guest' ? comm : '')
    words[at + o.OP_ACTOR] = Math.max(0, names.intern(name))
  }

  #remember(number: number, { line, seq, event }: Origin, msr: number, isKnown: boolean): void {
    this.#places.set(number, { line, seq, time: event?.time, msr, isKnown })
    if (this.#places.size <= (this.setup.placesMax ?? PLACES_MAX)) return
    for (const oldest of this.#places.keys()) {
      this.#places.delete(oldest)
      return
    }
  }

  #find(violation: Violation, { line, seq, event }: Origin): void {
    const other = this.#places.get(violation.otherSeq)
    const { seq: _number, other_seq: _other, ...view } = violationView(violation)
    const isError = violation.severity === 'error'
    const doubt = isError && event !== undefined ? this.#doubt(violation, event, other) : undefined
    const severity = doubt === undefined ? violation.severity : 'note'
    this.counts[severity]++
    if (this.counts[severity] > FINDINGS_MAX) {
      this.unlisted[severity]++
      return
    }
    this.findings.push({
      line,
      ...(seq === undefined ? {} : { seq }),
      ...(event === undefined ? {} : { time: event.time }),
      ...view,
      severity,
      ...(doubt === undefined ? {} : { uncertain: doubt }),
      ...(other === undefined ? {} : { other_line: other.line }),
      ...(other?.seq === undefined ? {} : { other_seq: other.seq }),
      ...(other?.time === undefined ? {} : { other_time: other.time }),
    })
  }

  /** What of a finding does not follow from the kernel events alone. */
  #doubt(violation: Violation, event: EventOrigin, other: Place | undefined): string | undefined {
    const { rule, vcpu, msr, actor, otherSeq } = violation
    if (event.isGuessed) return 'which vCPU it was is a guess'
    if (actor === '') return 'who did it is not in the trace'
    const process = [actor, violation.other].find((name) => name !== '' && !this.#drivers.has(name))
    if (process !== undefined) return `"${process}" is a process: say with --actor which driver it runs`
    if (otherSeq > 0 && other === undefined) return 'the other side is too far back'
    // Where nobody else was recorded, somebody else may have been left out.
    if (violation.other === actor && this.#seen.size < 2)
      return `whether another than ${actor} enabled the SynIC again is not in the trace`
    if (rule === 'page_overlap' && other === undefined) return 'which memory there is, is not in the trace'
    if (other !== undefined && isTimer(other.msr)) return 'whether the timer still ran is not in the trace'
    if (msr >= 0 && !event.isKnown(vcpu, msr)) return 'what the register held before is not in the trace'
    const nested = msr >= HV_X64_MSR_SCONTROL + NESTED_MSR_OFFSET ? NESTED_MSR_OFFSET : 0
    const wasOn = OF_A_DISABLE.has(rule) ? other?.isKnown : event.isKnown(vcpu, HV_X64_MSR_SCONTROL + nested)
    if ((rule === 'wrong_order' || OF_A_DISABLE.has(rule)) && wasOn !== true)
      return 'whether the SynIC was on is not in the trace'
    return undefined
  }
}

function isTimer(msr: number): boolean {
  return msr >= HV_X64_MSR_STIMER0_CONFIG && msr < HV_X64_MSR_STIMER0_CONFIG + 2 * STIMER_COUNT
}
