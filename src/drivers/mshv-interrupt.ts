/** MSHV's part of the hypervisor callback interrupt: the message in slot 0 (mshv_isr). */
import { HEADER_BYTES, HVMSG_NONE, HVMSG_SYNIC_SINT_INTERCEPT } from '../hv/messages.js'
import { HV_X64_MSR_EOM } from '../hv/msrs.js'
import { SINT_DOORBELL, SINT_INTERCEPT } from '../hv/registers.js'
import type { Kernel } from './kernel.js'
import { gpaOf, load, loadByte, memWrite, u32, u32s } from './memory.js'
import { MSHV } from './mshv.js'
import { drainDoorbells } from './mshv-doorbell.js'
import { type Place, type Strand, wrmsr } from './step.js'
import { PENDING, SLOT_BYTES, SLOT_FLAGS } from './vmbus-messages.js'

const HVMSG_OPAQUE_INTERCEPT = 0x8000_003f | 0
const HVMSG_ASYNC_CALL_COMPLETION = 0x8000_0070 | 0
const HVMSG_SCHEDULER_VP_SIGNAL_BITSET = 0x8000_0100 | 0
const HVMSG_SCHEDULER_VP_SIGNAL_PAIR = 0x8000_0101 | 0
const HVMSG_X64_APIC_EOI = 0x8001_0004 | 0
/** Low half of the sender, a partition id, in the message's header. */
const SENDER = 8
/** struct hv_x64_apic_eoi_message: VP index, then the vector. */
const EOI_VECTOR = 4

/**
 * A message that nobody handles stays in its slot: it is only warned of, and nothing else comes through SINT0
 * on this CPU from then on.
 */
export function* mshvIsr(kernel: Kernel, vcpu: number): Strand {
  const at: Place = { actor: MSHV, vcpu }
  const pages = kernel.mshv.pages.get(vcpu)
  if (pages === undefined) return
  const slot = gpaOf(pages.messages, SINT_INTERCEPT * SLOT_BYTES)
  const message = yield* load(at, slot, SLOT_BYTES)
  const type = u32(message, 0)
  if (type === HVMSG_NONE) return
  const isDoorbell = type === HVMSG_SYNIC_SINT_INTERCEPT && u32(message, HEADER_BYTES) === SINT_DOORBELL
  if (isDoorbell) yield* drainDoorbells(kernel, vcpu)
  else if (!handles(kernel, type, message)) {
    kernel.mshv.unhandled = type
    return
  }
  yield memWrite(at, slot, u32s(HVMSG_NONE))
  const flags = yield* loadByte(at, slot + SLOT_FLAGS)
  if ((flags & PENDING) !== 0) yield wrmsr(at, HV_X64_MSR_EOM, 0)
}

/** Scheduler, completion of a hypercall, intercept: in this order. */
function handles({ mshv }: Kernel, type: number, message: Uint8Array): boolean {
  switch (type) {
    case HVMSG_SCHEDULER_VP_SIGNAL_BITSET:
    case HVMSG_SCHEDULER_VP_SIGNAL_PAIR:
      // Handled even if none of the VPs it names is known.
      mshv.wakes++
      return true
    case HVMSG_ASYNC_CALL_COMPLETION:
      return wakes(mshv, u32(message, HEADER_BYTES))
    case HVMSG_X64_APIC_EOI:
      return (
        mshv.partitions.has(u32(message, SENDER)) && mshv.awaited.has(u32(message, HEADER_BYTES + EOI_VECTOR))
      )
    case HVMSG_OPAQUE_INTERCEPT:
      return wakes(mshv, u32(message, SENDER))
    default:
      return false
  }
}

function wakes(mshv: Kernel['mshv'], partition: number): boolean {
  if (!mshv.partitions.has(partition)) return false
  mshv.wakes++
  return true
}
