// What is known of a register: values from before the recording are taken from the trace.
import type { Result } from '../api/result.js'
import * as msrs from '../hv/msrs.js'
import type { FtraceEvent } from './ftrace-line.js'
import { type FtraceMachine, hex, type VcpuTrack } from './ftrace-machine.js'
import { followTimers } from './ftrace-timers.js'

/** Registers of the partition, not of a vCPU. */
const SHARED = new Set<number>([
  msrs.HV_X64_MSR_GUEST_OS_ID,
  msrs.HV_X64_MSR_HYPERCALL,
  msrs.HV_X64_MSR_REFERENCE_TSC,
  msrs.HV_X64_MSR_CRASH_CTL,
  ...[0, 1, 2, 3, 4].map((n) => msrs.HV_X64_MSR_CRASH_P0 + n),
])

export function timerOf(msr: number): number | undefined {
  const timer = (msr - msrs.HV_X64_MSR_STIMER0_CONFIG) >> 1
  return timer >= 0 && timer < 4 ? timer : undefined
}

export function knownOf(m: FtraceMachine, track: VcpuTrack, msr: number): Set<number> {
  return SHARED.has(msr) ? m.known : track.known
}

export const valueIn = (result: Result): bigint | undefined =>
  result.value === undefined ? undefined : BigInt(result.value)

export function readOp(track: VcpuTrack, msr: number, by: 'guest' | 'host') {
  return { op: 'msr.read', vcpu: track.id, msr: hex(msr), by }
}

export function writeOp(track: VcpuTrack, msr: number, value: bigint, by: 'guest' | 'host') {
  return { op: 'msr.write', vcpu: track.id, msr: hex(msr), value: hex(value), by }
}

/** Gives the simulation a value it cannot have known; where it refuses, the value is kept beside it. */
export async function assume(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  msr: number,
  value: bigint,
): Promise<void> {
  const [, read] = await m.run(event, [writeOp(track, msr, value, 'host'), readOp(track, msr, 'host')])
  if (valueIn(read) === value) track.fixed.delete(msr)
  else track.fixed.set(msr, value)
  const timer = timerOf(msr)
  if (timer === undefined) return
  track.usesTimers = true
  await followTimers(m, track, event.line, { timer, raised: false })
}

/** A value from before the recording: the trace is believed. */
export async function adopt(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  msr: number,
  value: bigint,
): Promise<void> {
  await assume(m, track, event, msr, value)
  knownOf(m, track, msr).add(msr)
  m.report.adopted++
  m.report.lower(
    'a register was set before the recording began: its value is taken from the trace',
    event.line,
  )
}
