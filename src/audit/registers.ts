/** Registers by use, found by number: which rules are asked about a write, and where its file lies. */
import {
  HV_X64_MSR_EOM,
  HV_X64_MSR_SCONTROL,
  HV_X64_MSR_SIEFP,
  HV_X64_MSR_SIMP,
  HV_X64_MSR_SINT0,
  HV_X64_MSR_SIRBP,
  HV_X64_MSR_STIMER0_CONFIG,
  NESTED_MSR_OFFSET,
} from '../hv/msrs.js'
import { SINT_COUNT, STIMER_COUNT } from '../hv/registers.js'
import { LEDGER_SCONTROL, LEDGER_SIEFP, LEDGER_SIMP, LEDGER_SINTS, LEDGER_SIRBP } from './ledger.js'
import type { RegisterClass } from './rule.js'

export const CLASSES: readonly RegisterClass[] = [
  'other',
  'SCONTROL',
  'SIEFP',
  'SIMP',
  'SIRBP',
  'EOM',
  'SINT',
  'STIMER',
]
export const CLASS_OTHER = 0
export const CLASS_SINT = 6

/** First register that has a class, and how many numbers from there on are looked up. */
const FIRST = HV_X64_MSR_SCONTROL
const SPAN = 0x40

const CLASS_OF = new Uint8Array(SPAN)
/** Place in the ledger, and in a file's row of the slab; -1 where there is none. */
const PLACE_OF = new Int8Array(SPAN).fill(-1)

function set(msr: number, name: RegisterClass, place: number): void {
  CLASS_OF[msr - FIRST] = CLASSES.indexOf(name)
  PLACE_OF[msr - FIRST] = place
}

set(HV_X64_MSR_SCONTROL, 'SCONTROL', LEDGER_SCONTROL)
set(HV_X64_MSR_SIEFP, 'SIEFP', LEDGER_SIEFP)
set(HV_X64_MSR_SIMP, 'SIMP', LEDGER_SIMP)
set(HV_X64_MSR_SIRBP, 'SIRBP', LEDGER_SIRBP)
set(HV_X64_MSR_EOM, 'EOM', -1)
for (let sint = 0; sint < SINT_COUNT; sint++) set(HV_X64_MSR_SINT0 + sint, 'SINT', LEDGER_SINTS + sint)
for (let n = 0; n < 2 * STIMER_COUNT; n++) set(HV_X64_MSR_STIMER0_CONFIG + n, 'STIMER', -1)

/** Is it one of the second register file of a nested root? */
export function isNestedMsr(msr: number): boolean {
  return msr >= FIRST + NESTED_MSR_OFFSET && msr < FIRST + NESTED_MSR_OFFSET + SPAN
}

const indexOf = (msr: number) => msr - FIRST - (isNestedMsr(msr) ? NESTED_MSR_OFFSET : 0)

/** Where the register stands in this module's tables; -1: it has no class. */
export function indexOfRegister(msr: number): number {
  const index = indexOf(msr)
  return index >= 0 && index < SPAN && CLASS_OF[index] !== CLASS_OTHER ? index : -1
}

export const classAt = (index: number) => CLASS_OF[index]

export const placeAt = (index: number) => PLACE_OF[index]

/** Index in CLASSES. */
export function classOf(msr: number): number {
  const index = indexOf(msr)
  return index >= 0 && index < SPAN ? CLASS_OF[index] : CLASS_OTHER
}

/** Place in the ledger, or -1. */
export function placeOf(msr: number): number {
  const index = indexOf(msr)
  return index >= 0 && index < SPAN ? PLACE_OF[index] : -1
}

/** Number of the SINT register, of either file. */
export function sintOf(msr: number): number {
  return indexOf(msr) + FIRST - HV_X64_MSR_SINT0
}
