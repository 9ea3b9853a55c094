/** iPXE on a generation 1 machine: takes the SynIC, polls SINT2, hands over to a loader, takes back. */
import type { Halves } from '../hv/bits.js'
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import { HVMSG_NONE } from '../hv/messages.js'
import * as msrs from '../hv/msrs.js'
import {
  SCONTROL_ENABLE,
  SINT_AUTO_EOI,
  SINT_COUNT,
  SINT_MASKED,
  SINT_VECTOR,
  SINT_VMBUS,
} from '../hv/registers.js'
import * as s from './host-steps.js'
import type { Gpn, Kernel } from './kernel.js'
import { gpaOf, memWrite, u32, u32s } from './memory.js'
import { attach, detach, halves, type Place, read, type Strand, update, wait, wrmsr } from './step.js'
import { pageAt } from './vmbus.js'
import { VERSION_WIN8_1 } from './vmbus-contact-state.js'
import { CHANNELMSG } from './vmbus-post.js'

const IPXE = 'ipxe'
/** HV_GUEST_OS_ID_IPXE and HV_GUEST_OS_ID_UEFI. */
const OS_ID_IPXE: Halves = { lo: 0, hi: 0x98ae_0000 | 0 }
export const OS_ID_UEFI: Halves = { lo: 0, hi: 1 << 8 }
/** IRQ 13 (FPU exceptions) is free on anything modern: its vector is a no-op. */
const IRQ13_VECTOR = 0x75
/** HV_MESSAGE_MAX_WAIT_MS: one look a millisecond. */
export const IPXE_POLLS = 1000
/** VMBUS_VERSION_WS2008, the oldest: Windows Server 2012 R2 boots over a connection of no other version. */
const VERSION_0_13 = 0xd

const HYPERCALL_PAGE = 'ipxe hypercall page'
const MESSAGE_PAGE = 'ipxe message page'
const EVENT_PAGE = 'ipxe event page'
const VMBUS_PAGES = ['ipxe interrupt page', 'ipxe monitor page in', 'ipxe monitor page out'] as const
const PAGES = [HYPERCALL_PAGE, MESSAGE_PAGE, EVENT_PAGE, ...VMBUS_PAGES] as const
const SINT2 = msrs.HV_X64_MSR_SINT0 + SINT_VMBUS
const CLAIMS = [msrs.HV_X64_MSR_SCONTROL, msrs.HV_X64_MSR_SIEFP, msrs.HV_X64_MSR_SIMP, SINT2] as const

/**
 * How the handover to a loader is done: as published; not at all (the driver before it learnt to); or with
 * SCONTROL cleared too, which leaves the loader of Windows Server 2016 waiting for ever.
 */
export const QUIESCE_FORMS = ['published', 'left_out', 'clears_scontrol'] as const
export type QuiesceForm = (typeof QUIESCE_FORMS)[number]

/** hv_check_uefi: the firmware of a generation 2 machine owns the connection, and nothing may be touched. */
function* ipxeCheck(at: Place): Strand<boolean> {
  const id = yield* read(at, msrs.HV_X64_MSR_GUEST_OS_ID)
  return id.lo !== OS_ID_UEFI.lo || id.hi !== OS_ID_UEFI.hi
}

/** hv_map_hypercall, without the read of the old id that only a debug message uses. */
function* ipxeMapHypercall(at: Place, page: Gpn): Strand {
  yield wrmsr(at, msrs.HV_X64_MSR_GUEST_OS_ID, OS_ID_IPXE.lo, OS_ID_IPXE.hi)
  yield* update(at, msrs.HV_X64_MSR_HYPERCALL, (old) => pageAt(old, page))
}

/** hv_unmap_hypercall. */
function* ipxeUnmapHypercall(at: Place): Strand {
  yield* update(at, msrs.HV_X64_MSR_HYPERCALL, s.disabled)
  yield wrmsr(at, msrs.HV_X64_MSR_GUEST_OS_ID, 0)
}

/** hv_map_synic: both pages are zeroed every time, so nothing of a former owner is taken for a message. */
function* ipxeMapSynic(at: Place, messages: Gpn, events: Gpn): Strand {
  for (const page of [messages, events]) {
    yield memWrite(at, gpaOf(page), new Uint8Array(GPA_PAGE_BYTES))
  }
  yield* update(at, msrs.HV_X64_MSR_SIMP, (old) => pageAt(old, messages))
  yield* update(at, msrs.HV_X64_MSR_SIEFP, (old) => pageAt(old, events))
  yield* update(at, msrs.HV_X64_MSR_SCONTROL, ({ lo, hi }) => ({ lo: lo | SCONTROL_ENABLE, hi }))
}

/** hv_unmap_synic: SCONTROL goes first. Without it, the form that a handover uses. */
function* ipxeUnmapSynic(at: Place, clearsScontrol = true): Strand {
  if (clearsScontrol) {
    yield* update(at, msrs.HV_X64_MSR_SCONTROL, ({ lo, hi }) => ({ lo: lo & ~SCONTROL_ENABLE, hi }))
  }
  yield* update(at, msrs.HV_X64_MSR_SIEFP, s.disabled)
  yield* update(at, msrs.HV_X64_MSR_SIMP, s.disabled)
}

/** hv_enable_sint: unmasked although nobody wants the interrupt, else no message would come. */
function* ipxeSintOn(at: Place): Strand {
  yield* update(at, SINT2, ({ lo, hi }) => ({
    lo: (lo & ~(SINT_MASKED | SINT_VECTOR)) | SINT_AUTO_EOI | IRQ13_VECTOR,
    hi,
  }))
}

/** hv_disable_sint: a masked SINT is left as it is. */
function* ipxeSintOff(at: Place, sint: number): Strand {
  const msr = msrs.HV_X64_MSR_SINT0 + sint
  const { lo, hi } = yield* read(at, msr)
  if ((lo & SINT_MASKED) === 0) yield wrmsr(at, msr, (lo & ~SINT_AUTO_EOI) | SINT_MASKED, hi)
}

/**
 * hv_wait_for_message. EOM is written while waiting, not behind a message that was consumed. Null: nothing
 * came.
 */
export function* ipxeWait(at: Place, page: Gpn, polls = IPXE_POLLS): Strand<Uint8Array | null> {
  for (let poll = 0; poll < polls; poll++) {
    const slot = yield* s.readSlot(at, page, SINT_VMBUS)
    if (slot !== null && slot.type !== HVMSG_NONE) {
      yield s.emptySlot(at, page, SINT_VMBUS)
      return slot.payload
    }
    yield wrmsr(at, msrs.HV_X64_MSR_EOM, 0)
    yield wait(at, s.TICKS_PER_MS)
  }
  return null
}

/** The register side of hv_quiesce: a handover that a loader survives leaves SCONTROL set. */
export function* ipxeQuiesce(at: Place, form: QuiesceForm = 'published'): Strand {
  if (form === 'left_out') return
  for (let sint = 0; sint < SINT_COUNT; sint++) yield* ipxeSintOff(at, sint)
  yield* ipxeUnmapSynic(at, form === 'clears_scontrol')
  yield* ipxeUnmapHypercall(at)
}

/** The driver from probe to removal, on the boot CPU. */
export class Ipxe {
  readonly at: Place
  readonly #kernel: Kernel
  #probed = false
  #attached = false

  constructor(kernel: Kernel, vcpu: number) {
    this.#kernel = kernel
    this.at = { actor: IPXE, vcpu }
  }

  /** hv_probe as far as SINT2. False: the machine's firmware is the owner, and nothing was touched. */
  *attach(): Strand<boolean> {
    if (!(yield* ipxeCheck(this.at))) return false
    yield* s.claimPages(this.#kernel, this.at, PAGES)
    this.#probed = true
    yield* this.#takeOver()
    return true
  }

  /** All of hv_probe; what was set up is taken down again if VMBus does not answer. */
  *probe(polls = IPXE_POLLS): Strand<boolean> {
    if (!(yield* this.attach())) return false
    if (yield* this.contact(polls)) return true
    yield* this.#release()
    return false
  }

  /** vmbus_negotiate_version: 3.0 to see that the host knows UNLOAD, then the oldest version. */
  *contact(polls = IPXE_POLLS): Strand<boolean> {
    if (!(yield* this.#initiateContact(VERSION_WIN8_1, polls))) return false
    if (!(yield* this.#unload(polls))) return false
    return yield* this.#initiateContact(VERSION_0_13, polls)
  }

  /** hv_quiesce. VMBus is not unloaded: the connection may be wanted again. */
  *quiesce(form: QuiesceForm = 'published'): Strand {
    if (!this.#probed) return
    yield* ipxeQuiesce(this.at, form)
    if (form !== 'left_out') yield* this.#giveUp()
  }

  /**
   * hv_unquiesce, called when the loader comes back for a disk read. An enabled SIMP is the token of
   * ownership: still enabled means nobody was here.
   */
  *unquiesce(polls = IPXE_POLLS): Strand<'still_ours' | 'taken_back' | 'lost'> {
    if (!this.#probed) return 'lost'
    if (s.isEnabled(yield* read(this.at, msrs.HV_X64_MSR_SIMP))) return 'still_ours'
    yield* this.#takeOver()
    return (yield* this.contact(polls)) ? 'taken_back' : 'lost'
  }

  /** hv_remove: VMBus goes while SINT2 can still bring its answer. */
  *remove(polls = IPXE_POLLS): Strand {
    if (!this.#probed) return
    yield* this.#unload(polls)
    yield* this.#release()
  }

  /** One message, for who scripts a conversation of their own. */
  *wait(polls = IPXE_POLLS): Strand<Uint8Array | null> {
    return yield* ipxeWait(this.at, this.#page(MESSAGE_PAGE), polls)
  }

  #page(purpose: string): Gpn {
    return this.#kernel.page(purpose, this.at.vcpu)
  }

  *#takeOver(): Strand {
    const { at } = this
    // Whose registers were taken away without a handover still believes that they are its own.
    if (!this.#attached) yield attach(at.actor, CLAIMS)
    this.#attached = true
    yield* ipxeMapHypercall(at, this.#page(HYPERCALL_PAGE))
    yield* ipxeMapSynic(at, this.#page(MESSAGE_PAGE), this.#page(EVENT_PAGE))
    yield* ipxeSintOn(at)
  }

  *#release(): Strand {
    yield* ipxeSintOff(this.at, SINT_VMBUS)
    yield* ipxeUnmapSynic(this.at)
    yield* ipxeUnmapHypercall(this.at)
    yield* this.#giveUp()
    yield* s.freePages(this.#kernel, this.at, PAGES)
    this.#probed = false
  }

  *#giveUp(): Strand {
    if (this.#attached) yield detach(this.at.actor)
    this.#attached = false
  }

  *#initiateContact(version: number, polls: number): Strand<boolean> {
    const pages = VMBUS_PAGES.flatMap((purpose) => halves(gpaOf(this.#page(purpose))))
    const request = u32s(CHANNELMSG.INITIATE_CONTACT, 0, version, 0, ...pages)
    const response = yield* this.#ask(request, CHANNELMSG.VERSION_RESPONSE, polls)
    // Byte 8: version supported.
    return response !== null && response[8] !== 0
  }

  *#unload(polls: number): Strand<boolean> {
    return (yield* this.#ask(u32s(CHANNELMSG.UNLOAD, 0), CHANNELMSG.UNLOAD_RESPONSE, polls)) !== null
  }

  /** The host's answer, or null: refused, silent, or another message than the one expected. */
  *#ask(request: Uint8Array, expected: number, polls: number): Strand<Uint8Array | null> {
    if (!(yield* s.post(this.at, request))) return null
    const response = yield* this.wait(polls)
    return response !== null && u32(response, 0) === expected ? response : null
  }
}
