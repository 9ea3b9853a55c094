/** FreeBSD's VMBus (sys/dev/hyperv/vmbus/vmbus.c): SynIC up and down, and its interrupt handler. */
import { HVMSG_NONE, HVMSG_TIMER_EXPIRED } from '../hv/messages.js'
import * as msrs from '../hv/msrs.js'
import { SCONTROL_ENABLE, SINT_AUTO_EOI, SINT_MASKED, SINT_VECTOR, SINT_VMBUS } from '../hv/registers.js'
import * as s from './host-steps.js'
import type { Gpn, Kernel } from './kernel.js'
import { loadU32, memRead, u32 } from './memory.js'
import { attach, detach, type Place, type Strand, takeInterrupt, update } from './step.js'
import { pageAt } from './vmbus.js'

export const FREEBSD = 'freebsd'
/** VMBUS_SINT_TIMER: timers have a SINT of their own, with the vector of SINT2. */
const SINT_TIMER = 4
/** lapic_ipi_alloc gives out one of the dynamic IPI vectors: this, unless the caller knows better. */
export const FREEBSD_VECTOR = 0xfb
/** Bytes of one SINT's event flags. */
const FLAGS_BYTES = 256
/** Bounds a handler whose host refills the slot as fast as it is emptied. */
const MESSAGES_MAX = 64

const MESSAGE_PAGE = 'freebsd message page'
const EVENT_PAGE = 'freebsd event page'
const PAGES = [MESSAGE_PAGE, EVENT_PAGE] as const
const SINTS = [SINT_VMBUS, SINT_TIMER].map((sint) => msrs.HV_X64_MSR_SINT0 + sint)
const CLAIMS = [msrs.HV_X64_MSR_SCONTROL, msrs.HV_X64_MSR_SIEFP, msrs.HV_X64_MSR_SIMP, ...SINTS]

/** vmbus_synic_setup: pages, both SINTs with auto-EOI on one vector, SCONTROL last. */
function* freebsdSetupCpu(at: Place, messages: Gpn, events: Gpn, vector: number = FREEBSD_VECTOR): Strand {
  yield* update(at, msrs.HV_X64_MSR_SIMP, (old) => pageAt(old, messages))
  yield* update(at, msrs.HV_X64_MSR_SIEFP, (old) => pageAt(old, events))
  for (const sint of SINTS) {
    yield* update(at, sint, ({ lo, hi }) => ({
      lo: (lo & ~(SINT_MASKED | SINT_VECTOR)) | SINT_AUTO_EOI | vector,
      hi,
    }))
  }
  yield* update(at, msrs.HV_X64_MSR_SCONTROL, ({ lo, hi }) => ({ lo: lo | SCONTROL_ENABLE, hi }))
}

/** vmbus_synic_teardown: SCONTROL goes first, and everything else is written with it clear. */
function* freebsdTeardownCpu(at: Place): Strand {
  yield* update(at, msrs.HV_X64_MSR_SCONTROL, ({ lo, hi }) => ({ lo: lo & ~SCONTROL_ENABLE, hi }))
  for (const sint of SINTS) yield* update(at, sint, ({ lo, hi }) => ({ lo: lo | SINT_MASKED, hi }))
  yield* update(at, msrs.HV_X64_MSR_SIMP, s.disabled)
  yield* update(at, msrs.HV_X64_MSR_SIEFP, s.disabled)
}

/** Pages for all CPUs, then every CPU's registers. */
export function* freebsdUp(kernel: Kernel, vcpus: readonly number[], vector?: number): Strand {
  const places = vcpus.map((vcpu): Place => ({ actor: FREEBSD, vcpu }))
  for (const at of places) yield* s.claimPages(kernel, at, PAGES)
  yield attach(FREEBSD, CLAIMS)
  for (const at of places) {
    yield* freebsdSetupCpu(at, kernel.page(MESSAGE_PAGE, at.vcpu), kernel.page(EVENT_PAGE, at.vcpu), vector)
  }
}

export function* freebsdDown(kernel: Kernel, vcpus: readonly number[]): Strand {
  const places = vcpus.map((vcpu): Place => ({ actor: FREEBSD, vcpu }))
  for (const at of places) yield* freebsdTeardownCpu(at)
  yield detach(FREEBSD)
  for (const at of places) yield* s.freePages(kernel, at, PAGES)
}

/** What one run of the handler found. */
export interface Handled {
  /** Payloads of channel messages, in order. */
  readonly messages: readonly Uint8Array[]
  readonly timer: boolean
  /** Event flags of SINT2 that were set, ascending. */
  readonly flags: readonly number[]
}

/** vmbus_handle_intr1 and its tasks: the timer's slot, the event flags, then messages until there is none. */
export function* freebsdHandler(at: Place, messages: Gpn, events: Gpn): Strand<Handled> {
  const timer = (yield* loadU32(at, s.slotGpa(messages, SINT_TIMER))) === HVMSG_TIMER_EXPIRED
  if (timer) yield* finish(at, messages, SINT_TIMER)
  const flags = yield* takeFlags(at, events)
  const read: Uint8Array[] = []
  while (read.length < MESSAGES_MAX) {
    const slot = yield* s.readSlot(at, messages, SINT_VMBUS)
    if (slot === null || slot.type === HVMSG_NONE) break
    read.push(slot.payload)
    yield* finish(at, messages, SINT_VMBUS)
  }
  return { messages: read, timer, flags }
}

/** The interrupt: taken (auto-EOI, so no EOI), then handled on the pages of this CPU. */
export function* freebsdInterrupt(kernel: Kernel, vcpu: number): Strand<Handled | null> {
  const at: Place = { actor: FREEBSD, vcpu }
  const taken = yield takeInterrupt(at)
  if (!taken.ok || taken.vector < 0) return null
  return yield* freebsdHandler(at, kernel.page(MESSAGE_PAGE, vcpu), kernel.page(EVENT_PAGE, vcpu))
}

/** One reader, so a plain store is enough; mb(); EOM if the flag, read behind it, is set. */
function* finish(at: Place, messages: Gpn, sint: number): Strand {
  yield s.emptySlot(at, messages, sint)
  yield* s.eomIfPending(at, messages, sint)
}

/** vmbus_event_flags_proc: each long that is not 0 is exchanged with 0. */
function* takeFlags(at: Place, events: Gpn): Strand<number[]> {
  const gpa = s.slotGpa(events, SINT_VMBUS)
  const area = yield memRead(at, gpa, FLAGS_BYTES)
  if (!area.ok) return []
  const seen = area.bytes.slice()
  const flags: number[] = []
  for (let offset = 0; offset < FLAGS_BYTES; offset += 8) {
    if ((u32(seen, offset) | u32(seen, offset + 4)) === 0) continue
    const old = yield s.takeQuad(at, gpa + offset)
    const words = [old.valueLo, old.valueHi]
    for (let bit = 0; bit < 64; bit++) {
      if (((words[bit >> 5] >>> (bit & 31)) & 1) !== 0) flags.push(8 * offset + bit)
    }
  }
  return flags
}
