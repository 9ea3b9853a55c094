/** 64-bit registers as two 32-bit halves, and 256-bit vector sets as eight words. */

/** Any u64 as the core passes it around: signed 32-bit halves, so that V8 keeps them as small integers. */
export interface Halves {
  readonly lo: number
  readonly hi: number
}

const TWO_32 = 0x1_0000_0000

/** A u64 as a JavaScript number: exact below 2^53, rounded above. */
export function toNumber(lo: number, hi: number): number {
  return (hi >>> 0) * TWO_32 + (lo >>> 0)
}

/** The high half of a non-negative safe integer, signed. */
export function highHalf(value: number): number {
  return (value / TWO_32) | 0
}

/** The low half of a safe integer, signed: what JavaScript's bit operators see of it (ToInt32). */
export function lowHalf(value: number): number {
  return value | 0
}

export function toBigInt(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}

/** Both halves of a u64; bits above 63 are cut off, as the hardware's arithmetic does. */
export function fromBigInt(value: bigint): Halves {
  return { lo: Number(value & 0xffff_ffffn) | 0, hi: Number((value >> 32n) & 0xffff_ffffn) | 0 }
}

/** Guest page number of an address: GPA >> 12, at most 2^52 - 1, so exact as a number. */
export function gpnOf(lo: number, hi: number): number {
  return (hi >>> 0) * 0x10_0000 + (lo >>> 12)
}

export function testBit(words: Int32Array, at: number, bit: number): boolean {
  return ((words[at + (bit >> 5)] >>> (bit & 31)) & 1) !== 0
}

export function setBit(words: Int32Array, at: number, bit: number): void {
  words[at + (bit >> 5)] |= 1 << (bit & 31)
}

export function clearBit(words: Int32Array, at: number, bit: number): void {
  words[at + (bit >> 5)] &= ~(1 << (bit & 31))
}

/** Highest bit set of the 256 at `at`, or -1. */
export function highestBit(words: Int32Array, at: number): number {
  for (let i = 7; i >= 0; i--) {
    const word = words[at + i]
    if (word !== 0) return (i << 5) + 31 - Math.clz32(word)
  }
  return -1
}

/** Bits set of the 256 at `at`, ascending. */
export function bitsSet(words: Int32Array, at: number): number[] {
  const bits: number[] = []
  for (let bit = 0; bit < 256; bit++) if (testBit(words, at, bit)) bits.push(bit)
  return bits
}
