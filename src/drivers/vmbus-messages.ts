/** VMBus's message slot: taking a message out, understanding it, freeing the slot (vmbus_on_msg_dpc). */
import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import { HEADER_BYTES, HVMSG_NONE, PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import { HV_X64_MSR_EOM } from '../hv/msrs.js'
import { SINT_VMBUS } from '../hv/registers.js'
import type { Kernel } from './kernel.js'
import { type Gpa, gpaOf, load, loadByte, memCas, u32, u32s } from './memory.js'
import { type Place, type Strand, wrmsr } from './step.js'
import { MESSAGE_PAGE, VMBUS, vmbusMsr } from './vmbus.js'
import { CHANNELMSG, postChannelMessage } from './vmbus-post.js'

export const SLOT_BYTES = 256
/** Offset of a slot's flags byte. */
export const SLOT_FLAGS = 5
/** Bit 0 of it: something else waits for this SINT. */
export const PENDING = 1
const SIZE_BYTE = 4

/** channel_message_table: messages with a handler, their least size, and whether the handler may sleep. */
const HANDLERS: ReadonlyMap<number, { readonly bytesMin: number; readonly sleeps: boolean }> = new Map([
  [CHANNELMSG.OFFER, { bytesMin: 196, sleeps: true }],
  [CHANNELMSG.RESCIND, { bytesMin: 12, sleeps: true }],
  [CHANNELMSG.ALL_OFFERS_DELIVERED, { bytesMin: 8, sleeps: true }],
  [CHANNELMSG.OPEN_RESULT, { bytesMin: 20, sleeps: false }],
  [CHANNELMSG.GPADL_CREATED, { bytesMin: 20, sleeps: false }],
  [CHANNELMSG.GPADL_TORNDOWN, { bytesMin: 12, sleeps: false }],
  [CHANNELMSG.VERSION_RESPONSE, { bytesMin: 16, sleeps: false }],
  [CHANNELMSG.UNLOAD_RESPONSE, { bytesMin: 8, sleeps: false }],
])
/** Offsets in struct vmbus_channel_offer_channel and struct vmbus_channel_rescind_offer. */
const OFFER_RELID = 184
const OFFER_CONNECTION = 192
const RESCIND_RELID = 8

/** Address of VMBus's slot on a CPU. */
export function vmbusSlot(kernel: Kernel, vcpu: number): Gpa {
  return gpaOf(kernel.page(MESSAGE_PAGE, vcpu), SINT_VMBUS * SLOT_BYTES)
}

/**
 * vmbus_signal_eom: frees a slot that still holds what was seen in it, then asks for more if more waits. The
 * flag is read behind the compare-and-swap, a full barrier: before it, a message set aside in between would
 * stay there.
 */
export function* signalEom(kernel: Kernel, vcpu: number, slot: Gpa, seen: number): Strand {
  const at: Place = { actor: VMBUS, vcpu }
  const { valueLo } = yield memCas(at, slot, 4, seen, HVMSG_NONE)
  if (valueLo !== seen) return
  const flags = yield* loadByte(at, slot + SLOT_FLAGS)
  if ((flags & PENDING) !== 0) yield wrmsr(at, vmbusMsr(kernel, HV_X64_MSR_EOM), 0)
}

/** The tasklet: one message, if there is one. */
export function* vmbusTasklet(kernel: Kernel, vcpu: number): Strand {
  const slot = vmbusSlot(kernel, vcpu)
  const message = yield* load({ actor: VMBUS, vcpu }, slot, SLOT_BYTES)
  const type = u32(message, 0)
  if (type === HVMSG_NONE) return
  const payload = payloadOf(message)
  const handler = payload === undefined ? undefined : HANDLERS.get(u32(payload, 0))
  const isValid = payload !== undefined && handler !== undefined && payload.length >= handler.bytesMin
  if (isValid && handler.sleeps && !kernel.vmbus.hasAtomicMemory) return
  const release = isValid ? dispatch(kernel, payload) : undefined
  yield* signalEom(kernel, vcpu, slot, type)
  if (release !== undefined) {
    const released = u32s(CHANNELMSG.RELID_RELEASED, 0, release)
    yield* postChannelMessage(kernel, vcpu, released)
  }
}

/** What the message says; nothing if its size cannot be. */
function payloadOf(message: Uint8Array): Uint8Array | undefined {
  const bytes = message[SIZE_BYTE] ?? 0
  return bytes > PAYLOAD_BYTES_MAX ? undefined : message.slice(HEADER_BYTES, HEADER_BYTES + bytes)
}

/** vmbus_onmessage. Returns the relative id that the work queue then gives back, if any. */
function dispatch({ vmbus, bootCpu }: Kernel, payload: Uint8Array): number | undefined {
  const type = u32(payload, 0)
  vmbus.note(type, payload)
  if (type === CHANNELMSG.OFFER) {
    const relid = u32(payload, OFFER_RELID)
    const isNew = relid > 0 && relid < FLAGS_PER_SINT && !vmbus.channels.has(relid)
    // init_vp_index: channels that need not be fast interrupt the connect CPU.
    if (isNew)
      vmbus.channels.set(relid, { connection: u32(payload, OFFER_CONNECTION), vcpu: bootCpu, calls: 0 })
    return undefined
  }
  if (type !== CHANNELMSG.RESCIND) return undefined
  const relid = u32(payload, RESCIND_RELID)
  return vmbus.channels.delete(relid) ? relid : undefined
}
