/** Effects that speak of a SINT, taken apart: their second word holds source, SINT and register file. */
import { FIRST_VALID_VECTOR, SINT_AS_INTERCEPT, SINT_POLLING } from '../hv/registers.js'
import { NESTED_FILE } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'

const NESTED = 0x1_0000

export const sourceIn = (word: number) => word & 0xff

export const sintIn = (word: number) => (word >> 8) & 0xff

/** The file's place in the slab; -1 where the vCPU does not exist. */
export function fileIn(m: Machine, vcpu: number, word: number): number {
  const v = m.rowOf(vcpu)
  return v >= 0 && (word & NESTED) !== 0 ? v + NESTED_FILE : v
}

/** May the APIC drop such a vector even while it is on (OpenVMM, TLFS: exception vectors)? */
export function isDroppedVector(m: Machine, vector: number): boolean {
  return vector < FIRST_VALID_VECTOR && !m.profile.kvm
}

/** Does this SINT, though unmasked, interrupt nobody under this profile: polled, or turned into a message? */
export function isSilent(m: Machine, sint: number, lo: number): boolean {
  if ((lo & SINT_POLLING) !== 0 && m.profile.honoursPolling) return true
  return (lo & SINT_AS_INTERCEPT) !== 0 && m.profile.honoursIntercept && sint !== 0
}

export const hex = (value: number) => `0x${(value >>> 0).toString(16)}`
