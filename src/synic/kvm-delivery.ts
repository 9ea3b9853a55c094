/** KVM's message write, and host posts and signals on KVM (KVM hyperv.c: synic_deliver_msg). */
import { gpnOf } from '../hv/bits.js'
import { EAGAIN, EFAULT, EINVAL, ENOENT, ENXIO } from '../hv/errno.js'
import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import { HVMSG_NONE } from '../hv/messages.js'
import { PAGE_ENABLE, SCONTROL_ENABLE } from '../hv/registers.js'
import { BUSY, DELIVERED, DROPPED, EFFECT_DROPPED, FROM_EVENT, FROM_MESSAGE, type Source } from './effects.js'
import { SCONTROL, SIEFP, SIMP } from './layout.js'
import type { Machine } from './machine.js'
import { type Message, setFlag, setPending, slotType, writeSlot } from './message-slot.js'
import { eventFrame, guestFrame, messageFrame } from './pages.js'
import { MODEL_QEMU } from './profile.js'
import { assertSint } from './sint.js'

/**
 * KVM synic_deliver_msg: one attempt, in the vCPU's own thread. Returns 0 or a negative errno. With a masked
 * SINT or a disabled APIC the message stands in the slot although an error is returned.
 * @param noRetry a busy slot counts as success and is not told that something waits (periodic timers)
 */
export function deliver(
  m: Machine,
  f: number,
  sint: number,
  message: Message,
  noRetry: boolean,
  source: Source,
): number {
  if ((m.w[f + SIMP] & PAGE_ENABLE) === 0) return ENOENT
  const frame = kernelMessageFrame(m, f)
  if (frame === 0) return EFAULT
  if (slotType(m, frame, sint) !== HVMSG_NONE) {
    if (noRetry) return 0
    setPending(m, frame, sint, true)
    return EAGAIN
  }
  writeSlot(m, f, frame, sint, message, source, false, false)
  const accepted = assertSint(m, f, sint, source)
  if (accepted < 0) return accepted
  return accepted === 0 ? EFAULT : 0
}

/**
 * KVM writes to a guest address and knows nothing of QEMU's overlays: what lies there receives the message.
 */
function kernelMessageFrame(m: Machine, f: number): number {
  if (m.profile.model !== MODEL_QEMU) return messageFrame(m, f)
  return guestFrame(m, gpnOf(m.w[f + SIMP], m.w[f + SIMP + 1]))
}

/** `message.post` on KVM: one attempt that leaves nothing behind when the slot is busy. */
export function postKvm(m: Machine, f: number, sint: number, message: Message): void {
  const { effects } = m
  const before = effects.length
  const result = deliver(m, f, sint, message, false, FROM_MESSAGE)
  // Something was said exactly when the message was written: the slot is full even if the interrupt was lost.
  if (effects.length > before) effects.setDelivery(DELIVERED, result)
  else if (result === EAGAIN) effects.setDelivery(BUSY, EAGAIN)
  else {
    effects.push(EFFECT_DROPPED, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint, FROM_MESSAGE), result)
    effects.setDelivery(DROPPED, result)
  }
}

/** `event.signal` on KVM: QEMU's rule on guest RAM, the interrupt asserted directly. */
export function signalKvm(m: Machine, f: number, sint: number, flag: number): void {
  const { effects, w } = m
  if (flag >= FLAGS_PER_SINT) return effects.fail(EINVAL)
  const enabled = (w[f + SCONTROL] & SCONTROL_ENABLE) !== 0 && (w[f + SIEFP] & PAGE_ENABLE) !== 0
  const frame = enabled ? eventFrame(m, f) : 0
  if (!enabled) return effects.fail(ENXIO)
  if (frame === 0) return effects.fail(EFAULT)
  const newly = setFlag(m, f, frame, sint, flag)
  effects.value(newly ? 1 : 0, 0)
  // What becomes of the interrupt is never learnt, as with QEMU's irqfd: a lost edge leaves the flag set.
  if (newly) assertSint(m, f, sint, FROM_EVENT)
}
