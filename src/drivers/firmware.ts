/** UEFI firmware of a generation 2 machine (mu_msvm EfiHvDxe): uses what is enabled, provides the rest. */
import { SINT_QUEUE_MAX } from '../hv/limits.js'
import { HVMSG_NONE } from '../hv/messages.js'
import * as msrs from '../hv/msrs.js'
import { SINT_AUTO_EOI, SINT_COUNT, SINT_MASKED, SINT_VMBUS, STIMER_COUNT } from '../hv/registers.js'
import * as s from './host-steps.js'
import { OS_ID_UEFI } from './ipxe.js'
import type { Gpn, Kernel } from './kernel.js'
import { loadU32, memWrite } from './memory.js'
import { attach, detach, type Place, read, type Strand, wrmsr } from './step.js'
import { pageAt } from './vmbus.js'

const FIRMWARE = 'firmware'
/** Whichever vector its exception table has free. */
export const FIRMWARE_VECTOR = 0x5a

const HYPERCALL_PAGE = 'firmware hypercall page'
const MESSAGE_PAGE = 'firmware message page'
const EVENT_PAGE = 'firmware event page'
const PAGES = [HYPERCALL_PAGE, MESSAGE_PAGE, EVENT_PAGE] as const
const COMPONENTS = [
  [msrs.HV_X64_MSR_SIMP, MESSAGE_PAGE],
  [msrs.HV_X64_MSR_SIEFP, EVENT_PAGE],
] as const
const TIMERS = Array.from({ length: STIMER_COUNT }, (_, n) => 2 * n)
const CLAIMS = [
  msrs.HV_X64_MSR_SIMP,
  msrs.HV_X64_MSR_SIEFP,
  ...Array.from({ length: SINT_COUNT }, (_, sint) => msrs.HV_X64_MSR_SINT0 + sint),
  ...TIMERS.flatMap((at) => [msrs.HV_X64_MSR_STIMER0_CONFIG + at, msrs.HV_X64_MSR_STIMER0_COUNT + at]),
]

/** A page register in use, and whether it is the firmware's to disable (`DisableOnCleanup`). */
export interface Component {
  readonly page: Gpn
  readonly provided: boolean
}

/** EfiHvpEnableSynicComponent: an enabled page is used where it lies. */
function* firmwareEnable(at: Place, msr: number, buffer: Gpn): Strand<Component> {
  const old = yield* read(at, msr)
  if (s.isEnabled(old)) return { page: s.pageOf(old), provided: false }
  const { lo, hi } = pageAt(old, buffer)
  yield wrmsr(at, msr, lo, hi)
  return { page: buffer, provided: true }
}

/** EfiHvpDisableSynicComponent: only what was enabled here. */
function* firmwareDisable(at: Place, msr: number, { provided }: Component): Strand {
  if (!provided) return
  const { lo, hi } = s.disabled(yield* read(at, msr))
  yield wrmsr(at, msr, lo, hi)
}

/** EfiHvConnectSint: written whole. (Under a paravisor a second time, to the other controller.) */
function* firmwareConnectSint(at: Place, sint: number, vector: number, autoEoi: boolean): Strand {
  yield wrmsr(at, msrs.HV_X64_MSR_SINT0 + sint, vector | (autoEoi ? SINT_AUTO_EOI : 0))
}

/** EfiHvDisconnectFromSynic: timers; each SINT masked, its slot drained, its flags cleared; the pages. */
function* firmwareDisconnect(at: Place, messages: Component, events: Component): Strand {
  for (const timer of TIMERS) {
    yield wrmsr(at, msrs.HV_X64_MSR_STIMER0_COUNT + timer, 0)
    yield wrmsr(at, msrs.HV_X64_MSR_STIMER0_CONFIG + timer, 0)
  }
  for (let sint = 0; sint < SINT_COUNT; sint++) {
    yield wrmsr(at, msrs.HV_X64_MSR_SINT0 + sint, SINT_MASKED)
    yield* drain(at, messages.page, sint)
    yield memWrite(at, s.slotGpa(events.page, sint), new Uint8Array(256))
  }
  yield* firmwareDisable(at, msrs.HV_X64_MSR_SIMP, messages)
  yield* firmwareDisable(at, msrs.HV_X64_MSR_SIEFP, events)
}

/** EfiHvCompleteSintMessage, for as long as the slot fills again. */
function* drain(at: Place, page: Gpn, sint: number): Strand {
  for (let taken = 0; taken < SINT_QUEUE_MAX; taken++) {
    if ((yield* loadU32(at, s.slotGpa(page, sint))) === HVMSG_NONE) return
    yield s.emptySlot(at, page, sint)
    yield* s.eomIfPending(at, page, sint)
  }
}

/** The firmware from its start to the loader's ExitBootServices, on the boot CPU. SCONTROL is not its own. */
export class Firmware {
  readonly at: Place
  readonly #kernel: Kernel
  #components: readonly Component[] = []

  constructor(kernel: Kernel, vcpu: number) {
    this.#kernel = kernel
    this.at = { actor: FIRMWARE, vcpu }
  }

  /** Which of SIMP and SIEFP it enabled itself, and where both lie; empty while it is not connected. */
  get components(): readonly Component[] {
    return this.#components
  }

  *up(vector: number = FIRMWARE_VECTOR): Strand {
    const { at } = this
    yield* s.claimPages(this.#kernel, at, PAGES)
    yield attach(at.actor, CLAIMS)
    yield wrmsr(at, msrs.HV_X64_MSR_GUEST_OS_ID, OS_ID_UEFI.lo, OS_ID_UEFI.hi)
    const { lo, hi } = pageAt({ lo: 0, hi: 0 }, this.#kernel.page(HYPERCALL_PAGE, at.vcpu))
    yield wrmsr(at, msrs.HV_X64_MSR_HYPERCALL, lo, hi)
    const components: Component[] = []
    for (const [msr, purpose] of COMPONENTS) {
      components.push(yield* firmwareEnable(at, msr, this.#kernel.page(purpose, at.vcpu)))
    }
    this.#components = components
    yield* firmwareConnectSint(at, SINT_VMBUS, vector, !this.#kernel.config.deprecatesAutoEoi)
  }

  *cleanup(): Strand {
    const [messages, events] = this.#components
    if (messages === undefined || events === undefined) return
    yield* firmwareDisconnect(this.at, messages, events)
    yield wrmsr(this.at, msrs.HV_X64_MSR_HYPERCALL, 0)
    yield wrmsr(this.at, msrs.HV_X64_MSR_GUEST_OS_ID, 0)
    this.#components = []
    yield detach(this.at.actor)
    yield* s.freePages(this.#kernel, this.at, PAGES)
  }
}
