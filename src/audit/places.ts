/** Where the registers that the ledger knows stand in a register file, and what they are called. */
import * as msrs from '../hv/msrs.js'
import { PAGE_ENABLE, SINT_MASKED } from '../hv/registers.js'
import { SCONTROL, SIEFP, SIMP, SINTS, SIRBP } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import { LEDGER_SIEFP, LEDGER_SIMP, LEDGER_SINTS, LEDGER_SIRBP } from './ledger.js'

/** SCONTROL, SIEFP, SIMP, SIRBP and sixteen SINTs. */
export const PLACE_COUNT = 20
export const PAGE_PLACES: readonly number[] = [LEDGER_SIEFP, LEDGER_SIMP, LEDGER_SIRBP]

const WORDS: readonly number[] = [SCONTROL, SIEFP, SIMP, SIRBP]
const MSRS: readonly number[] = [
  msrs.HV_X64_MSR_SCONTROL,
  msrs.HV_X64_MSR_SIEFP,
  msrs.HV_X64_MSR_SIMP,
  msrs.HV_X64_MSR_SIRBP,
]

/** Word of the register in the slab. */
export function wordAt(f: number, place: number): number {
  return f + (place >= LEDGER_SINTS ? SINTS + 2 * (place - LEDGER_SINTS) : WORDS[place])
}

/** Enabled; of a SINT: unmasked. */
export function isOnAt(m: Machine, f: number, place: number): boolean {
  return isOnValue(place, m.w[wordAt(f, place)])
}

export function isOnValue(place: number, lo: number): boolean {
  return place >= LEDGER_SINTS ? (lo & SINT_MASKED) === 0 : (lo & PAGE_ENABLE) !== 0
}

/** Number of the register, of the file it is in. */
export function msrAt(m: Machine, f: number, place: number): number {
  const msr = place >= LEDGER_SINTS ? msrs.HV_X64_MSR_SINT0 + place - LEDGER_SINTS : (MSRS[place] as number)
  return m.isNestedFile(f) ? msr + msrs.NESTED_MSR_OFFSET : msr
}

export function nameOfMsr(msr: number): string {
  return msrs.MSR_NAMES.get(msr) ?? `MSR 0x${msr.toString(16)}`
}

export function nameAt(m: Machine, f: number, place: number): string {
  return nameOfMsr(msrAt(m, f, place))
}

export function vcpuOf(m: Machine, f: number): number {
  return m.vcpuId(m.rowOfFile(f))
}
