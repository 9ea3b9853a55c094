/** A crash kernel that gets the old one's VMBus unloaded (Linux vmbus_wait_for_unload). */
import { HVMSG_NONE } from '../hv/messages.js'
import * as msrs from '../hv/msrs.js'
import { SINT_VMBUS } from '../hv/registers.js'
import * as s from './host-steps.js'
import type { Gpn, Kernel } from './kernel.js'
import { memCas, u32, u32s } from './memory.js'
import { type Place, read, type Strand, wait } from './step.js'
import { CHANNELMSG } from './vmbus-post.js'

const CRASH_KERNEL = 'crash_kernel'
/** UNLOAD_DELAY_UNIT_MS and UNLOAD_WAIT_MS: every 10 ms, 100 s long. */
const POLL_TICKS = 10 * s.TICKS_PER_MS
export const UNLOAD_POLLS = 10_000

export interface CrashPoll {
  /** The vCPU that crashed: the only one that runs. */
  readonly runsOn: number
  /**
   * vCPUs whose slots are looked at. All that have a page is right: the host answers on the vCPU that made
   * the connection, which may be stopped or offline. Early kernels looked at their own and missed the answer.
   */
  readonly polled: readonly number[]
  readonly polls?: number
  /** Number of the register that VMBus uses in the place of an MSR: a nested root's is another. */
  readonly msrOf?: (msr: number) => number
}

/** The old kernel's message pages, by vCPU. */
export type OldPages = ReadonlyMap<number, Gpn>

/**
 * UNLOAD, then looks into the old kernel's slots until the answer stands in one. SIMP can be read on the
 * running vCPU alone; where the others' pages lie is known from the old kernel's memory.
 * @returns true if the host has let go of the old kernel's memory
 */
export function* crashPoll(
  old: OldPages,
  { runsOn, polled, polls = UNLOAD_POLLS, msrOf = (msr) => msr }: CrashPoll,
): Strand<boolean> {
  const at: Place = { actor: CRASH_KERNEL, vcpu: runsOn }
  const pages = new Map(old)
  const simp = yield* read(at, msrOf(msrs.HV_X64_MSR_SIMP))
  if (s.isEnabled(simp)) pages.set(runsOn, s.pageOf(simp))
  else pages.delete(runsOn)
  yield* s.post(at, u32s(CHANNELMSG.UNLOAD, 0))
  for (let poll = 0; poll < polls; poll++) {
    for (const vcpu of polled) {
      const page = pages.get(vcpu)
      if (page === undefined) continue
      const type = yield* takeMessage(at, page, msrOf(msrs.HV_X64_MSR_EOM))
      if (type === CHANNELMSG.UNLOAD_RESPONSE) return true
    }
    yield wait(at, POLL_TICKS)
  }
  return false
}

/**
 * Takes the message of SINT2 and returns its VMBus type; 0: none. The handler of a CPU that is not stopped
 * yet may do the same, so the slot is freed by compare-and-swap (vmbus_signal_eom). EOM reaches only the
 * SynIC of the vCPU that writes it.
 */
function* takeMessage(at: Place, page: Gpn, eom: number): Strand<number> {
  const slot = yield* s.readSlot(at, page, SINT_VMBUS)
  if (slot === null || slot.type === HVMSG_NONE) return 0
  const swap = yield memCas(at, s.slotGpa(page, SINT_VMBUS), 4, slot.type, HVMSG_NONE)
  if (swap.ok && swap.valueLo === slot.type) yield* s.eomIfPending(at, page, SINT_VMBUS, eom)
  return u32(slot.payload, 0)
}

/** Where a kernel has the page of this purpose, on each of its vCPUs. */
export function oldPages(kernel: Kernel, purpose: string): OldPages {
  const known = kernel.vcpus().filter((vcpu) => kernel.hasPage(purpose, vcpu))
  return new Map(known.map((vcpu) => [vcpu, kernel.page(purpose, vcpu)]))
}
