/** VMBus's part of the hypervisor callback interrupt (vmbus_isr): event flags, then the message slot. */
import { FLAGS_PER_SINT, flagByte } from '../hv/event-flags.js'
import { HVMSG_NONE, HVMSG_TIMER_EXPIRED } from '../hv/messages.js'
import { SINT_VMBUS } from '../hv/registers.js'
import type { Kernel } from './kernel.js'
import { type Gpa, gpaOf, load, loadU32, memCas } from './memory.js'
import type { Place, Strand } from './step.js'
import { stimerExpired } from './stimer.js'
import { EVENT_PAGE, VMBUS } from './vmbus.js'
import { signalEom, vmbusSlot } from './vmbus-messages.js'

const AREA_BYTES = FLAGS_PER_SINT / 8

/** True if a message waits for the tasklet, which runs once the interrupt has ended. */
export function* vmbusIsr(kernel: Kernel, vcpu: number): Strand<boolean> {
  yield* scanEventFlags(kernel, vcpu)
  const slot = vmbusSlot(kernel, vcpu)
  const type = yield* loadU32({ actor: VMBUS, vcpu }, slot)
  if (type === HVMSG_TIMER_EXPIRED) {
    yield* stimerExpired(kernel, vcpu)
    yield* signalEom(kernel, vcpu, slot, type)
    return false
  }
  return type !== HVMSG_NONE
}

/**
 * vmbus_chan_sched. The area is looked at once: a flag set behind that look has an interrupt of its own.
 */
function* scanEventFlags(kernel: Kernel, vcpu: number): Strand {
  const area = yield* eventArea(kernel, vcpu)
  for (const flag of flagsIn(area)) {
    const byte = area[flag >> 3]
    if (!(yield* testAndClear(kernel, vcpu, flag, byte))) continue
    // Flag 0 belonged to hosts that shared one flag among all channels.
    const channel = flag === 0 ? undefined : kernel.vmbus.channels.get(flag)
    if (channel !== undefined) channel.calls++
    area[flag >> 3] = byte & ~(1 << (flag & 7))
  }
}

/** VMBus's 256 bytes of event flags on a CPU, as a copy. */
export function* eventArea(kernel: Kernel, vcpu: number): Strand<Uint8Array> {
  const area = yield* load({ actor: VMBUS, vcpu }, eventByte(kernel, vcpu, 0), AREA_BYTES)
  return area.slice()
}

/** Flags that are set in an area, ascending. */
export function flagsIn(area: Uint8Array): number[] {
  const flags: number[] = []
  area.forEach((byte, i) => {
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) flags.push(8 * i + bit)
  })
  return flags
}

function eventByte(kernel: Kernel, vcpu: number, flag: number): Gpa {
  return gpaOf(kernel.page(EVENT_PAGE, vcpu), flagByte(SINT_VMBUS, flag))
}

/** sync_test_and_clear_bit, by compare-and-swap until nobody interfered. False if the flag was clear. */
function* testAndClear(kernel: Kernel, vcpu: number, flag: number, seen: number): Strand<boolean> {
  const at: Place = { actor: VMBUS, vcpu }
  const bit = 1 << (flag & 7)
  for (let expected = seen; (expected & bit) !== 0; ) {
    const effects = yield memCas(at, eventByte(kernel, vcpu, flag), 1, expected, expected & ~bit)
    if (!effects.ok) return false
    if (effects.valueLo === expected) return true
    expected = effects.valueLo
  }
  return false
}
