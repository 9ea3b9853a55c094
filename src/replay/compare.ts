// Where two results differ, field by field; what is absent equals null and an empty list. What an auditor
// says is no
// outcome of the machine: a trace that begins in the middle has another past.
import { U64_PATTERN } from '../api/wire.js'

export interface FieldDifference {
  /** `irqs[0].vector` */
  readonly field: string
  readonly expected: unknown
  readonly actual: unknown
}

/** A result can differ in thousands of places; a person reads the first few. */
export const FIELDS_MAX = 16

export function differences(expected: unknown, actual: unknown): FieldDifference[] {
  const found: FieldDifference[] = []
  compare('', expected, actual, found)
  return found
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function compare(field: string, expected: unknown, actual: unknown, found: FieldDifference[]): void {
  if (found.length >= FIELDS_MAX || (isNothing(expected) && isNothing(actual))) return
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length) {
    expected.forEach((entry, i) => {
      compare(`${field}[${i}]`, entry, actual[i], found)
    })
  } else if (isRecord(expected) && isRecord(actual)) {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
      if (key === 'violations') continue
      compare(field === '' ? key : `${field}.${key}`, expected[key], actual[key], found)
    }
  } else if (!isSame(field, expected, actual)) {
    found.push({ field: field === '' ? 'result' : field, expected: expected ?? null, actual: actual ?? null })
  }
}

/** Numbers written by hand may have other letters or leading zeros than the codec's. */
function isSame(field: string, expected: unknown, actual: unknown): boolean {
  if (expected === actual) return true
  if (typeof expected === 'number' && typeof actual === 'string')
    return isSame(field, `0x${expected.toString(16)}`, actual)
  if (typeof expected !== 'string' || typeof actual !== 'string') return false
  if (U64_PATTERN.test(expected) && U64_PATTERN.test(actual)) return BigInt(expected) === BigInt(actual)
  return /(?:^|\.)hex$/.test(field) && expected.toLowerCase() === actual.toLowerCase()
}
