/** Values on the wire: u64 as "0x1f", MSRs by number or name, bytes as hex. */
import { z } from 'zod'
import { NAME_LENGTH_MAX } from '../hv/limits.js'
import { MSR_BY_NAME } from '../hv/msrs.js'

/** Longest text accepted for a u64: leading zeros are allowed, but not without end. */
export const U64_TEXT_MAX = 66
export const U64_PATTERN = /^0[xX]0*[0-9a-fA-F]{1,16}$/
export const U64_OUT_PATTERN = /^0x(?:0|[1-9a-f][0-9a-f]{0,15})$/
export const HEX_PATTERN = /^(?:[0-9a-fA-F]{2})*$/
export const NAME_PATTERN = new RegExp(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,${NAME_LENGTH_MAX - 1}}$`)
export const U32_MAX = 0xffff_ffff

export const U64_RULE = 'a u64: "0x" and up to 16 significant hex digits, or an integer from 0 to 2^53-1'
export const U32_RULE = 'an integer from 0 to 4294967295'
export const MSR_RULE = 'an MSR: an index such as "0x40000083" below 2^32, or a name such as "SIMP"'
export const NAME_RULE = `a name: up to ${NAME_LENGTH_MAX} letters, digits, "_", ".", ":", "-", no sign first`

/** A u64 going out: lower-case, no leading zeros. */
export const U64Out = z.string().regex(U64_OUT_PATTERN)
/** A u64 coming in. */
export const U64In = z.union([z.string().max(U64_TEXT_MAX).regex(U64_PATTERN), z.int().min(0)], {
  error: U64_RULE,
})
export const U32 = z.int({ error: U32_RULE }).min(0, { error: U32_RULE }).max(U32_MAX, { error: U32_RULE })
export const MsrIn = z
  .union([z.string().max(U64_TEXT_MAX), z.int()], { error: MSR_RULE })
  .refine((value) => parseMsr(value) !== undefined, { error: MSR_RULE })
export const Name = z.string({ error: NAME_RULE }).regex(NAME_PATTERN, { error: NAME_RULE })

/** Halves of the u64 parsed last, signed; valid after `parseU64` said true. */
export const halves = { lo: 0, hi: 0 }

/** Value of a hex digit's char code, or -1. */
function digitOf(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** The digit 0. */
const ZERO = 48

/** Parses text straight into halves: no BigInt, no substring. False if it is not a u64. */
function parseU64Text(text: string): boolean {
  const { length } = text
  if (
    length < 3 ||
    length > U64_TEXT_MAX ||
    text.charCodeAt(0) !== ZERO ||
    (text.charCodeAt(1) | 32) !== 120
  ) {
    return false
  }
  let lo = 0
  let hi = 0
  for (let i = 2; i < length; i++) {
    const digit = digitOf(text.charCodeAt(i))
    if (digit < 0 || hi >>> 28 !== 0) return false
    hi = (hi << 4) | (lo >>> 28)
    lo = (lo << 4) | digit
  }
  halves.lo = lo
  halves.hi = hi
  return true
}

/** A u64 in any accepted form into `halves`; false if it is none. */
export function parseU64(value: unknown): boolean {
  if (typeof value === 'string') return parseU64Text(value)
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) return false
  halves.lo = (value % 0x1_0000_0000) | 0
  halves.hi = Math.floor(value / 0x1_0000_0000) | 0
  return true
}

/** The index of an MSR given by number or name; undefined if it is neither. */
export function parseMsr(value: unknown): number | undefined {
  // Most are numbers, and no name begins with a digit.
  if (typeof value === 'string' && value.charCodeAt(0) !== ZERO) {
    const named = MSR_BY_NAME.get(value) ?? MSR_BY_NAME.get(value.toUpperCase())
    if (named !== undefined) return named
  }
  return parseU64(value) && halves.hi === 0 ? halves.lo >>> 0 : undefined
}

/** A u64 from its halves, as the wire writes it. */
export function hexU64(lo: number, hi: number): string {
  if (hi === 0) return `0x${(lo >>> 0).toString(16)}`
  return `0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, '0')}`
}

/** A 32-bit number as the wire writes u64s. */
export function hexU32(value: number): string {
  return `0x${(value >>> 0).toString(16)}`
}

/** Bytes of checked hex text. */
export function bytesOfHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length >> 1)
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (digitOf(hex.charCodeAt(2 * i)) << 4) | digitOf(hex.charCodeAt(2 * i + 1))
  }
  return bytes
}
