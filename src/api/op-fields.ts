/** Fields of JSON ops, read by hand: each fits the rule that its schema has too, or names what it breaks. */

import type { NameTable } from '../synic/names.js'
import type { OpWriter } from '../synic/op.js'
import { didYouMean, registerHint } from './did-you-mean.js'
import { hexRule, MESSAGE_TYPE_RULE } from './op.js'
import {
  bytesOfHex,
  HEX_PATTERN,
  halves,
  MSR_RULE,
  NAME_PATTERN,
  NAME_RULE,
  parseMsr,
  parseU64,
  U32_MAX,
  U32_RULE,
  U64_RULE,
} from './wire.js'

/** A field that breaks its rule. `path` is relative to the op: `vcpu`, `entries/3/gsi`. */
export class OpInputError extends Error {
  constructor(
    readonly path: string,
    readonly rule: string,
  ) {
    super(`${path}: must be ${rule}`)
  }
}

export type Json = Record<string, unknown>

export function u32(op: Json, field: string): number {
  const value = op[field]
  if (typeof value === 'number' && value >= 0 && value <= U32_MAX && Number.isInteger(value)) return value | 0
  throw new OpInputError(field, U32_RULE)
}

export function integer(op: Json, field: string, max: number): number {
  const value = op[field]
  if (typeof value === 'number' && value >= 0 && value <= max && Number.isInteger(value)) return value
  throw new OpInputError(field, `an integer from 0 to ${max}`)
}

export function msr(op: Json): number {
  const index = parseMsr(op.msr)
  if (index === undefined) {
    const hint = typeof op.msr === 'string' ? registerHint(op.msr) : ''
    throw new OpInputError('msr', MSR_RULE + hint)
  }
  return index | 0
}

export function putU64(w: OpWriter, op: Json, field: string): void {
  if (!parseU64(op[field])) throw new OpInputError(field, U64_RULE)
  w.put(halves.lo).put(halves.hi)
}

export function putOptionalU64(w: OpWriter, op: Json, field: string): number {
  if (op[field] !== undefined) {
    putU64(w, op, field)
    return 1
  }
  w.put(0).put(0)
  return 0
}

export function messageType(op: Json): number {
  if (!parseU64(op.type) || halves.hi !== 0) throw new OpInputError('type', MESSAGE_TYPE_RULE)
  return halves.lo
}

export function putHex(w: OpWriter, op: Json, max: number): void {
  const { hex } = op
  if (typeof hex !== 'string' || hex.length > 2 * max || !HEX_PATTERN.test(hex)) {
    throw new OpInputError('hex', hexRule(max))
  }
  w.putBytes(bytesOfHex(hex))
}

const NO_BYTES = new Uint8Array(0)

export function putOptionalHex(w: OpWriter, op: Json, max: number): number {
  if (op.hex !== undefined) {
    putHex(w, op, max)
    return 1
  }
  w.putBytes(NO_BYTES)
  return 0
}

export function oneOf(op: Json, field: string, choices: readonly (string | number)[]): number {
  const value = op[field]
  const index = choices.indexOf(value as string | number)
  if (index < 0) {
    const hint = typeof value === 'string' ? didYouMean(value, choices.map(String)) : ''
    throw new OpInputError(field, `one of ${choices.join(', ')}${hint}`)
  }
  return index
}

/** An optional boolean as a flag bit. */
export function flag(op: Json, field: string, bit: number, fallback = false): number {
  const value = op[field] ?? fallback
  if (typeof value !== 'boolean' || op[field] === null) throw new OpInputError(field, 'true or false')
  return value ? bit : 0
}

export const present = (op: Json, field: string) => (op[field] === undefined ? 0 : 1)

/** The number of a name in the partition's table. */
export function nameId(op: Json, field: string, names: NameTable): number {
  const text = op[field]
  if (typeof text !== 'string' || !NAME_PATTERN.test(text)) throw new OpInputError(field, NAME_RULE)
  const id = names.intern(text)
  if (id < 0) throw new OpInputError(field, `one of the ${names.max} names this partition can know`)
  return id
}
