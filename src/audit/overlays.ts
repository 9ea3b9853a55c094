/** Pages beside those of a SynIC that a register lays over guest memory: of the partition, or of a vCPU. */
import { gpnOf } from '../hv/bits.js'
import { HV_X64_MSR_HYPERCALL, HV_X64_MSR_REFERENCE_TSC, HV_X64_MSR_VP_ASSIST_PAGE } from '../hv/msrs.js'
import { PAGE_ENABLE } from '../hv/registers.js'
import { VP_ASSIST } from '../synic/layout.js'
import { HYPERCALL, type Machine, REFERENCE_TSC } from '../synic/machine.js'

/** No page: the register is not enabled. */
export const OFF = -1

export const isOverlay = (msr: number) =>
  msr === HV_X64_MSR_VP_ASSIST_PAGE || msr === HV_X64_MSR_HYPERCALL || msr === HV_X64_MSR_REFERENCE_TSC

/** Where the register's page lies; `v` is the row of its vCPU, of registers that are a vCPU's. */
export function overlayAt(m: Machine, msr: number, v: number): number {
  if (msr === HV_X64_MSR_HYPERCALL) return pageIn(m.shared, HYPERCALL)
  if (msr === HV_X64_MSR_REFERENCE_TSC) return pageIn(m.shared, REFERENCE_TSC)
  return v < 0 ? OFF : pageIn(m.w, v + VP_ASSIST)
}

/** One that is enabled at a page. */
export interface Overlay {
  readonly msr: number
  /** vCPU id; -1: of the partition. */
  readonly vcpu: number
}

/** Those at this page, or (OFF) anywhere. Partition first, then vCPUs as they were made. */
export function* overlays(m: Machine, gpn = OFF): Generator<Overlay> {
  const isThere = (at: number) => at !== OFF && (gpn === OFF || at === gpn)
  for (const msr of [HV_X64_MSR_HYPERCALL, HV_X64_MSR_REFERENCE_TSC])
    if (isThere(overlayAt(m, msr, -1))) yield { msr, vcpu: -1 }
  for (let v = 0; v < m.vcpuCount * m.stride; v += m.stride) {
    // Mostly there is none, on a thousand vCPUs.
    if ((m.w[v + VP_ASSIST] & PAGE_ENABLE) === 0) continue
    const msr = HV_X64_MSR_VP_ASSIST_PAGE
    if (isThere(overlayAt(m, msr, v))) yield { msr, vcpu: m.vcpuId(v) }
  }
}

function pageIn(words: Int32Array, at: number): number {
  return (words[at] & PAGE_ENABLE) !== 0 ? gpnOf(words[at], words[at + 1]) : OFF
}
