// Register accesses in a kernel trace: writes are made again, reads and faults are held against the
// simulation.
import type { Result } from '../api/result.js'
import * as msrs from '../hv/msrs.js'
import { PAGE_ENABLE, SINT_COUNT, STIMER_ENABLE } from '../hv/registers.js'
import type { FtraceEvent, MsrBody } from './ftrace-line.js'
import { type FtraceMachine, hex, type VcpuTrack } from './ftrace-machine.js'
import { adopt, assume, knownOf, readOp, timerOf, valueIn, writeOp } from './ftrace-registers.js'
import { freeSlots } from './ftrace-slots.js'
import { followTimers } from './ftrace-timers.js'

/** Their values come and go without a write that a trace could show. */
const VOLATILE = new Set<number>([msrs.HV_X64_MSR_VP_RUNTIME, msrs.HV_X64_MSR_TPR, msrs.HV_X64_MSR_CRASH_CTL])
/** A write with bit 0 set needs memory at the address: which memory there is, no trace tells. */
const PAGES = new Set<number>([
  msrs.HV_X64_MSR_HYPERCALL,
  msrs.HV_X64_MSR_VP_ASSIST_PAGE,
  msrs.HV_X64_MSR_SIEFP,
  msrs.HV_X64_MSR_SIMP,
])

const UNTRACED = 'what the VMM writes to this register, as at a reset, is not in the trace'
const ACTIVATION = 'when the SynIC became active, with SCONTROL 1, is not in the trace'

/** A write seen at its `kvm_hv_*` line, until the `kvm_msr` line of the same access. */
export interface OpenWrite {
  readonly vcpu: number
  readonly msr: number
  readonly value: bigint
  readonly old: bigint | undefined
  readonly result: Result
}

const registerName = (msr: number): string => msrs.MSR_NAMES.get(msr) ?? hex(msr)

export function isSimulated(msr: number): boolean {
  return msrs.MSR_NAMES.has(msr)
}

function isSynic(msr: number): boolean {
  const plain = msr & ~msrs.NESTED_MSR_OFFSET
  return plain >= msrs.HV_X64_MSR_SCONTROL && plain < msrs.HV_X64_MSR_STIMER0_CONFIG + 8
}

/** Without a guest OS id a write of HYPERCALL is ignored, so its value is known only where the id is. */
function isDecided(m: FtraceMachine, msr: number): boolean {
  return msr !== msrs.HV_X64_MSR_HYPERCALL || m.known.has(msrs.HV_X64_MSR_GUEST_OS_ID)
}

/** RDMSR. */
export async function onRead(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { msr, value, gp }: MsrBody,
): Promise<void> {
  if (msr === msrs.HV_X64_MSR_TIME_REF_COUNT && !gp && value <= BigInt(Number.MAX_SAFE_INTEGER)) {
    m.setTime(Number(value), event.at)
    await m.run(event, [...m.advance(event), readOp(track, msr, 'guest')])
    return m.report.leave('TIME_REF_COUNT: a reading sets the clock', event.line)
  }
  const [result] = (await m.run(event, [...m.advance(event), readOp(track, msr, 'guest')])).slice(-1)
  if (gp || result.fault !== undefined) return compareFault(m, track, event, msr, gp, result)
  const isActivation = msr === msrs.HV_X64_MSR_SCONTROL && value === 1n && !track.offered.has(msr)
  // KVM lets a guest read its timers although the SynIC is not active.
  if (timerOf(msr) === undefined) track.offered.add(msr)
  if (VOLATILE.has(msr)) return m.report.leave(`${registerName(msr)}: it changes without a write`, event.line)
  const simulated = track.fixed.get(msr) ?? valueIn(result)
  const known = knownOf(m, track, msr)
  if (simulated === value) {
    known.add(msr)
    return m.report.check('reads')
  }
  if (!known.has(msr)) return adopt(m, track, event, msr, value)
  if (isActivation) m.report.lower(ACTIVATION, event.line)
  else if (isReset(m, msr, value)) m.report.lower(UNTRACED, event.line)
  else if (isExpiryUnseen(m, track, msr, value, simulated)) {
    m.report.lower('whether a timer expired is not in the trace', event.line)
  } else {
    m.report.check('reads')
    const why = `${registerName(msr)} of vCPU ${track.id} is not what the writes in the trace make it.`
    m.report.mismatch(event, hex(value), simulated === undefined ? 'nothing' : hex(simulated), why)
  }
  await assume(m, track, event, msr, value)
}

/** What the VMM writes outside the SynIC has no event: its reset of the partition, and the VP index. */
function isReset(m: FtraceMachine, msr: number, value: bigint): boolean {
  if (!m.isHost || isSynic(msr)) return false
  return value === 0n || msr === msrs.HV_X64_MSR_VP_INDEX
}

/** The enable bit of a timer goes out by itself: a missing line, or a full slot, makes the difference. */
function isExpiryUnseen(
  m: FtraceMachine,
  track: VcpuTrack,
  msr: number,
  value: bigint,
  simulated: bigint | undefined,
): boolean {
  const timer = timerOf(msr)
  if (timer === undefined || (msr & 1) !== 0 || simulated === undefined) return false
  if ((value ^ simulated) !== BigInt(STIMER_ENABLE)) return false
  const isUntold = !m.seen.has('kvm_hv_stimer_expiration') || track.timers[timer].fired !== undefined
  return isUntold || track.unsure.has(msr)
}

/** WRMSR by the guest, from the line that tells how it ended. */
export async function onWrite(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { msr, value, gp }: MsrBody,
): Promise<void> {
  m.expectFault(gp)
  const { result, old } = await write(m, track, event, msr, value, false)
  m.expectFault(false)
  await compareWrite(m, track, event, { vcpu: track.id, msr, value, old, result }, gp)
}

/** A write, by guest or host, and what follows from it for what is known. */
export async function write(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  msr: number,
  value: bigint,
  host: boolean,
): Promise<OpenWrite> {
  const timer = timerOf(msr)
  const isEom = msr === msrs.HV_X64_MSR_EOM
  if (timer !== undefined) track.usesTimers = true
  const all = Array.from({ length: SINT_COUNT }, (_, sint) => sint)
  const before = isEom ? await freeSlots(m, track, event, all) : []
  const op = writeOp(track, msr, value, host ? 'host' : 'guest')
  // A direct timer's interrupt, and an IPI's, come without a SINT.
  const sets = isEom ? 1 : timer !== undefined ? await setsOfTimer(m, track, timer, msr, value) : 0
  const results = await m.run(event, [...m.advance(event), ...before, readOp(track, msr, 'host'), op], sets)
  const [read, result] = results.slice(-2)
  if (timer !== undefined) {
    await followTimers(m, track, event.line, { timer, raised: result.irqs !== undefined })
  } else if (isEom) {
    track.acks = new Set(all)
    await followTimers(m, track, event.line)
  }
  if (result.ok) {
    track.fixed.delete(msr)
    track.unsure.delete(msr)
    // That a page was refused is told at the end of the access.
    if (isDecided(m, msr) && (host || !PAGES.has(msr))) knownOf(m, track, msr).add(msr)
    else knownOf(m, track, msr).delete(msr)
  }
  // A VMM writes the SynIC at a reset or a restore: then the APIC is another too, and no line says so.
  if (host) track.requested.clear()
  const isPlace = isSintMsr(msr) || msr === msrs.HV_X64_MSR_SIMP
  if (isPlace) track.placeWrite = { at: event.at, pid: event.pid, line: event.line }
  return { vcpu: track.id, msr, value, old: valueIn(read), result }
}

function isSintMsr(msr: number): boolean {
  return msr >= msrs.HV_X64_MSR_SINT0 && msr < msrs.HV_X64_MSR_SINT0 + SINT_COUNT
}

const DIRECT = 1n << 12n

async function setsOfTimer(m: FtraceMachine, track: VcpuTrack, timer: number, msr: number, value: bigint) {
  const isConfig = (msr & 1) === 0
  const config = isConfig ? value : BigInt((await m.state(track.id)).stimers[timer].config)
  return (config & DIRECT) !== 0n ? 0 : 1
}

/** The trace says how a write ended. */
export async function compareWrite(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { msr, value, old, result }: OpenWrite,
  gp: boolean,
): Promise<void> {
  if (!gp && result.fault === undefined) {
    track.offered.add(msr)
    if (isDecided(m, msr)) knownOf(m, track, msr).add(msr)
    return m.report.check('writes')
  }
  const refusesPage =
    gp && result.fault === undefined && PAGES.has(msr) && (Number(value & 1n) & PAGE_ENABLE) !== 0
  if (refusesPage) m.report.lower('which addresses have memory behind them is not in the trace', event.line)
  else await compareFault(m, track, event, msr, gp, result)
  if (gp === (result.fault !== undefined)) return
  // Go on from what the trace says.
  if (!gp) await assume(m, track, event, msr, value)
  else if (old !== undefined && msr !== msrs.HV_X64_MSR_EOM) await assume(m, track, event, msr, old)
}

/** Is a fault that the simulation did not have, or the other way round, a deviation? */
async function compareFault(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  msr: number,
  gp: boolean,
  result: Result,
): Promise<void> {
  const simulated = result.fault !== undefined
  if (gp === simulated) return m.report.check('faults')
  const has = (test: (msr: number) => boolean) => [...track.offered].some(test)
  const isOffered = isSynic(msr) ? has(isSynic) : track.offered.has(msr)
  if (gp && !isOffered) {
    const why = isSynic(msr)
      ? 'whether the SynIC was active is not in the trace'
      : 'which registers the partition offers is not in the trace'
    return m.report.lower(why, event.line)
  }
  m.report.check('faults')
  const name = registerName(msr)
  const isTeardown = result.violations?.some(({ rule }) => rule === 'disabled_write') === true
  const why = gp
    ? isTeardown
      ? `${name} is torn down while SCONTROL is clear: with --option disabled_write=fault that faults.`
      : `The simulation finds nothing wrong with this access to ${name}.`
    : `The simulation refuses this access to ${name}; another --profile or --kind may have it.`
  m.report.mismatch(event, gp ? '#GP' : 'no fault', gp ? 'no fault' : '#GP', why)
}
