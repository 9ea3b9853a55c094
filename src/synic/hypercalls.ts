/**
 * Hypercalls: the raw register ABI, and who answers HvPostMessage and HvSignalEvent (TLFS "Hypercall
 * Interface"; KVM kvm_hv_hypercall).
 */
import { gpnOf } from '../hv/bits.js'
import { EBX_CONNECT_PORT, EBX_CREATE_PORT, EBX_POST_MESSAGES, EBX_SIGNAL_EVENTS } from '../hv/cpuid.js'
import * as hc from '../hv/hypercalls.js'
import { CONNECTION_ID_MAX } from '../hv/limits.js'
import { HVMSG_HYPERVISOR, HVMSG_NONE, PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import { PAGE_ENABLE, SCONTROL_ENABLE, SINT_COUNT } from '../hv/registers.js'
import { BUSY, EFFECT_SIGNAL, FAULT_UD, HAS_DELIVERY, HAS_VALUE } from './effects.js'
import { refillRing } from './event-ring.js'
import { SCONTROL, SIEFP, VP_INDEX } from './layout.js'
import { GUEST_OS_ID, HYPERCALL, type Machine } from './machine.js'
import { readWords } from './memory-ops.js'
import type { Message } from './message-slot.js'
import { postOpenvmm, signalOpenvmm } from './openvmm.js'
import { isOverlaid } from './pages.js'
import {
  connectFromInput,
  createPortFromInput,
  deletePortFromInput,
  disconnectFromInput,
  isSelf,
} from './port-calls.js'
import type { Port } from './ports.js'
import { MODEL_OPENVMM, MODEL_QEMU, MODEL_TLFS } from './profile.js'
import { postRoute, signalQemu } from './qemu.js'
import { acceptsMessages, post, signal } from './tlfs.js'

/** The user-space VMM is asked: KVM raises an HCALL exit instead of answering. */
const ASK_VMM = -1

/** `hypercall`: RCX, RDX and R8 as lo, hi pairs. */
export function hypercall(m: Machine, v: number, a: Int32Array, at: number): void {
  const { effects } = m
  const [cLo, cHi, iLo, iHi, oLo, oHi] = a.subarray(at, at + 6)
  if (m.profile.hypercallNeedsOsId && !isHypercallReady(m)) {
    // KVM takes it for its own ABI, whose numbers are others; on a real Hyper-V there is no page to call.
    if (m.profile.kvm) effects.value(hc.KVM_ENOSYS, -1)
    else effects.fault = FAULT_UD
    return
  }
  const status = dispatch(m, v, a.subarray(at, at + 6))
  if (status === ASK_VMM)
    return effects.hcallExit(m.vcpuId(v), cLo, cHi, ...vmmInput(m, cLo, iLo, iHi), oLo, oHi)
  answer(m, status)
}

/** A status as the guest reads it: RAX. `delivery` is for hosts. */
function answer(m: Machine, status: number): void {
  m.effects.has &= ~(HAS_DELIVERY | HAS_VALUE)
  m.effects.value(status, 0)
  m.effects.setStatus(status)
}

function isHypercallReady(m: Machine): boolean {
  const identified = (m.shared[GUEST_OS_ID] | m.shared[GUEST_OS_ID + 1]) !== 0
  // KVM does not look at the page's enable bit (docs/profiles.md row 81).
  return identified && (m.profile.kvm || (m.shared[HYPERCALL] & PAGE_ENABLE) !== 0)
}

/**
 * A slow signal that reaches the VMM carries the dereferenced value on Linux 6.1, with the fast bit still
 * clear.
 */
function vmmInput(m: Machine, cLo: number, iLo: number, iHi: number): [number, number] {
  const slowSignal = (cLo & 0xffff) === hc.HVCALL_SIGNAL_EVENT && (cLo & hc.CONTROL_FAST) === 0
  const words = slowSignal ? readWords(m, iLo, iHi, 2) : undefined
  return words === undefined ? [iLo, iHi] : [words[0], words[1]]
}

/** hv.c order of checks: privilege, reserved control bits, code. */
function dispatch(m: Machine, v: number, registers: Int32Array): number {
  const [cLo, cHi, iLo, iHi] = registers
  const code = cLo & 0xffff
  if (!isPermitted(m, code)) return hc.HV_ACCESS_DENIED
  const defined = m.profile.model === MODEL_TLFS ? cLo & ~hc.CONTROL_NESTED : cLo
  if (((defined & hc.CONTROL_RESERVED_LO) | (cHi & hc.CONTROL_RESERVED_HI)) !== 0)
    return hc.HV_INVALID_HYPERCALL_INPUT
  const plain = (cLo & hc.CONTROL_VARIABLE_HEADER) === 0 && (cHi & hc.CONTROL_REPS) === 0
  const fast = (cLo & hc.CONTROL_FAST) !== 0
  switch (code) {
    case hc.HVCALL_SIGNAL_EVENT:
      return plain ? signalCall(m, v, fast, iLo, iHi) : hc.HV_INVALID_HYPERCALL_INPUT
    case hc.HVCALL_POST_MESSAGE:
      return plain ? postCall(m, v, fast, iLo, iHi) : hc.HV_INVALID_HYPERCALL_INPUT
    default: {
      if (m.profile.kvm) return hc.HV_INVALID_HYPERCALL_CODE
      const status = plain ? portCall(m, v, code, fast, registers.subarray(2)) : hc.HV_INVALID_HYPERCALL_INPUT
      return isKnown(m, code) ? status : hc.HV_INVALID_HYPERCALL_CODE
    }
  }
}

/** Privilege bits of CPUID 0x40000003 EBX, where they are enforced. */
function isPermitted(m: Machine, code: number): boolean {
  if (!m.options.enforce_cpuid) return true
  const { ebx } = m.options.cpuid
  switch (code) {
    case hc.HVCALL_POST_MESSAGE:
      return (ebx & EBX_POST_MESSAGES) !== 0
    case hc.HVCALL_SIGNAL_EVENT:
      return (ebx & EBX_SIGNAL_EVENTS) !== 0
    // KVM knows none of these: to it they are unknown codes.
    case hc.HVCALL_CREATE_PORT:
    case hc.HVCALL_DELETE_PORT:
      return m.profile.kvm || (ebx & EBX_CREATE_PORT) !== 0
    case hc.HVCALL_CONNECT_PORT:
    case hc.HVCALL_DISCONNECT_PORT:
      return m.profile.kvm || (ebx & EBX_CONNECT_PORT) !== 0
    default:
      return true
  }
}

/** Calls with neither reps nor a variable header, beside the two that everyone has. */
function isKnown(m: Machine, code: number): boolean {
  const direct = code === hc.HVCALL_SIGNAL_EVENT_DIRECT || code === hc.HVCALL_POST_MESSAGE_DIRECT
  return direct || (m.profile.model === MODEL_TLFS && PORT_CALLS.has(code))
}

const PORT_CALLS: ReadonlySet<number> = new Set([
  hc.HVCALL_CREATE_PORT,
  hc.HVCALL_DELETE_PORT,
  hc.HVCALL_CONNECT_PORT,
  hc.HVCALL_DISCONNECT_PORT,
  hc.HVCALL_NOTIFY_PORT_RING_EMPTY,
])

/** Sixteen bytes of input or less: Linux makes these fast (mshv_root_hv_call.c). */
const FITS_REGISTERS: ReadonlySet<number> = new Set([
  hc.HVCALL_DELETE_PORT,
  hc.HVCALL_DISCONNECT_PORT,
  hc.HVCALL_NOTIFY_PORT_RING_EMPTY,
])

/** Port management and the VTL 2 calls; none of them exists on KVM or QEMU. */
function portCall(m: Machine, v: number, code: number, fast: boolean, given: Int32Array): number {
  const [iLo, iHi] = given
  // More than RDX and R8 hold comes in memory alone.
  if (fast && !FITS_REGISTERS.has(code)) return hc.HV_INVALID_HYPERCALL_INPUT
  if (!fast && (iLo & 7) !== 0) return hc.HV_INVALID_ALIGNMENT
  if (code === hc.HVCALL_SIGNAL_EVENT_DIRECT || code === hc.HVCALL_POST_MESSAGE_DIRECT) {
    const words = readWords(m, iLo, iHi, 4)
    if (words === undefined) return hc.HV_INVALID_ALIGNMENT
    return directCall(m, v, code, words)
  }
  if (m.profile.model !== MODEL_TLFS) return hc.HV_INVALID_HYPERCALL_CODE
  if (code === hc.HVCALL_NOTIFY_PORT_RING_EMPTY) {
    const words = fast ? [iLo] : readWords(m, iLo, iHi, 1)
    if (words === undefined) return hc.HV_INVALID_ALIGNMENT
    const [sint] = words
    if (sint < 0 || sint >= SINT_COUNT) return hc.HV_INVALID_PARAMETER
    refillRing(m, v, sint)
    return hc.HV_SUCCESS
  }
  if (code === hc.HVCALL_CREATE_PORT) return createPortFromInput(m, v, iLo, iHi)
  if (code === hc.HVCALL_CONNECT_PORT) return connectFromInput(m, iLo, iHi)
  if (!PORT_CALLS.has(code)) return hc.HV_INVALID_HYPERCALL_CODE
  const words = fast ? given : readWords(m, iLo, iHi, 4)
  if (words === undefined) return hc.HV_INVALID_ALIGNMENT
  return code === hc.HVCALL_DELETE_PORT ? deletePortFromInput(m, words) : disconnectFromInput(m, words)
}

/** OpenVMM's checks of the direct calls, in order. Both are for VTL 2 alone, and there is one VTL here. */
function directCall(m: Machine, v: number, code: number, words: Int32Array): number {
  const posts = code === hc.HVCALL_POST_MESSAGE_DIRECT
  const sint = (words[3] >>> 8) & 0xff
  const vp = words[2] >>> 0
  const isOwnVp = vp === hc.HV_VP_SELF || vp === m.w[v + VP_INDEX]
  const isValid = isSelf(words, 0) && sint < SINT_COUNT && (posts ? isOwnVp : sint > 0)
  return isValid ? hc.HV_OPERATION_DENIED : hc.HV_INVALID_PARAMETER
}

/** HvSignalEvent with its eight bytes of input in a register or in memory. */
function signalCall(m: Machine, v: number, fast: boolean, iLo: number, iHi: number): number {
  let lo = iLo
  let hi = iHi
  if (!fast) {
    const words = (iLo & 7) === 0 ? readWords(m, iLo, iHi, 2) : undefined
    if (words === undefined) return hc.HV_INVALID_ALIGNMENT
    lo = words[0]
    hi = words[1]
  }
  if (!m.profile.kvm) return signalConnection(m, v, lo, hi & 0xffff)
  if ((hi & 0xffff) === 0) {
    if (lo >>> 0 > CONNECTION_ID_MAX || hi !== 0) return hc.HV_INVALID_HYPERCALL_INPUT
    if (signalEventfd(m, lo)) return hc.HV_SUCCESS
  }
  if (!m.isActive(v)) return hc.HV_INVALID_HYPERCALL_INPUT
  if (m.profile.model !== MODEL_QEMU) return ASK_VMM
  return answerOfQemu(m, fast, lo, hi)
}

/**
 * QEMU when the kernel asks (hyperv_hcall_signal_event): with eventfds in the kernel its own list is empty.
 */
function answerOfQemu(m: Machine, fast: boolean, lo: number, hi: number): number {
  let [low, high] = [lo, hi]
  if (!fast && m.options.compat_bugs) {
    // The kernel handed over the dereferenced value; QEMU dereferences it again.
    const words = (lo & 7) === 0 ? readWords(m, lo, hi, 2) : undefined
    if (words === undefined) return hc.HV_INVALID_ALIGNMENT
    low = words[0]
    high = words[1]
  }
  if ((high & 0xffff) !== 0) return hc.HV_INVALID_PORT_ID
  if (low >>> 0 > CONNECTION_ID_MAX || high !== 0) return hc.HV_INVALID_HYPERCALL_INPUT
  return hc.HV_INVALID_CONNECTION_ID
}

/** KVM_HYPERV_EVENTFD's fast path. Under QEMU the eventfd's handler then sets the port's flag. */
function signalEventfd(m: Machine, conn: number): boolean {
  const port = portOf(m, conn)
  const isEvent = port?.type === hc.PORT_EVENT && m.profile.model === MODEL_QEMU
  if (!m.eventfds.has(conn) && !isEvent) return false
  m.effects.push(EFFECT_SIGNAL, conn)
  if (port !== undefined && isEvent) {
    const v = m.rowOfVp(port.vp)
    if (v >= 0) signalQemu(m, v, port.sint, port.baseFlag)
  }
  return true
}

function portOf(m: Machine, conn: number): Port | undefined {
  const connection = m.connections.get(conn)
  return connection === undefined ? undefined : m.ports.get(connection.port)
}

/** `hv.signal_event`: the call with its input spelled out. */
export function signalEvent(m: Machine, v: number, conn: number, flag: number): void {
  const lo = conn
  const hi = flag & 0xffff
  if (!isPermitted(m, hc.HVCALL_SIGNAL_EVENT)) return answer(m, hc.HV_ACCESS_DENIED)
  const status = signalCall(m, v, true, lo, hi)
  if (status !== ASK_VMM) return answer(m, status)
  const control = hc.HVCALL_SIGNAL_EVENT | hc.CONTROL_FAST
  m.effects.hcallExit(m.vcpuId(v), control, 0, lo, hi, 0, 0)
}

/** HvSignalEvent on a connection of the TLFS or OpenVMM; statuses in the order of the TLFS. */
function signalConnection(m: Machine, v: number, conn: number, flag: number): number {
  const connection = m.connections.get(conn)
  if (connection === undefined) return hc.HV_INVALID_CONNECTION_ID
  const port = m.ports.get(connection.port)
  if (m.profile.model === MODEL_OPENVMM) {
    if (port?.type !== hc.PORT_EVENT) return hc.HV_INVALID_CONNECTION_ID
    // The flag number goes to the handler unchecked; its answer does not come back to the guest.
    const row = targetOf(m, v, port, () => true)
    if (row >= 0) signalOpenvmm(m, row, port.sint, port.baseFlag + flag)
    return hc.HV_SUCCESS
  }
  if (port?.type !== hc.PORT_EVENT) return hc.HV_INVALID_PORT_ID
  if (flag >= port.flagCount) return hc.HV_INVALID_PARAMETER
  const open = (row: number) =>
    (m.w[row + SCONTROL] & SCONTROL_ENABLE) !== 0 && (m.w[row + SIEFP] & PAGE_ENABLE) !== 0
  const row = targetOf(m, v, port, open)
  if (row < 0) return noTarget(m, port)
  return signal(m, row, port.sint, port.baseFlag + flag)
}

/** The row a port's messages go to; VP any takes the lowest VP index that is open. -1 if there is none. */
function targetOf(m: Machine, v: number, port: Port, isOpen: (row: number) => boolean): number {
  if (port.vp === hc.HV_VP_SELF) return v
  if (port.vp !== hc.HV_VP_ANY) return m.rowOfVp(port.vp)
  const rows = m.rowsById().toSorted((a, b) => m.w[a + VP_INDEX] - m.w[b + VP_INDEX])
  return rows.find(isOpen) ?? -1
}

function noTarget(m: Machine, port: Port): number {
  return port.vp === hc.HV_VP_ANY && m.vcpuCount > 0 ? hc.HV_INVALID_SYNIC_STATE : hc.HV_INVALID_VP_INDEX
}

/** HvPostMessage with its 256 bytes of input in memory. */
function postCall(m: Machine, v: number, fast: boolean, iLo: number, iHi: number): number {
  const qemu = m.profile.model === MODEL_QEMU
  if (m.profile.kvm) {
    if (!m.isActive(v)) return hc.HV_INVALID_HYPERCALL_INPUT
    if (!qemu) return ASK_VMM
  }
  if (fast) return qemu ? hc.HV_INVALID_HYPERCALL_CODE : hc.HV_INVALID_HYPERCALL_INPUT
  if ((iLo & (qemu ? 3 : 7)) !== 0) return hc.HV_INVALID_ALIGNMENT
  const words = readWords(m, iLo, iHi, hc.POST_MESSAGE_INPUT_BYTES / 4)
  const crosses = gpnOf(iLo, iHi) !== gpnOf(iLo + hc.POST_MESSAGE_INPUT_BYTES - 1, iHi)
  // QEMU maps the block as one piece of host memory, and an overlay is a piece by itself.
  const isSplit = crosses && (!qemu || isOverlaid(m, gpnOf(iLo, iHi)) || isOverlaid(m, gpnOf(iLo, iHi) + 1))
  if (words === undefined || isSplit) {
    return qemu ? hc.HV_INSUFFICIENT_MEMORY : hc.HV_INVALID_ALIGNMENT
  }
  return postConnection(m, v, words[0], messageOf(words[2], words[3] >>> 0, words, 4))
}

/** `hv.post_message`: the call with its input spelled out. */
export function postMessage(m: Machine, v: number, conn: number, message: Message): void {
  if (!isPermitted(m, hc.HVCALL_POST_MESSAGE)) return answer(m, hc.HV_ACCESS_DENIED)
  if (m.profile.kvm && !m.isActive(v)) return answer(m, hc.HV_INVALID_HYPERCALL_INPUT)
  if (m.profile.kvm && m.profile.model !== MODEL_QEMU) {
    return m.effects.hcallExit(m.vcpuId(v), hc.HVCALL_POST_MESSAGE, 0, 0, 0, 0, 0)
  }
  answer(m, postConnection(m, v, conn, message))
}

/** HvPostMessage on a connection, statuses in each machine's own order. */
function postConnection(m: Machine, v: number, conn: number, message: Message): number {
  switch (m.profile.model) {
    case MODEL_QEMU:
      return postToQemu(m, conn, message)
    case MODEL_OPENVMM:
      return postToOpenvmm(m, v, conn, message)
    default:
      return postToPort(m, v, conn, message)
  }
}

/** A guest's message; who sends it is known when its port is. */
export function messageOf(type: number, bytes: number, words: Int32Array, at: number): Message {
  return { type, bytes, senderLo: 0, senderHi: 0, words, at }
}

function postToQemu(m: Machine, conn: number, message: Message): number {
  if (message.bytes > PAYLOAD_BYTES_MAX) return hc.HV_INVALID_HYPERCALL_INPUT
  const port = portOf(m, conn & CONNECTION_ID_MAX)
  if (port?.type !== hc.PORT_MESSAGE) return hc.HV_INVALID_CONNECTION_ID
  const v = m.rowOfVp(port.vp)
  if (v < 0) return hc.HV_INVALID_HYPERCALL_INPUT
  // Accepted means staged: a busy slot is seen to later and never told to the sender.
  message.senderLo = conn & CONNECTION_ID_MAX
  return postRoute(m, v, port.sint, message) === 0 ? hc.HV_SUCCESS : hc.HV_INSUFFICIENT_BUFFERS
}

function postToOpenvmm(m: Machine, v: number, conn: number, message: Message): number {
  const port = portOf(m, conn)
  if (port?.type !== hc.PORT_MESSAGE) return hc.HV_INVALID_CONNECTION_ID
  const row = targetOf(m, v, port, () => true)
  // A handler that is not ready is found out before the message is looked at.
  if (row < 0) return hc.HV_INSUFFICIENT_BUFFERS
  if (message.bytes > PAYLOAD_BYTES_MAX) return hc.HV_INVALID_PARAMETER
  postOpenvmm(m, row, port.sint, message)
  // The port's handler takes the message; that its SINT is masked and drops it never comes back to the
  // sender.
  return m.effects.delivery === BUSY ? hc.HV_INSUFFICIENT_BUFFERS : hc.HV_SUCCESS
}

function postToPort(m: Machine, v: number, conn: number, message: Message): number {
  const connection = m.connections.get(conn)
  if (connection === undefined) return hc.HV_INVALID_CONNECTION_ID
  const port = m.ports.get(connection.port)
  if (port?.type !== hc.PORT_MESSAGE) return hc.HV_INVALID_PORT_ID
  const { type, bytes } = message
  const hypervisors = (type & HVMSG_HYPERVISOR) !== 0
  if (type === HVMSG_NONE || hypervisors || bytes > PAYLOAD_BYTES_MAX) return hc.HV_INVALID_PARAMETER
  const row = targetOf(m, v, port, (each) => acceptsMessages(m, each))
  if (row < 0) return noTarget(m, port)
  message.senderLo = connection.port
  return post(m, row, port.sint, message, connection.port)
}
