// The simulated machine behind a kernel trace: vCPUs as they appear, reference time, what it raised and when.
import type { WireOp } from '../api/op-decode.js'
import type { Result } from '../api/result.js'
import { VCPUS_MAX } from '../hv/limits.js'
import { HV_X64_MSR_SINT0 } from '../hv/msrs.js'
import { SINT_COUNT, SINT_MASKED, SINT_VECTOR, STIMER_COUNT } from '../hv/registers.js'
import type { SynicDump } from '../synic/dump.js'
import type { FtraceEvent } from './ftrace-line.js'
import type { FtraceReport } from './ftrace-report.js'
import type { Origin, ReplayTarget } from './target.js'

/** Stamps are cut to a microsecond, and are taken after the time they speak of: stay this far behind them. */
export const LAG_TICKS = 20
/** What the trace shows of an interrupt is all within this time, or is missing. */
export const WINDOW_TICKS = 100_000
/** GSIs that stand for edges from outside: from the top, out of the way of a VMM's own. */
const HIGHEST_GSI = 4095
const OUTSIDE_GSIS = 2048

/** An interrupt the simulation raised, until the lines that tell of it have come. */
export interface Raise {
  vector: number
  /** `kvm_apic_accept_irq` lines still to come. */
  accepts: number
  /** `kvm_hv_synic_set_irq` lines still to come. */
  sets: number
  readonly at: number
  readonly line: number
}

/** How an expiry ended in the simulation, and by what. */
export interface Expiry {
  /** As `kvm_hv_stimer_expiration` prints it. */
  readonly result: number
  readonly hasPage: boolean
  readonly masked: boolean
  readonly line: number
}

export interface TimerTrack {
  /** Reference time at which the simulation will fire it; Infinity if it does not run. */
  due: number
  config: number
  count: bigint
  exp: bigint
  waits: boolean
  /**
   * The simulation expired it with this result, and no `kvm_hv_stimer_expiration` line has told of it yet.
   */
  fired: Expiry | undefined
  /** `kvm_hv_stimer_callback` was seen: its time has come. */
  calledBack: boolean
  /** A start was seen, so its phase is that of the trace. */
  started: boolean
  /** How far the simulation's due time is behind the trace's, since then. */
  skew: bigint
}

/** An EOI and the lines that tell of it. */
export interface EoiTrack {
  readonly vector: number
  readonly lines: Set<string>
  /** How many SINTs it acknowledges. */
  readonly sints: number
}

export class VcpuTrack {
  /** Registers whose value follows from the trace. */
  readonly known = new Set<number>()
  /** Registers that may have changed by something the trace does not tell. */
  readonly unsure = new Set<number>()
  /** Registers the simulation could not be given: their values here instead. */
  readonly fixed = new Map<number, bigint>()
  /** Registers an access of the guest succeeded with: the partition has them. */
  readonly offered = new Set<number>()
  readonly raises: Raise[] = []
  /** Vectors accepted that nothing explains yet. */
  readonly accepted: { readonly event: FtraceEvent; readonly vector: number }[] = []
  /** Vectors in service that no SINT stands behind, the newest last. */
  readonly outside: number[] = []
  eoi: EoiTrack | undefined
  /** SINTs an EOI or EOM acknowledges, while its lines may follow. */
  acks: Set<number> | undefined
  /** Vectors requested and not yet taken by the lines of the trace, not by the simulation alone. */
  readonly requested = new Set<number>()
  /** Interrupts are taken without a line (APICv, filters). */
  takesUnseen = false
  usesTimers = false
  /** Last write of SIMP or a SINT, and who made it. */
  placeWrite = { at: Number.NEGATIVE_INFINITY, pid: -1, line: 0 }
  readonly timers: TimerTrack[] = Array.from({ length: STIMER_COUNT }, () => ({
    due: Number.POSITIVE_INFINITY,
    config: 0,
    count: 0n,
    exp: 0n,
    waits: false,
    fired: undefined,
    calledBack: false,
    started: false,
    skew: 0n,
  }))

  constructor(readonly id: number) {}
}

export class FtraceMachine {
  readonly vcpus = new Map<number, VcpuTrack>()
  /** Partition-wide registers whose value follows from the trace. */
  readonly known = new Set<number>()
  /** Event names seen so far: what was recorded at all. */
  readonly seen = new Set<string>()
  /** Reference time was printed, so that the clock is the trace's. */
  anchored = false
  now = 0
  /** The vCPU of the event at hand is a guess. */
  isGuessed = false
  #gapLine = 0
  #anchor: { at: number; ref: number } | undefined
  readonly #dumps = new Map<number, SynicDump>()
  readonly #gsis = new Map<number, number>()

  constructor(
    readonly target: ReplayTarget,
    readonly report: FtraceReport,
    /** The trace is a KVM host's, not a guest's own. */
    readonly isHost: boolean,
    /** The `kvm` profile waits for a capability that no event tells of. */
    private readonly needsCap: boolean,
    /** Nobody has said what a teardown write under a disabled SynIC does: each line tells it. */
    private readonly followsFaults = false,
  ) {}

  /** The line at hand says whether its write faulted, which two hypervisors may see differently. */
  expectFault(gp: boolean): void {
    if (this.followsFaults) this.target.faultDisabledWrites?.(gp)
  }

  /** Events were lost: what was known is not known any more. */
  forget(line: number): void {
    this.#gapLine = line
    this.known.clear()
    for (const track of this.vcpus.values()) {
      track.known.clear()
      track.requested.clear()
      track.acks = undefined
      track.eoi = undefined
      track.takesUnseen = true
      for (const timer of track.timers) timer.started = false
    }
  }

  /** The vCPU, made at first sight together with those below it: so its VP index is its number. */
  async vcpu(id: number): Promise<VcpuTrack | undefined> {
    const known = this.vcpus.get(id)
    if (known !== undefined) return known
    if (id < 0 || id >= VCPUS_MAX) return undefined
    const ids = Array.from({ length: id + 1 }, (_, i) => i).filter((i) => !this.vcpus.has(i))
    const create = ids.map((vcpu) => ({ op: 'vcpu.create', vcpu }))
    const enable = ids.map((vcpu) => ({ op: 'cap.enable', vcpu, cap: 'synic2' }))
    await this.target.apply(this.needsCap ? [...create, ...enable] : create)
    for (const i of ids) this.vcpus.set(i, new VcpuTrack(i))
    return this.vcpus.get(id)
  }

  /**
   * Applies ops for an event and remembers what they raised.
   * @param sets `kvm_hv_synic_set_irq` lines that will tell of each interrupt
   */
  async run(event: FtraceEvent, ops: readonly WireOp[], sets = 0): Promise<Result[]> {
    if (ops.length === 0) return []
    this.#dumps.clear()
    const origin = this.#originOf(event)
    const results = await this.target.apply(ops, () => origin)
    for (const { irqs = [] } of results) {
      for (const { vcpu, vector } of irqs) this.#raised(event, vcpu, vector, sets)
    }
    return results
  }

  #originOf({ line, at, text }: FtraceEvent): Origin {
    const isKnown = (vcpu: number, msr: number) =>
      this.known.has(msr) || this.vcpus.get(vcpu)?.known.has(msr) === true
    const { isGuessed } = this
    return { line, event: { time: at / 1e7, text, isKnown, isGuessed, gapLine: this.#gapLine } }
  }

  #raised({ at, line }: FtraceEvent, vcpu: number, vector: number, sets: number): void {
    const track = this.vcpus.get(vcpu)
    if (track === undefined) return
    // The line of an IPI or an outside edge comes before the line that made the simulation raise it.
    const accepted = track.accepted.findIndex((waiting) => waiting.vector === vector)
    if (accepted >= 0) {
      track.accepted.splice(accepted, 1)
      track.requested.add(vector)
      this.report.check('interrupts')
    }
    if (accepted >= 0 && sets === 0) return
    track.raises.push({ vector, accepts: accepted >= 0 ? 0 : 1, sets, at, line })
  }

  /** All of a vCPU's SynIC as it is now. */
  async state(vcpu: number): Promise<SynicDump> {
    const known = this.#dumps.get(vcpu)
    if (known !== undefined) return known
    const [{ dump }] = await this.target.apply([{ op: 'synic.dump', vcpu }])
    const state = dump as unknown as SynicDump
    this.#dumps.set(vcpu, state)
    return state
  }

  /** Reference time at a stamp, as far as it is known. */
  timeAt(at: number): number {
    this.#anchor ??= { at, ref: this.now }
    return Math.max(this.now, this.#anchor.ref + at - this.#anchor.at)
  }

  /** The trace printed the reference time. */
  setTime(ref: number, at: number): void {
    this.#anchor = { at, ref }
    this.anchored = true
  }

  /** The op that moves the clock on to a stamp, but not past a timer whose expiry the trace has not shown. */
  advance({ at }: FtraceEvent): WireOp[] {
    return this.advanceTo(this.timeAt(at) - LAG_TICKS, this.earliestDue(-1) - 1)
  }

  advanceTo(time: number, limit = Number.POSITIVE_INFINITY): WireOp[] {
    const ticks = Math.floor(Math.min(time, limit)) - this.now
    if (ticks <= 0) return []
    this.now += ticks
    return [{ op: 'clock.advance', ticks }]
  }

  /** The earliest time, after one, at which some timer will fire; one of them may be left out. */
  earliestDue(after: number, except?: TimerTrack): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const { usesTimers, timers } of this.vcpus.values()) {
      if (!usesTimers) continue
      for (const timer of timers) {
        if (timer !== except && timer.due > after && timer.due < earliest) earliest = timer.due
      }
    }
    return earliest
  }

  /** An edge from outside the partition on a SINT: a GSI routed to it is asserted. */
  async edge(event: FtraceEvent, vcpu: number, sint: number): Promise<Result | undefined> {
    const key = vcpu * SINT_COUNT + sint
    const ops: WireOp[] = []
    let gsi = this.#gsis.get(key)
    if (gsi === undefined) {
      if (this.#gsis.size === OUTSIDE_GSIS) return undefined
      gsi = HIGHEST_GSI - this.#gsis.size
      this.#gsis.set(key, gsi)
      ops.push({ op: 'gsi.route', entries: this.#routes() })
    }
    ops.push({ op: 'gsi.assert', gsi })
    const results = await this.run(event, ops)
    return results.at(-1)
  }

  #routes() {
    return [...this.#gsis].map(([key, gsi]) => {
      return { gsi, vcpu: Math.floor(key / SINT_COUNT), sint: key % SINT_COUNT }
    })
  }
}

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`

/** Low word of a SINT in a dump. */
export function sintOf(state: SynicDump, sint: number): number {
  return Number(BigInt(state.sints[sint]) & 0xffff_ffffn)
}

/** The vector of an unmasked SINT, or -1. */
export function vectorOf(state: SynicDump, sint: number): number {
  const value = sintOf(state, sint)
  return (value & SINT_MASKED) === 0 ? value & SINT_VECTOR : -1
}

/** The SINTs an EOI of this vector acknowledges. */
export function sintsWith(state: SynicDump, vector: number): number[] {
  const sints = state.sints.map((_, sint) => sint)
  return sints.filter((sint) => vectorOf(state, sint) === vector)
}

export function isSintKnown(track: VcpuTrack, sint: number): boolean {
  return track.known.has(HV_X64_MSR_SINT0 + sint)
}
