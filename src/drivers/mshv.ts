/** Linux MSHV (drivers/hv/mshv_synic.c): what each version of it does to the SynIC of one CPU. */
import { gpnOf, type Halves } from '../hv/bits.js'
import { EFAULT } from '../hv/errno.js'
import * as msrs from '../hv/msrs.js'
import {
  PAGE_ENABLE,
  SCONTROL_ENABLE,
  SINT_AS_INTERCEPT,
  SINT_DOORBELL,
  SINT_INTERCEPT,
  SINT_MASKED,
} from '../hv/registers.js'
import type { Kernel } from './kernel.js'
import type { MshvVersion } from './mshv-state.js'
import { type Place, read, type Strand, update, wrmsr } from './step.js'
import { autoEoi, CALLBACK_VECTOR, pageAt } from './vmbus.js'

export const MSHV = 'mshv'
export const RING_PAGE = 'mshv event ring page'

/** Which page cannot be mapped: 1 messages, 2 event flags, 3 event ring. */
export type FailsAt = 1 | 2 | 3

/** Every access goes to the hypervisor right below: never to the nested registers. */
const { HV_X64_MSR_SIMP: SIMP, HV_X64_MSR_SIEFP: SIEFP, HV_X64_MSR_SIRBP: SIRBP } = msrs
const { HV_X64_MSR_SCONTROL: SCONTROL } = msrs
const OWN_SINTS = [SINT_INTERCEPT, SINT_DOORBELL]

const enabled = ({ lo, hi }: Halves): Halves => ({ lo: lo | PAGE_ENABLE, hi })
const disabled = ({ lo, hi }: Halves): Halves => ({ lo: lo & ~PAGE_ENABLE, hi })

/** Does MSHV switch SIMP, SIEFP and SCONTROL on and off? The versions of the series differ in this. */
export function mshvOwnsPages({ config, vmbusExists }: Kernel, version: MshvVersion): boolean {
  switch (version) {
    case 'pre-series':
      return true
    case 'v1-patch-4':
    case 'v1':
      return isRoot(config.kind)
    case 'v2':
    case 'v3':
      return config.kind === 'root'
    case 'v4':
      return !vmbusExists
  }
}

/** hv_root_partition, nested or not. */
export function isRoot(kind: Kernel['config']['kind']): boolean {
  return kind === 'root' || kind === 'nested_root'
}

/** Does MSHV bring its own event ring page? Only a root partition finds one provided. */
export function mshvBringsRing({ config }: Kernel, version: MshvVersion): boolean {
  return version !== 'pre-series' && version !== 'v1-patch-4' && !isRoot(config.kind)
}

/** mshv_synic_init: 0 or -EFAULT. */
export function mshvInitCpu(
  kernel: Kernel,
  vcpu: number,
  version: MshvVersion,
  failsAt?: FailsAt,
): Strand<number> {
  return version === 'pre-series'
    ? initPreSeries(kernel, vcpu, failsAt)
    : initShared(kernel, vcpu, version, failsAt)
}

function* initPreSeries(kernel: Kernel, vcpu: number, failsAt?: FailsAt): Strand<number> {
  const at: Place = { actor: MSHV, vcpu }
  const mapped: [msr: number, value: Halves][] = []
  for (const msr of [SIMP, SIEFP, SIRBP]) {
    const old = yield* read(at, msr)
    if (failsAt === mapped.length + 1) {
      // What was mapped is disabled again, the last first, with the values at hand.
      for (const [page, value] of mapped.reverse()) yield* write(at, page, disabled(value))
      return EFAULT
    }
    yield* write(at, msr, enabled(old))
    mapped.push([msr, old])
  }
  yield* unmaskSints(kernel, at)
  yield* switchOn(at)
  const [simp, siefp, sirbp] = mapped.map(([, { lo, hi }]) => gpnOf(lo, hi))
  kernel.mshv.pages.set(vcpu, { messages: simp, events: siefp, ring: sirbp })
  return 0
}

/** With the series: what VMBus has set up is mapped, and not touched. */
function* initShared(kernel: Kernel, vcpu: number, version: MshvVersion, failsAt?: FailsAt): Strand<number> {
  const at: Place = { actor: MSHV, vcpu }
  const simp = yield* read(at, SIMP)
  if (mshvOwnsPages(kernel, version)) yield* write(at, SIMP, enabled(simp))
  if (failsAt === 1) return yield* undo(kernel, at, version, [[SIMP, simp]])
  const siefp = yield* read(at, SIEFP)
  if (mshvOwnsPages(kernel, version)) yield* write(at, SIEFP, enabled(siefp))
  const both: [number, Halves][] = [
    [SIEFP, siefp],
    [SIMP, simp],
  ]
  if (failsAt === 2) return yield* undo(kernel, at, version, both)
  const old = yield* read(at, SIRBP)
  if (failsAt === 3) return yield* undo(kernel, at, version, both)
  const sirbp = mshvBringsRing(kernel, version) ? pageAt(old, kernel.page(RING_PAGE, vcpu)) : enabled(old)
  yield* write(at, SIRBP, sirbp)
  yield* unmaskSints(kernel, at)
  if (mshvOwnsPages(kernel, version)) yield* switchOn(at)
  kernel.mshv.pages.set(vcpu, {
    messages: gpnOf(simp.lo, simp.hi),
    events: gpnOf(siefp.lo, siefp.hi),
    ring: gpnOf(sirbp.lo, sirbp.hi),
  })
  return 0
}

/** The way out when a page could not be mapped; SIRBP was not written yet. */
function* undo(
  kernel: Kernel,
  at: Place,
  version: MshvVersion,
  pages: readonly (readonly [msr: number, value: Halves])[],
): Strand<number> {
  for (const [msr, value] of pages) {
    if (mshvOwnsPages(kernel, version)) yield* write(at, msr, disabled(value))
  }
  return EFAULT
}

/** SINT0 and SINT5 are MSHV's alone, so they are written whole. */
function* unmaskSints(kernel: Kernel, at: Place): Strand {
  const unmasked = CALLBACK_VECTOR | autoEoi(kernel)
  yield wrmsr(at, msrs.HV_X64_MSR_SINT0 + SINT_INTERCEPT, unmasked)
  yield wrmsr(at, msrs.HV_X64_MSR_SINT0 + SINT_DOORBELL, unmasked | SINT_AS_INTERCEPT)
}

function* switchOn(at: Place): Strand {
  yield* update(at, SCONTROL, ({ lo, hi }) => ({ lo: lo | SCONTROL_ENABLE, hi }))
}

/** mshv_synic_cleanup. SIMP and SIEFP keep their addresses, which are the hypervisor's to choose. */
export function* mshvExitCpu(kernel: Kernel, vcpu: number, version: MshvVersion): Strand {
  const at: Place = { actor: MSHV, vcpu }
  for (const sint of OWN_SINTS) {
    yield* update(at, msrs.HV_X64_MSR_SINT0 + sint, ({ lo, hi }) => ({ lo: lo | SINT_MASKED, hi }))
  }
  const ring = mshvBringsRing(kernel, version)
    ? ({ lo }: Halves): Halves => ({ lo: lo & 0xffe, hi: 0 })
    : disabled
  yield* update(at, SIRBP, ring)
  kernel.mshv.pages.delete(vcpu)
  if (mshvOwnsPages(kernel, version)) yield* update(at, SIEFP, disabled)
  if (mshvOwnsPages(kernel, version)) yield* update(at, SIMP, disabled)
  if (!mshvOwnsPages(kernel, version)) return
  yield* update(at, SCONTROL, ({ lo, hi }) => ({ lo: lo & ~SCONTROL_ENABLE, hi }))
}

function* write(at: Place, msr: number, { lo, hi }: Halves): Strand {
  yield wrmsr(at, msr, lo, hi)
}
