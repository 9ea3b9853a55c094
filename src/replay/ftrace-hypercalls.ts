// Hypercalls in a kernel trace: those with all their input in registers are made again.
import * as hc from '../hv/hypercalls.js'
import { HV_X64_MSR_GUEST_OS_ID } from '../hv/msrs.js'
import type { Body, FtraceEvent } from './ftrace-line.js'
import { type FtraceMachine, hex, type VcpuTrack } from './ftrace-machine.js'
import { writeOp } from './ftrace-registers.js'

type Named<N extends Body['name']> = Extract<Body, { readonly name: N }>

/** Any id makes the partition answer hypercalls; the guest's own is not known here. */
const SOME_OS_ID = 0x8100_0000_0000_0000n

/** A call until its `kvm_hv_hypercall_done`: the simulation's status, if it has one. */
export interface OpenCall {
  readonly status: number | undefined
  /** The report already says that it cannot be checked. */
  readonly isNoted: boolean
}

/** `kvm_hv_hypercall` is printed for a guest that has identified itself: so it has. */
async function identify(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent): Promise<void> {
  if (m.known.has(HV_X64_MSR_GUEST_OS_ID)) return
  await m.run(event, [writeOp(track, HV_X64_MSR_GUEST_OS_ID, SOME_OS_ID, 'host')])
}

export async function onHypercall(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  call: Named<'kvm_hv_hypercall'>,
): Promise<OpenCall | undefined> {
  const { code, fast, variable, reps, first, input, output } = call
  if (code !== hc.HVCALL_POST_MESSAGE && code !== hc.HVCALL_SIGNAL_EVENT) {
    m.report.unuse(event.body.name, `call ${hex(code)}: neither HvPostMessage nor HvSignalEvent`)
    return undefined
  }
  if (!fast) {
    m.report.leave('the input of a slow hypercall is in guest memory, not in the trace', event.line)
    return { status: undefined, isNoted: true }
  }
  await identify(m, track, event)
  const control =
    BigInt(code) | (1n << 16n) | (BigInt(variable) << 17n) | (BigInt(reps) << 32n) | (BigInt(first) << 48n)
  const op = {
    op: 'hypercall',
    vcpu: track.id,
    control: hex(BigInt.asUintN(64, control)),
    input: hex(input),
    output: hex(output),
  }
  const [result] = (await m.run(event, [...m.advance(event), op])).slice(-1)
  return { status: result.status, isNoted: false }
}

export function onHypercallDone(m: FtraceMachine, event: FtraceEvent, result: bigint, call: OpenCall): void {
  const status = Number(result & 0xffffn)
  if (call.isNoted) return
  if (call.status === undefined) {
    return m.report.leave('a hypercall was answered by user space, which is not in the trace', event.line)
  }
  m.report.check('hypercalls')
  if (call.status === status) return
  const why = 'The status follows from the input in the registers alone.'
  m.report.mismatch(event, `status ${hex(status)}`, `status ${hex(call.status)}`, why)
}
