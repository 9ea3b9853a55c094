/** The VMM's hand on the registers: QEMU's machine reset, and a snapshot written back. All steps by host. */
import { assert } from '../hv/assert.js'
import type { Halves } from '../hv/bits.js'
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import * as msrs from '../hv/msrs.js'
import { SINT_COUNT, SINT_RESET, STIMER_COUNT } from '../hv/registers.js'
import * as s from './host-steps.js'
import type { Gpn } from './kernel.js'
import { gpaOf, memRead } from './memory.js'
import type { Place, Strand } from './step.js'

const QEMU = 'qemu'
const VMM = 'vmm'

/** A register of the whole partition is written through the first vCPU only (QEMU kvm_put_msrs). */
const SHARED_REGISTERS: readonly number[] = [
  msrs.HV_X64_MSR_GUEST_OS_ID,
  msrs.HV_X64_MSR_HYPERCALL,
  msrs.HV_X64_MSR_REFERENCE_TSC,
]
const TIMERS = Array.from({ length: STIMER_COUNT }, (_, n) => 2 * n)
/**
 * Registers of one vCPU in the order of QEMU target/i386/kvm (kvm_put_msrs): each timer's CONFIG before any
 * COUNT. SVERSION, which has one value and which OpenVMM lets nobody write, is left out.
 */
export const VCPU_REGISTERS: readonly number[] = [
  msrs.HV_X64_MSR_VP_ASSIST_PAGE,
  msrs.HV_X64_MSR_SCONTROL,
  msrs.HV_X64_MSR_SIEFP,
  msrs.HV_X64_MSR_SIMP,
  ...Array.from({ length: SINT_COUNT }, (_, sint) => msrs.HV_X64_MSR_SINT0 + sint),
  ...TIMERS.map((at) => msrs.HV_X64_MSR_STIMER0_CONFIG + at),
  ...TIMERS.map((at) => msrs.HV_X64_MSR_STIMER0_COUNT + at),
]

/** What QEMU's reset leaves behind: everything 0, SINTs masked. */
function resetValue(msr: number): number {
  return msr >= msrs.HV_X64_MSR_SINT0 && msr < msrs.HV_X64_MSR_SINT0 + SINT_COUNT ? SINT_RESET : 0
}

/** Does it name each of `VCPU_REGISTERS` once, by index? */
export function isResetOrder(order: readonly number[]): boolean {
  return order.length === VCPU_REGISTERS.length && VCPU_REGISTERS.every((_, index) => order.includes(index))
}

/**
 * Machine reset of QEMU as KVM sees it. `order` says which of `VCPU_REGISTERS` comes when, by index; nothing
 * may depend on it.
 */
export function* qemuReset(vcpus: readonly number[], order?: readonly number[]): Strand {
  const indexes = order ?? VCPU_REGISTERS.map((_, index) => index)
  assert(isResetOrder(indexes), 'the order of a reset names each register once')
  for (const vcpu of vcpus) {
    const at: Place = { actor: QEMU, vcpu }
    if (vcpu === vcpus[0]) for (const msr of SHARED_REGISTERS) yield s.hostWrmsr(at, msr, 0)
    for (const index of indexes) {
      const msr = VCPU_REGISTERS[index]
      yield s.hostWrmsr(at, msr, resetValue(msr))
    }
  }
}

export interface SavedRegister extends Halves {
  readonly vcpu: number
  readonly msr: number
}

export interface SavedPage {
  readonly gpn: Gpn
  readonly bytes: Uint8Array
}

/** What a VMM carries from one host to the next. */
export interface SavedSet {
  readonly registers: readonly SavedRegister[]
  readonly pages: readonly SavedPage[]
}

/** Reads it out, in the order in which it will be written. */
export function* vmmSave(vcpus: readonly number[], gpns: readonly Gpn[]): Strand<SavedSet> {
  const registers: SavedRegister[] = []
  for (const vcpu of vcpus) {
    const wanted = vcpu === vcpus[0] ? [...SHARED_REGISTERS, ...VCPU_REGISTERS] : VCPU_REGISTERS
    for (const msr of wanted) {
      const effects = yield s.hostRdmsr({ actor: VMM, vcpu }, msr)
      if (effects.ok) registers.push({ vcpu, msr, lo: effects.valueLo, hi: effects.valueHi })
    }
  }
  const pages: SavedPage[] = []
  for (const gpn of gpns) {
    const effects = yield {
      ...memRead({ actor: VMM, vcpu: vcpus[0] }, gpaOf(gpn), GPA_PAGE_BYTES),
      byHost: true,
    }
    if (effects.ok) pages.push({ gpn, bytes: effects.bytes.slice() })
  }
  return { registers, pages }
}

export const MEMORY_ORDERS = ['memory_first', 'memory_last'] as const
export type MemoryOrder = (typeof MEMORY_ORDERS)[number]

/**
 * Writes it back. Registers go in the order given; zero may also go to a controller that is not active yet.
 * @returns how many writes were refused: a non-zero value to an inactive controller is
 */
export function* vmmRestore(saved: SavedSet, order: MemoryOrder = 'memory_first'): Strand<number> {
  let refused = 0
  if (order === 'memory_first') refused += yield* restoreMemory(saved.pages)
  for (const { vcpu, msr, lo, hi } of saved.registers) {
    const effects = yield s.hostWrmsr({ actor: VMM, vcpu }, msr, lo, hi)
    if (!effects.ok) refused++
  }
  if (order === 'memory_last') refused += yield* restoreMemory(saved.pages)
  return refused
}

function* restoreMemory(pages: readonly SavedPage[]): Strand<number> {
  let refused = 0
  for (const { gpn, bytes } of pages) {
    const effects = yield s.hostStore({ actor: VMM, vcpu: 0 }, gpaOf(gpn), bytes)
    if (!effects.ok) refused++
  }
  return refused
}
