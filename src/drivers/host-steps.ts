/** What firmware, loaders and the VMM need beside `step.ts`: slots, page registers, the host's own writes. */
import { gpnOf, type Halves } from '../hv/bits.js'
import { HEADER_BYTES } from '../hv/messages.js'
import * as msrs from '../hv/msrs.js'
import { PAGE_ENABLE } from '../hv/registers.js'
import { HAS_STATUS } from '../synic/effects.js'
import * as o from '../synic/op.js'
import type { Gpn, Kernel } from './kernel.js'
import { allocate, free, type Gpa, gpaOf, loadByte, memRead, memWrite, u32 } from './memory.js'
import { halves, hvPost, type Place, type Step, type Strand, wrmsr } from './step.js'
import { MESSAGE_CONNECTION } from './vmbus-contact-state.js'
import { PENDING, SLOT_BYTES, SLOT_FLAGS } from './vmbus-messages.js'
import { VMBUS_MESSAGE } from './vmbus-post.js'

/** The bits of a page register that are neither its address nor its enable bit. */
const KEPT = 0xffe

/** A millisecond in ticks of the reference clock. */
export const TICKS_PER_MS = 10_000

/** Pages for these purposes, one claim after another. */
export function* claimPages(kernel: Kernel, at: Place, purposes: readonly string[]): Strand {
  for (const purpose of purposes) yield* allocate(kernel, at, purpose)
}

/** The same pages back to the allocator. */
export function* freePages(kernel: Kernel, at: Place, purposes: readonly string[]): Strand {
  for (const purpose of purposes) yield* free(kernel, at, purpose)
}

/** HvPostMessage, tried once. Without a status the VMM answers, later: the message counts as accepted. */
export function* post(at: Place, payload: Uint8Array): Strand<boolean> {
  const effects = yield hvPost(at, MESSAGE_CONNECTION, VMBUS_MESSAGE, payload)
  return effects.ok && ((effects.has & HAS_STATUS) === 0 || effects.status === 0)
}

/** Atomic exchange of eight bytes with 0. */
export function takeQuad({ actor, vcpu }: Place, gpa: Gpa): Step {
  return { actor, vcpu, code: o.OP_MEM_XCHG, args: [...halves(gpa), 8, 0, 0] }
}

/** A register as the VMM writes it (KVM_SET_MSRS). */
export function hostWrmsr({ actor, vcpu }: Place, msr: number, lo: number, hi = 0): Step {
  return { actor, vcpu, code: o.OP_MSR_WRITE, args: [msr, lo, hi], byHost: true }
}

/** A register as the VMM reads it (KVM_GET_MSRS). */
export function hostRdmsr({ actor, vcpu }: Place, msr: number): Step {
  return { actor, vcpu, code: o.OP_MSR_READ, args: [msr], byHost: true }
}

/** Guest memory as the VMM fills it. */
export function hostStore(at: Place, gpa: Gpa, bytes: Uint8Array): Step {
  return { ...memWrite(at, gpa, bytes), byHost: true }
}

/** What stands in a message slot. */
export interface Slot {
  readonly type: number
  readonly payload: Uint8Array
}

export function slotGpa(page: Gpn, sint: number): Gpa {
  return gpaOf(page, SLOT_BYTES * sint)
}

/** One slot of a message page, copied; null where there is no memory. */
export function* readSlot(at: Place, page: Gpn, sint: number): Strand<Slot | null> {
  const effects = yield memRead(at, slotGpa(page, sint), SLOT_BYTES)
  if (!effects.ok) return null
  const bytes = effects.bytes.slice()
  return { type: u32(bytes, 0), payload: bytes.subarray(HEADER_BYTES) }
}

/** A plain store of type 0: right only for a slot with a single reader. */
export function emptySlot(at: Place, page: Gpn, sint: number): Step {
  return memWrite(at, slotGpa(page, sint), new Uint8Array(4))
}

/**
 * EOM if something waits for the slot. The flag is read behind the store that emptied it: steps happen in
 * program order, so the barrier between the two is no step.
 */
export function* eomIfPending(at: Place, page: Gpn, sint: number, eom = msrs.HV_X64_MSR_EOM): Strand {
  const flags = yield* loadByte(at, slotGpa(page, sint) + SLOT_FLAGS)
  if ((flags & PENDING) !== 0) yield wrmsr(at, eom, 0)
}

/** A page register without address and enable bit. */
export function disabled({ lo }: Halves): Halves {
  return { lo: lo & KEPT, hi: 0 }
}

export function isEnabled({ lo }: Halves): boolean {
  return (lo & PAGE_ENABLE) !== 0
}

/** The page that a page register names. */
export function pageOf({ lo, hi }: Halves): Gpn {
  return gpnOf(lo, hi)
}
