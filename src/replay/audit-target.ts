// A partition in this process under audit: what rules say of each op, and where in the recording it stands.
import { violationView } from '../api/violation.js'
import { Auditor } from '../audit/auditor.js'
import { ROLE_NAMES } from '../audit/claims.js'
import { isOnValue } from '../audit/places.js'
import type { Violation } from '../audit/rule.js'
import * as o from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import { type ActorMap, actorNames, actorOf, type StartClaims, unmatchedIn } from './actors.js'
import { doubtOf, HELD_BEFORE, isUnfounded, type Place, textOf, WAS_IT_ON } from './audit-doubt.js'
import type { AuditFinding } from './audit-report.js'
import { JUDGED } from './audit-scope.js'
import { commOf } from './ftrace-line.js'
import { ReplayInputError } from './input-error.js'
import { LocalTarget } from './local-target.js'
import { accessIn, Presumption } from './presumption.js'
import type { EventOrigin, Origin, Source, TargetConfig } from './target.js'

/** Findings kept of each severity; more are only counted. */
export const FINDINGS_MAX = 10_000
/** Earlier ops whose lines are remembered, the newest. */
const PLACES_MAX = 262_144
/** Nothing collides with these: reading, and the time. */
const PASSING = new Set([o.OP_MSR_READ, o.OP_MEM_READ, o.OP_SYNIC_DUMP, o.OP_CLOCK_ADVANCE])

export interface AuditSetup {
  readonly actors: ActorMap
  readonly claims: readonly StartClaims[]
  /** Default: PLACES_MAX. */
  readonly placesMax?: number
}

const NAMED_ALREADY = '--actor: it is for kernel events, the ops of a trace say themselves who acts'

/** A reason why less is certain: the lines it concerns. */
interface Lowered {
  count: number
  readonly first: number
  last: number
}

export class AuditTarget extends LocalTarget {
  source: Source = 'trace'
  /** Who acted so far and may be a driver. */
  readonly seen = new Set<string>()
  readonly findings: AuditFinding[] = []
  /** Rules that found something. */
  readonly found = new Set<string>()
  readonly counts = { error: 0, note: 0 }
  readonly unlisted = { error: 0, note: 0 }
  #auditor: Auditor | undefined
  /** Of kernel events, which may begin in the middle of things. */
  #presumption: Presumption | undefined
  #gapLine = 0
  #last: Origin = { line: 1 }
  /** Processes that acted. */
  readonly #comms = new Set<string>()
  readonly #places = new Map<number, Place>()
  readonly #lowered = new Map<string, Lowered>()
  readonly #drivers: ReadonlySet<string>

  constructor(private readonly setup: AuditSetup) {
    super()
    const claimants = setup.claims.map(({ actor }) => actor)
    this.#drivers = new Set([...ROLE_NAMES, ...actorNames(setup.actors), ...claimants])
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
    return this.seen.size > 0
  }

  /** Why less is certain than the replay alone would have it. */
  get uncertain(): { what: string; count: number; first_line: number }[] {
    return [...this.#lowered].map(([what, { count, first }]) => ({ what, count, first_line: first }))
  }

  /** Flags that do nothing, and names that are nearly some driver's. */
  get warnings(): string[] {
    const { actors, claims } = this.setup
    const isTrace = this.source === 'trace'
    const names = new Set([...actorNames(actors), ...claims.map(({ actor }) => actor), ...this.seen])
    const idle = isTrace ? [] : unmatchedIn(actors, this.#comms)
    return [
      ...(isTrace && actorNames(actors).length > 0 ? [NAMED_ALREADY] : []),
      ...idle.map((pair) => `--actor ${pair}: no line is of such a process`),
      ...[...names].flatMap((name) => {
        const role = ROLE_NAMES.find((known) => known !== name && known === name.toLowerCase())
        return role === undefined ? [] : [`"${name}" is no driver of the kind's table, "${role}" is`]
      }),
    ]
  }

  /** Judges what is left over: nothing comes after the last op. */
  settle(): void {
    for (const violation of this.#auditor?.settle() ?? []) this.#find(violation, this.#last)
  }

  /** The recording has ended. Of a driver that did nothing in it nobody can say that it was there. */
  finish(): void {
    const claimants = this.setup.claims.map(({ actor }) => actor)
    const absent = new Set(actorNames(this.setup.actors))
    for (const name of [...claimants, ...this.seen]) absent.delete(name)
    if (this.source === 'trace' || absent.size === 0) return
    // Beyond the list nobody knows any more whom an error was against.
    this.unlisted.note += this.unlisted.error
    this.counts.note += this.unlisted.error
    this.counts.error -= this.unlisted.error
    this.unlisted.error = 0
    this.findings.forEach((finding, i) => {
      if (finding.severity !== 'error' || !absent.has(finding.other ?? '')) return
      const uncertain = `no line of the trace is of ${finding.other}`
      this.findings[i] = { ...finding, severity: 'note', uncertain }
      this.counts.error--
      this.counts.note++
      this.#lower(uncertain, finding.line)
    })
  }

  protected override applyRecord(p: Partition, words: Int32Array, at: number, origin?: Origin): void {
    const auditor = this.#auditorOf(p, origin?.event?.gapLine ?? this.#gapLine)
    const presumption = this.#presumption
    if (origin?.event !== undefined) this.#sign(p, words, at, origin.event)
    auditor.before(words, at)
    presumption?.auditor.before(words, at)
    super.applyRecord(p, words, at)
    auditor.after()
    presumption?.auditor.after()
    presumption?.follow(words, at, this.source === 'guest', origin?.event)
    if (origin === undefined) return
    this.#last = origin
    const actor = words[at + o.OP_ACTOR]
    if (actor > 0) this.#see(p.names.text(actor))
    this.#findAll(auditor.found, presumption?.auditor.found ?? [], origin)
    this.#remember(p, words, at, origin)
  }

  /** Where events were lost, who did what before says nothing of what follows: an auditor begins anew. */
  #auditorOf(p: Partition, gapLine: number): Auditor {
    if (this.#auditor !== undefined && gapLine === this.#gapLine) return this.#auditor
    const rules = JUDGED[this.source]
    const auditor = new Auditor(p, { rules })
    this.#auditor = auditor
    this.#gapLine = gapLine
    if (this.source === 'trace') return auditor
    this.#presumption = new Presumption(p, auditor, rules)
    // Who says which process runs a driver says that this driver is there, before its first line.
    for (const name of actorNames(this.setup.actors)) {
      const driver = Math.max(0, p.names.intern(name))
      auditor.claims.meet(driver)
      this.#presumption.auditor.claims.meet(driver)
    }
    return auditor
  }

  /** A process that is not said to be a driver is none. */
  #see(name: string): void {
    if (this.source === 'trace' || this.#drivers.has(name)) this.seen.add(name)
  }

  /** What a guest does is done by the thread it was recorded on; a vCPU's thread on a host is nobody. */
  #sign({ names }: Partition, words: Int32Array, at: number, event: EventOrigin): void {
    if ((words[at] & o.OP_BY_HOST) !== 0 || words[at + o.OP_ACTOR] !== 0) return
    const comm = commOf(event)
    this.#comms.add(comm)
    const name = actorOf(this.setup.actors, comm) ?? (this.source === 'guest' ? comm : '')
    words[at + o.OP_ACTOR] = Math.max(0, names.intern(name))
  }

  /** What earlier ops are remembered by; and a driver that switches off what nobody knows to have been on. */
  #remember(p: Partition, words: Int32Array, at: number, { line, seq, event }: Origin): void {
    const { code, vcpu, msr, place } = accessIn(p.machine, words, at)
    if (PASSING.has(code)) return
    const isKnown = event?.isKnown(vcpu, msr) ?? true
    const isOff = code === o.OP_MSR_WRITE && place >= 0 && !isOnValue(place, words[at + o.OP_ARGS + 1])
    if (isOff && !isKnown && this.#drivers.has(p.names.text(words[at + o.OP_ACTOR])))
      this.#lower(HELD_BEFORE, line)
    this.#places.set(p.seq, { line, seq, time: event?.time, msr, isKnown })
    if (this.#places.size <= (this.setup.placesMax ?? PLACES_MAX)) return
    for (const oldest of this.#places.keys()) {
      this.#places.delete(oldest)
      return
    }
  }

  /** @param possible found by who presumes what the trace does not tell */
  #findAll(found: readonly Violation[], possible: readonly Violation[], origin: Origin): void {
    for (const each of found) {
      // Presuming, the same rule has more to say of it.
      const isLess = each.severity === 'note' && possible.some((other) => isAlike(each, other))
      if (!isLess || possible.some((other) => isSame(each, other))) this.#find(each, origin)
    }
    for (const each of possible) {
      const isFound = ({ severity }: Violation) => severity === 'error'
      if (found.some((other) => isSame(each, other) || (isFound(other) && isAlike(each, other)))) continue
      this.#find(each, origin, `what ${each.actor} had enabled before is not in the trace`)
    }
  }

  /** @param reason why it may be otherwise, unless there is a better one */
  #find(violation: Violation, { line, seq, event }: Origin, reason?: string): void {
    if (event !== undefined && isUnfounded(violation, event)) return this.#lower(WAS_IT_ON, line)
    const other = this.#places.get(violation.otherSeq)
    const { seq: _number, other_seq: _other, ...view } = violationView(violation)
    const doubt = event === undefined ? undefined : (this.#doubt(violation, event, other) ?? reason)
    const severity = doubt === undefined ? violation.severity : 'note'
    if (doubt !== undefined) this.#lower(doubt, line)
    this.found.add(violation.rule)
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
      text: textOf(violation, doubt),
      severity,
      ...(doubt === undefined ? {} : { uncertain: doubt }),
      ...(other === undefined ? {} : { other_line: other.line }),
      ...(other?.seq === undefined ? {} : { other_seq: other.seq }),
      ...(other?.time === undefined ? {} : { other_time: other.time }),
    })
  }

  #doubt(violation: Violation, event: EventOrigin, other: Place | undefined): string | undefined {
    const isFromBefore = this.#presumption?.isStart(violation.vcpu, violation.otherSeq) === true
    return doubtOf(violation, event, { other, isFromBefore, drivers: this.#drivers, seen: this.seen })
  }

  #lower(what: string, line: number): void {
    const known = this.#lowered.get(what)
    if (known === undefined) this.#lowered.set(what, { count: 1, first: line, last: line })
    else if (known.last !== line) {
      known.count++
      known.last = line
    }
  }
}

/** Do they say the same? */
const isSame = (a: Violation, b: Violation) => isAlike(a, b) && a.text === b.text

/** Is it the same rule about the same register? */
const isAlike = (a: Violation, b: Violation) => a.rule === b.rule && a.vcpu === b.vcpu && a.msr === b.msr
