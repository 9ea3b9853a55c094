/** `message.post` and `event.signal`: what the VMM or hypervisor does, by each machine's own rules. */
import { EINVAL } from '../hv/errno.js'
import { PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import { SINT_COUNT } from '../hv/registers.js'
import { DROPPED, EFFECT_DROPPED, FROM_MESSAGE } from './effects.js'
import { postKvm, signalKvm } from './kvm-delivery.js'
import type { Machine } from './machine.js'
import type { Message } from './message-slot.js'
import { postOpenvmm, signalOpenvmm } from './openvmm.js'
import { MODEL_KVM, MODEL_OPENVMM, MODEL_QEMU, MODEL_TLFS } from './profile.js'
import { postQemu, signalQemu } from './qemu.js'
import { beginSplit } from './split-delivery.js'
import { postTlfs, signal } from './tlfs.js'

/** Post a message to a SINT. A SINT above 15 is -EINVAL; OpenVMM drops it, as its interface does. */
export function postHost(m: Machine, f: number, sint: number, message: Message): void {
  if (message.bytes < 0 || message.bytes > PAYLOAD_BYTES_MAX) return m.effects.fail(EINVAL)
  if (sint < 0 || sint >= SINT_COUNT) {
    if (m.profile.model !== MODEL_OPENVMM) return m.effects.fail(EINVAL)
    m.effects.push(EFFECT_DROPPED, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint & 0xff, FROM_MESSAGE), EINVAL)
    return m.effects.setDelivery(DROPPED)
  }
  // A SynIC that was never activated has neither slots nor interrupts.
  if (!m.isActive(f)) return m.effects.fail(EINVAL)
  if (m.options.split_delivery) return beginSplit(m, f, sint, message)
  switch (m.profile.model) {
    case MODEL_KVM:
      return postKvm(m, f, sint, message)
    case MODEL_QEMU:
      return postQemu(m, f, sint, message)
    case MODEL_OPENVMM:
      return postOpenvmm(m, f, sint, message)
    case MODEL_TLFS:
      return postTlfs(m, f, sint, message)
  }
}

/** Set an event flag. KVM and QEMU answer with an errno, OpenVMM and the TLFS with a status. */
export function signalHost(m: Machine, f: number, sint: number, flag: number): void {
  if (sint < 0 || sint >= SINT_COUNT || flag < 0 || !m.isActive(f)) return m.effects.fail(EINVAL)
  switch (m.profile.model) {
    case MODEL_KVM:
      return signalKvm(m, f, sint, flag)
    case MODEL_QEMU: {
      const errno = signalQemu(m, f, sint, flag)
      return errno < 0 ? m.effects.fail(errno) : undefined
    }
    case MODEL_OPENVMM:
      return m.effects.setStatus(signalOpenvmm(m, f, sint, flag))
    case MODEL_TLFS:
      return m.effects.setStatus(signal(m, f, sint, flag))
  }
}
