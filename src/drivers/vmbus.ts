/** Linux VMBus (drivers/hv/hv.c): what it does to the SynIC of one CPU. */
import { gpnOf, type Halves } from '../hv/bits.js'
import * as msrs from '../hv/msrs.js'
import {
  PAGE_ENABLE,
  SCONTROL_ENABLE,
  SINT_AUTO_EOI,
  SINT_MASKED,
  SINT_PROXY,
  SINT_VMBUS,
} from '../hv/registers.js'
import type { Kernel } from './kernel.js'
import { type Place, type Strand, update } from './step.js'

export const VMBUS = 'vmbus'
/** HYPERVISOR_CALLBACK_VECTOR on x86. */
export const CALLBACK_VECTOR = 0xf3
/** Bits of a page register that are not its address and stay as they are. */
const KEPT = 0xffe

export const MESSAGE_PAGE = 'vmbus message page'
export const EVENT_PAGE = 'vmbus event page'
/** HvPostMessage's input block. */
export const POST_PAGE = 'vmbus post page'

/** On a nested root VMBus is a client of the outer hypervisor, through the nested registers (hv_get_msr). */
export function vmbusMsr(kernel: Kernel, msr: number): number {
  return kernel.config.kind === 'nested_root' ? msr + msrs.NESTED_MSR_OFFSET : msr
}

/** Auto-EOI unless the hypervisor advises against it (hv_recommend_using_aeoi). */
export function autoEoi(kernel: Kernel): number {
  return kernel.config.deprecatesAutoEoi ? 0 : SINT_AUTO_EOI
}

/** hv_synic_enable_regs. SCONTROL comes last: the pages and the SINT are written before it is set. */
export function* vmbusInitCpu(kernel: Kernel, vcpu: number): Strand {
  const at: Place = { actor: VMBUS, vcpu }
  const own = (msr: number) => vmbusMsr(kernel, msr)
  const pages: [number, string][] = [
    [msrs.HV_X64_MSR_SIMP, MESSAGE_PAGE],
    [msrs.HV_X64_MSR_SIEFP, EVENT_PAGE],
  ]
  for (const [msr, purpose] of pages) {
    if (kernel.config.paravisor === true) {
      // The paravisor's page stays where it is and is mapped there.
      const { lo, hi } = yield* update(at, own(msr), (old) => ({ lo: old.lo | PAGE_ENABLE, hi: old.hi }))
      kernel.adopt(purpose, vcpu, gpnOf(lo, hi))
    } else {
      const gpn = kernel.page(purpose, vcpu)
      yield* update(at, own(msr), (old) => pageAt(old, gpn))
    }
  }
  yield* update(at, own(msrs.HV_X64_MSR_SINT0 + SINT_VMBUS), ({ lo, hi }) => ({
    lo: (lo & ~(SINT_MASKED | SINT_AUTO_EOI | 0xff)) | CALLBACK_VECTOR | autoEoi(kernel) | proxy(kernel),
    hi,
  }))
  yield* update(at, own(msrs.HV_X64_MSR_SCONTROL), ({ lo, hi }) => ({ lo: lo | SCONTROL_ENABLE, hi }))
}

/** hv_synic_disable_regs. SCONTROL goes last: the writes before expect it to be set still. */
export function* vmbusCleanupCpu(kernel: Kernel, vcpu: number): Strand {
  const at: Place = { actor: VMBUS, vcpu }
  const own = (msr: number) => vmbusMsr(kernel, msr)
  yield* update(at, own(msrs.HV_X64_MSR_SINT0 + SINT_VMBUS), ({ lo, hi }) => ({
    lo: lo | SINT_MASKED | proxy(kernel),
    hi,
  }))
  for (const msr of [msrs.HV_X64_MSR_SIMP, msrs.HV_X64_MSR_SIEFP]) {
    // A paravisor's page is left to the kernel that comes after a crash.
    yield* update(at, own(msr), ({ lo, hi }) =>
      kernel.config.paravisor === true ? { lo: lo & ~PAGE_ENABLE, hi } : { lo: lo & KEPT, hi: 0 },
    )
  }
  yield* update(at, own(msrs.HV_X64_MSR_SCONTROL), ({ lo, hi }) => ({ lo: lo & ~SCONTROL_ENABLE, hi }))
}

/**
 * hv_set_msr writes SINTs twice under a paravisor. Its own copy lies beyond this machine; the hypervisor's is
 * told to deliver through the paravisor.
 */
function proxy(kernel: Kernel): number {
  return kernel.config.paravisor === true ? SINT_PROXY : 0
}

/** A page register that points at a page, enabled; its reserved bits stay. */
export function pageAt({ lo }: Halves, gpn: number): Halves {
  // A page number has up to 52 bits: its low 20 stand in the low half.
  return { lo: (lo & KEPT) | ((gpn % 0x10_0000) << 12) | PAGE_ENABLE, hi: Math.floor(gpn / 0x10_0000) | 0 }
}
