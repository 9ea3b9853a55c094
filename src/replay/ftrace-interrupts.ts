// Interrupts in a kernel trace: a SINT asked for, the APIC accepting, the vCPU taking, the EOI and what it
// acknowledges.
import type { WireOp } from '../api/op-decode.js'
import { HV_X64_MSR_EOI, HV_X64_MSR_SINT0 } from '../hv/msrs.js'
import { FIRST_VALID_VECTOR, SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../hv/registers.js'
import type { SynicDump } from '../synic/dump.js'
import type { Body, FtraceEvent } from './ftrace-line.js'
import {
  type EoiTrack,
  type FtraceMachine,
  hex,
  isSintKnown,
  type Raise,
  sintOf,
  sintsWith,
  type VcpuTrack,
  vectorOf,
  WINDOW_TICKS,
} from './ftrace-machine.js'
import { adopt } from './ftrace-registers.js'
import { freeSlots } from './ftrace-slots.js'
import { fireFor, followTimers, makesSint, makesVector } from './ftrace-timers.js'

type Named<N extends Body['name']> = Extract<Body, { readonly name: N }>

/** Two threads within this time of each other: which was first, the stamps do not tell. */
const RACE_TICKS = 100
const UNTOLD_ACK = 'an acknowledgement whose EOI or EOM is not in the trace'
const OUTSIDE = 'a vector that no SINT has: outside the SynIC'

const classOf = (vector: number) => vector & 0xf0

function claim(track: VcpuTrack, vector: number, line: 'accepts' | 'sets'): Raise | undefined {
  const raise = track.raises.find((entry) => entry.vector === vector && entry[line] > 0)
  if (raise === undefined) return undefined
  raise[line]--
  track.requested.add(vector)
  if (raise.accepts === 0 && raise.sets === 0) track.raises.splice(track.raises.indexOf(raise), 1)
  return raise
}

/**
 * `kvm_hv_synic_set_irq`: raised by the simulation too, or an edge from outside that the SINT must answer so.
 */
export async function onSetIrq(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  body: Named<'kvm_hv_synic_set_irq'>,
): Promise<void> {
  const { sint, vector, ret } = body
  if (sint >= SINT_COUNT) return compareNoSint(m, event, ret)
  if (claim(track, vector, 'sets') !== undefined) return compareRaised(m, event, ret)
  let state = await m.state(track.id)
  if (!(await agrees(m, track, event, body, state))) return
  if (ret <= 0) return
  await fireFor(m, track, event, makesSint(sint))
  if (claim(track, vector, 'sets') !== undefined) return compareRaised(m, event, ret)
  state = await m.state(track.id)
  const result = await m.edge(event, track.id, sint)
  track.requested.add(vector)
  if (result === undefined)
    m.report.leave('an edge from outside: more SINTs are asserted than GSIs are kept', event.line)
}

function compareNoSint(m: FtraceMachine, event: FtraceEvent, ret: number): void {
  m.report.check('interrupts')
  if (ret < 0) return
  m.report.mismatch(event, `ret ${ret}`, 'ret -22', 'There are 16 SINTs; another number is refused.')
}

function compareRaised(m: FtraceMachine, event: FtraceEvent, ret: number): void {
  if (ret > 0) m.report.check('interrupts')
  else m.report.lower('whether the local APIC was enabled is not in the trace', event.line)
}

/** Would the SINT, as the simulation has it, answer so? True: the edge may go in if it was accepted. */
async function agrees(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { sint, vector, ret }: Named<'kvm_hv_synic_set_irq'>,
  state: SynicDump,
): Promise<boolean> {
  const simulated = vectorOf(state, sint)
  const masked = simulated < 0
  if (ret < 0 ? masked : !masked && simulated === vector) {
    // Accepted or refused as the SINT says; a refusal by the APIC itself is told by 0.
    if (ret !== 0) m.report.check('interrupts')
    else m.report.lower('whether the local APIC was enabled is not in the trace', event.line)
    return ret > 0
  }
  // -1: no destination, which is the APIC's word and not the SINT's.
  if (ret === -1) m.report.lower('whether the local APIC was enabled is not in the trace', event.line)
  else if (isSintKnown(track, sint)) mismatchSint(m, track, event, { sint, vector, ret }, sintOf(state, sint))
  if (ret < 0) return false
  const unmasked = (sintOf(state, sint) & ~(SINT_MASKED | SINT_VECTOR)) | vector
  await adopt(m, track, event, HV_X64_MSR_SINT0 + sint, BigInt(unmasked >>> 0))
  return ret > 0
}

function mismatchSint(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { sint, vector, ret }: { sint: number; vector: number; ret: number },
  value: number,
): void {
  const { at, pid } = track.placeWrite
  if (event.at - at <= RACE_TICKS && pid !== event.pid) {
    return m.report.lower('two threads at once: which was first is not in the trace', event.line)
  }
  m.report.check('interrupts')
  const masked = (value & SINT_MASKED) !== 0
  const actual = masked ? 'refused (-2), the SINT is masked' : `vector ${value & SINT_VECTOR}, accepted`
  const why = `SINT${sint} of vCPU ${track.id} is ${hex(value)} by the writes in the trace.`
  m.report.mismatch(event, `vector ${vector}, ret ${ret}`, actual, why)
}

/** `kvm_apic_accept_irq`: what raised it may stand before or behind this line. */
export async function onAccept(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { vector, fixed }: Named<'kvm_apic_accept_irq'>,
): Promise<void> {
  if (!fixed) return m.report.unuse(event.body.name, 'no fixed, edge-triggered interrupt: outside the SynIC')
  if (claim(track, vector, 'accepts') !== undefined) return m.report.check('interrupts')
  if (track.usesTimers) await fireFor(m, track, event, makesVector(await m.state(track.id), vector))
  if (claim(track, vector, 'accepts') !== undefined) return m.report.check('interrupts')
  track.accepted.push({ event, vector })
}

/**
 * An accepted vector that no line explained: a SINT's whose line is missing, or none of the SynIC's.
 * @param isTaken the vCPU takes it now, so it must be requested; otherwise that time is over
 */
async function explainAccepted(
  m: FtraceMachine,
  track: VcpuTrack,
  index: number,
  isTaken: boolean,
): Promise<void> {
  const [{ event, vector }] = track.accepted.splice(index, 1)
  const [sint] = sintsWith(await m.state(track.id), vector)
  if (sint === undefined) return m.report.unuse(event.body.name, OUTSIDE)
  m.report.lower("a SINT's vector was accepted, and no kvm_hv_synic_set_irq line tells why", event.line)
  if (!isTaken) return
  await m.edge(event, track.id, sint)
  claim(track, vector, 'accepts')
}

/** `kvm_inj_virq`: the vCPU takes a vector. */
export async function onInject(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  { vector, soft, reinjected }: Named<'kvm_inj_virq'>,
): Promise<void> {
  if (soft) return m.report.unuse(event.body.name, 'a software interrupt')
  if (reinjected) return m.report.unuse(event.body.name, 'injected again after an exit in between')
  track.eoi = undefined
  const index = track.accepted.findIndex((entry) => entry.vector === vector)
  if (index >= 0) await explainAccepted(m, track, index, true)
  const { irr, isr } = await m.state(track.id)
  if (irr.includes(vector)) return takeRequested(m, track, event, vector)
  // Older kernels do not mark a second injection of the same interrupt.
  if (isr.includes(vector)) return m.report.unuse(event.body.name, 'injected again after an exit in between')
  const [sint] = sintsWith(await m.state(track.id), vector)
  if (sint === undefined) {
    track.outside.push(vector)
    return m.report.unuse(event.body.name, OUTSIDE)
  }
  m.report.lower("a SINT's interrupt was requested before the recording, or its line is missing", event.line)
  await m.edge(event, track.id, sint)
  claim(track, vector, 'accepts')
  const { irr: requested } = await m.state(track.id)
  if (requested.includes(vector)) await take(m, track, event, vector)
}

async function takeRequested(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  vector: number,
): Promise<void> {
  const { irr } = await m.state(track.id)
  const highest = Math.max(...irr)
  const isTold = track.requested.has(highest)
  const taken = await take(m, track, event, vector)
  if (taken === vector && highest === vector) return m.report.check('injections')
  const newest = track.raises.find((raise) => raise.vector === highest)
  const races = newest !== undefined && event.at - newest.at <= RACE_TICKS
  if (highest === vector) m.report.lower('an EOI, or a change of TPR, is not in the trace', event.line)
  else if (track.takesUnseen) m.report.lower('interrupts are taken without a kvm_inj_virq line', event.line)
  else if (!isTold) m.report.lower('the simulation raised an interrupt that no line shows', event.line)
  else if (races) m.report.lower('two threads at once: which was first is not in the trace', event.line)
  else {
    m.report.check('injections')
    const why = 'A vCPU takes the highest vector requested.'
    m.report.mismatch(event, `vector ${vector}`, `vector ${highest}`, why)
  }
}

/** Makes the vCPU take this vector, whatever stands in its way; what it took at first. */
async function take(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent, vector: number): Promise<number> {
  const ack = { op: 'apic.ack', vcpu: track.id }
  track.requested.delete(vector)
  const [{ vector: first = -1 }] = (await m.run(event, [...m.advance(event), ack])).slice(-1)
  let taken = first
  // Blocked by the TPR or by what is in service, or a higher one was taken: end that and try again.
  let free: WireOp = { op: 'apic.tpr', vcpu: track.id, value: 0 }
  for (let tries = 0; taken !== vector && tries < 32; tries++) {
    const results = await m.run(event, [free, ack], 1)
    taken = results.at(-1)?.vector ?? -1
    free = { op: 'apic.eoi', vcpu: track.id }
  }
  return first
}

/** `kvm_eoi` and `kvm_hv_synic_send_eoi` tell of one EOI, in this order on a kernel. */
export async function onEoi(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  vector: number,
): Promise<void> {
  const { eoi } = track
  const { name } = event.body
  if (eoi?.vector === vector && !eoi.lines.has(name)) {
    eoi.lines.add(name)
    return compareSendEoi(m, track, event, eoi)
  }
  const state = await m.state(track.id)
  const now = { vector, lines: new Set([name]), sints: sintsWith(state, vector).length }
  track.eoi = now
  track.acks = undefined
  if (vector < 0) return m.report.unuse(name, 'nothing was in service')
  const known = state.isr.includes(vector) || state.irr.includes(vector)
  if (!known) return endUnknown(m, track, event, vector, state)
  if (!state.isr.includes(vector)) {
    track.takesUnseen = true
    m.report.lower('interrupts are taken without a kvm_inj_virq line', event.line)
    await take(m, track, event, vector)
  } else m.report.check('eois')
  await end(m, track, event, vector)
  compareSendEoi(m, track, event, now)
}

/** The SynIC hears of an EOI when some unmasked SINT has its vector. */
function compareSendEoi(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent, eoi: EoiTrack): void {
  if (event.body.name !== 'kvm_hv_synic_send_eoi') return
  const sints = Array.from({ length: SINT_COUNT }, (_, sint) => sint)
  if (eoi.sints === 0 && !sints.every((sint) => isSintKnown(track, sint))) {
    return m.report.lower('a SINT was set before the recording began', event.line)
  }
  m.report.check('eois')
  if (eoi.sints > 0) return
  const why = 'All 16 SINTs were seen written, and none has this vector unmasked.'
  m.report.mismatch(event, `the SynIC hears of vector ${eoi.vector}`, 'no SINT has it', why)
}

/** Ends the vectors above this one, which the trace must have left out, and then this one. */
async function end(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent, vector: number): Promise<void> {
  const state = await m.state(track.id)
  const sints = sintsWith(state, vector)
  const above = state.isr.filter((other) => other > vector)
  if (above.length > 0) m.report.lower('an EOI, or a change of TPR, is not in the trace', event.line)
  const eoi = { op: 'apic.eoi', vcpu: track.id }
  const before = await freeSlots(m, track, event, sints)
  await m.run(event, [...m.advance(event), ...above.map(() => eoi), ...before, eoi], 1)
  track.acks = new Set(sints)
  await followTimers(m, track, event.line)
}

function endUnknown(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  vector: number,
  state: SynicDump,
): void {
  const at = track.outside.lastIndexOf(vector)
  if (at >= 0) track.outside.splice(at, 1)
  const sints = sintsWith(state, vector)
  if (vector < FIRST_VALID_VECTOR || sints.length === 0) return m.report.unuse(event.body.name, OUTSIDE)
  track.acks = new Set(sints)
  m.report.lower('an EOI of an interrupt taken before the recording, or its line is missing', event.line)
}

/** WRMSR to HV_X64_MSR_EOI: told by `kvm_eoi` before it, where that is recorded. */
export async function endMsr(
  m: FtraceMachine,
  track: VcpuTrack,
  event: FtraceEvent,
  value: bigint,
  gp: boolean,
): Promise<void> {
  const { eoi } = track
  if (eoi !== undefined && !gp) {
    track.eoi = undefined
    return m.report.check('writes')
  }
  const { isr, irr } = await m.state(track.id)
  const highest = isr.length > 0 ? Math.max(...isr) : -1
  const outside = track.outside.at(-1)
  if (!gp && outside !== undefined && classOf(outside) >= classOf(highest)) {
    track.outside.pop()
    return m.report.leave('an EOI of an interrupt from outside the SynIC', event.line)
  }
  if (!gp && highest < 0 && irr.length > 0) {
    // No line tells of interrupts taken: the EOI does.
    track.takesUnseen = true
    m.report.lower('interrupts are taken without a kvm_inj_virq line', event.line)
    await take(m, track, event, Math.max(...irr))
    return end(m, track, event, Math.max(...irr))
  }
  if (!gp && highest >= 0) {
    m.report.check('writes')
    return end(m, track, event, highest)
  }
  const write = { op: 'msr.write', vcpu: track.id, msr: hex(HV_X64_MSR_EOI), value: hex(value) }
  const [result] = (await m.run(event, [...m.advance(event), write])).slice(-1)
  if (gp === (result.fault !== undefined)) m.report.check(gp ? 'faults' : 'writes')
  else m.report.lower('which registers the partition offers is not in the trace', event.line)
}

/** `kvm_hv_notify_acked_sint`: a consequence of the EOI or EOM before it. */
export function onAcked(m: FtraceMachine, track: VcpuTrack, event: FtraceEvent, sint: number): void {
  const { acks } = track
  if (acks?.delete(sint) === true) return m.report.check('acknowledgements')
  // Another event of the vCPU stands between: the line of what acknowledges is missing.
  if (acks === undefined) return m.report.lower(UNTOLD_ACK, event.line)
  if (!isSintKnown(track, sint))
    return m.report.lower('a SINT was set before the recording began', event.line)
  m.report.check('acknowledgements')
  const why = 'The EOI or EOM before it acknowledges other SINTs, by the writes in the trace.'
  m.report.mismatch(event, `SINT${sint} acknowledged`, 'not acknowledged', why)
}

/** Gives up on lines that would have come by now. */
export async function expireWaiting(m: FtraceMachine, now: number): Promise<void> {
  for (const track of m.vcpus.values()) {
    while (track.accepted.length > 0 && now - track.accepted[0].event.at > WINDOW_TICKS) {
      await explainAccepted(m, track, 0, false)
    }
    while (track.raises.length > 0 && now - track.raises[0].at > WINDOW_TICKS) dropRaise(m, track)
  }
}

/** The simulation raised what no line shows: missing where such lines are recorded at all. */
function dropRaise(m: FtraceMachine, track: VcpuTrack): void {
  const [{ accepts, sets, line }] = track.raises.splice(0, 1)
  const isMissing =
    (accepts > 0 && m.seen.has('kvm_apic_accept_irq')) || (sets > 0 && m.seen.has('kvm_hv_synic_set_irq'))
  if (isMissing) m.report.lower('the simulation raised an interrupt that no line shows', line)
}
