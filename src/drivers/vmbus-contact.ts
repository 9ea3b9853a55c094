/** VMBus meeting its host and leaving it: INITIATE_CONTACT, UNLOAD, and waiting for the answers. */
import { EINVAL } from '../hv/errno.js'
import { HEADER_BYTES, HVMSG_NONE } from '../hv/messages.js'
import { interrupt } from './interrupt.js'
import type { Kernel } from './kernel.js'
import { gpaOf, load, memWrite, u32, u32s } from './memory.js'
import { halves, type Place, type Strand, wait } from './step.js'
import { MESSAGE_PAGE, VMBUS } from './vmbus.js'
import {
  MESSAGE_CONNECTION,
  MESSAGE_CONNECTION_4,
  VERSION_WIN8_1,
  VERSION_WIN10_V5,
  VMBUS_VERSIONS,
} from './vmbus-contact-state.js'
import { SLOT_BYTES, signalEom, vmbusSlot } from './vmbus-messages.js'
import { CHANNELMSG, postChannelMessage, TICKS_PER_MICROSECOND } from './vmbus-post.js'

export const ETIMEDOUT = -110
const TICKS_PER_MS = 1000 * TICKS_PER_MICROSECOND
/** UNLOAD_DELAY_UNIT_MS. */
export const ROUND_TICKS = 10 * TICKS_PER_MS
/** UNLOAD_WAIT_MS / UNLOAD_DELAY_UNIT_MS: how long a crashing kernel looks for the answer. */
const CRASH_ROUNDS = 10_000
/** Pages that the host and the guest share beside the SynIC's (vmbus_connect). */
export const CONTACT_PAGES = ['vmbus interrupt page', 'vmbus monitor page 1', 'vmbus monitor page 2'] as const
const VERSION_SUPPORTED = 8
const MESSAGE_CONNECTION_AT = 12

/** How to wait for what Linux awaits without limit. */
export interface Patience {
  /** Rounds of 10 ms; then the waiter gives up, where Linux would hang. */
  readonly rounds: number
  /** The waiting CPU takes its own interrupts. Not where another strand is that CPU's interrupts. */
  readonly takesInterrupts: boolean
}

export const PATIENCE: Patience = { rounds: 10, takesInterrupts: true }

/** Waits for a channel message of this type, or gives up. */
function* awaitAnswer(kernel: Kernel, type: number, patience: Patience): Strand<Uint8Array | undefined> {
  const at: Place = { actor: VMBUS, vcpu: kernel.bootCpu }
  for (let round = 0; round < patience.rounds && kernel.vmbus.answer(type) === undefined; round++) {
    if (patience.takesInterrupts) yield* interrupt(kernel, kernel.bootCpu)
    if (kernel.vmbus.answer(type) === undefined) yield wait(at, ROUND_TICKS)
  }
  return kernel.vmbus.answer(type)
}

/** vmbus_connect and vmbus_request_offers: newest protocol first. 0, or a negative errno. */
export function* vmbusConnect(kernel: Kernel, patience = PATIENCE): Strand<number> {
  const { vmbus } = kernel
  for (const version of VMBUS_VERSIONS) {
    const errno = yield* negotiate(kernel, version, patience)
    if (errno === ETIMEDOUT) return errno
    if (!vmbus.connected) continue
    return yield* postChannelMessage(kernel, kernel.bootCpu, u32s(CHANNELMSG.REQUEST_OFFERS, 0))
  }
  return EINVAL
}

/** vmbus_negotiate_version. */
function* negotiate(kernel: Kernel, version: number, patience: Patience): Strand<number> {
  const { vmbus, bootCpu } = kernel
  const [interruptPage, ...monitors] = CONTACT_PAGES.map((purpose) => gpaOf(kernel.page(purpose, bootCpu)))
  const hasSint = version >= VERSION_WIN10_V5
  vmbus.connection = hasSint ? MESSAGE_CONNECTION_4 : MESSAGE_CONNECTION
  vmbus.forget(CHANNELMSG.VERSION_RESPONSE)
  // From 5.0 the message says which SINT to answer on, in place of the interrupt page.
  const target = hasSint ? [2, 0] : halves(interruptPage)
  const contact = u32s(
    CHANNELMSG.INITIATE_CONTACT,
    0,
    version,
    bootCpu,
    ...target,
    ...monitors.flatMap(halves),
  )
  const errno = yield* postChannelMessage(kernel, bootCpu, contact)
  if (errno < 0) return errno
  const response = yield* awaitAnswer(kernel, CHANNELMSG.VERSION_RESPONSE, patience)
  if (response === undefined) return ETIMEDOUT
  if (response[VERSION_SUPPORTED] === 0) return EINVAL
  vmbus.connected = true
  vmbus.version = version
  if (hasSint) vmbus.connection = u32(response, MESSAGE_CONNECTION_AT)
  return 0
}

/**
 * vmbus_initiate_unload: from here on VMBus counts as disconnected. 0, or ETIMEDOUT where Linux would wait
 * for ever.
 */
export function* vmbusUnload(kernel: Kernel, patience = PATIENCE): Strand<number> {
  if (!(yield* postUnload(kernel, kernel.bootCpu))) return 0
  const answer = yield* awaitAnswer(kernel, CHANNELMSG.UNLOAD_RESPONSE, patience)
  return answer === undefined ? ETIMEDOUT : 0
}

/** False if there is nobody to tell: not connected, or a host that knows no reconnecting guests. */
function* postUnload(kernel: Kernel, vcpu: number): Strand<boolean> {
  const { vmbus } = kernel
  const tells = vmbus.connected && vmbus.version >= VERSION_WIN8_1
  vmbus.connected = false
  if (!tells) return false
  vmbus.forget(CHANNELMSG.UNLOAD_RESPONSE)
  yield* postChannelMessage(kernel, vcpu, u32s(CHANNELMSG.UNLOAD, 0))
  return true
}

/**
 * The same while crashing (vmbus_wait_for_unload): no interrupts, so the slots of all CPUs are looked at.
 * EOM goes to the crashing CPU whosever slot it was.
 */
export function* vmbusCrashUnload(kernel: Kernel, vcpu: number, rounds = CRASH_ROUNDS): Strand<number> {
  if (!(yield* postUnload(kernel, vcpu))) return 0
  const isAnswered = () => kernel.vmbus.answer(CHANNELMSG.UNLOAD_RESPONSE) !== undefined
  for (let round = 0; round < rounds && !isAnswered(); round++) {
    for (const other of kernel.vcpus()) yield* pollSlot(kernel, vcpu, other)
    yield wait({ actor: VMBUS, vcpu }, ROUND_TICKS)
  }
  yield* clearSlots(kernel, vcpu)
  return isAnswered() ? 0 : ETIMEDOUT
}

function* pollSlot(kernel: Kernel, vcpu: number, other: number): Strand {
  if (!kernel.hasPage(MESSAGE_PAGE, other)) return
  const slot = vmbusSlot(kernel, other)
  const message = yield* load({ actor: VMBUS, vcpu }, slot, SLOT_BYTES)
  const type = u32(message, 0)
  if (type === HVMSG_NONE) return
  const payload = message.slice(HEADER_BYTES)
  if (u32(payload, 0) === CHANNELMSG.UNLOAD_RESPONSE) kernel.vmbus.note(CHANNELMSG.UNLOAD_RESPONSE, payload)
  yield* signalEom(kernel, vcpu, slot, type)
}

/** Whatever still lies in the slots is thrown away, without EOM: the next kernel shall find them free. */
function* clearSlots(kernel: Kernel, vcpu: number): Strand {
  for (const other of kernel.vcpus()) {
    if (!kernel.hasPage(MESSAGE_PAGE, other)) continue
    yield memWrite({ actor: VMBUS, vcpu }, vmbusSlot(kernel, other), u32s(HVMSG_NONE))
  }
}
