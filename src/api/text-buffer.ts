/** A growing run of bytes that texts are written into: a text of its own for each would be garbage. */

const FIRST_BYTES = 4096
/** Up to here a call costs more than the letters do. */
const SHORT_CHARS = 128
/** The longest that UTF-8 makes of one letter of a JavaScript text. */
const LETTER_BYTES = 3
const ASCII_MAX = 0x7f
const ZERO = 0x30
const HEX_DIGITS = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))
const WORD_DIGITS = 8
/** Below it the digits of a number are found by 32-bit arithmetic. */
const BILLION = 1_000_000_000
const DECIMALS_MAX = 16

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class TextBuffer {
  length = 0
  bytes = new Uint8Array(FIRST_BYTES)

  clear(): void {
    this.length = 0
  }

  /** All of it as one text. */
  toString(): string {
    return decoder.decode(this.bytes.subarray(0, this.length))
  }

  /** Any text, as UTF-8. */
  put(text: string): this {
    if (text.length <= SHORT_CHARS && this.#putAscii(text)) return this
    for (let rest = text; rest !== ''; ) {
      // Mostly enough; what is not ASCII may take another round.
      this.reserve(rest.length + LETTER_BYTES)
      const { read, written } = encoder.encodeInto(rest, this.bytes.subarray(this.length))
      this.length += written
      rest = rest.slice(read)
    }
    return this
  }

  /** A non-negative safe integer. */
  decimal(value: number): this {
    this.reserve(DECIMALS_MAX)
    if (value < BILLION) return this.#digits(value, decimalsOf(value))
    const billions = Math.floor(value / BILLION)
    return this.#digits(billions, decimalsOf(billions)).#digits(value - billions * BILLION, 9)
  }

  /** A 32-bit number as the wire writes u64s: "0x1f". */
  hexU32(value: number): this {
    return this.put('0x').#hex(value, hexDigitsOf(value))
  }

  /** A u64 from its halves, the same way. */
  hexU64(lo: number, hi: number): this {
    return hi === 0 ? this.hexU32(lo) : this.hexU32(hi).#hex(lo, WORD_DIGITS)
  }

  /** The first `count` bytes of words from `at` on, lowest first, two hex digits each. */
  hexBytes(words: Int32Array, at: number, count: number): this {
    this.reserve(2 * count)
    const { bytes } = this
    let to = this.length
    for (let i = 0; i < count; i++) {
      const byte = words[at + (i >> 2)] >>> ((i & 3) * 8)
      bytes[to] = HEX_DIGITS[(byte >> 4) & 15]
      bytes[to + 1] = HEX_DIGITS[byte & 15]
      to += 2
    }
    this.length = to
    return this
  }

  /** Bytes as they are. */
  raw(source: Uint8Array): this {
    this.reserve(source.length)
    this.bytes.set(source, this.length)
    this.length += source.length
    return this
  }

  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(2 * this.bytes.length, needed))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }

  /** Letter by letter; false, and nothing put, if not all of it is ASCII. */
  #putAscii(text: string): boolean {
    const { length } = text
    this.reserve(length)
    const { bytes } = this
    const begin = this.length
    for (let i = 0; i < length; i++) {
      const letter = text.charCodeAt(i)
      if (letter > ASCII_MAX) return false
      bytes[begin + i] = letter
    }
    this.length = begin + length
    return true
  }

  /** The last `count` decimals of a number below 2^31, for which there is room. */
  #digits(value: number, count: number): this {
    const { bytes } = this
    let rest = value | 0
    for (let at = this.length + count - 1; at >= this.length; at--) {
      const tens = (rest / 10) | 0
      bytes[at] = ZERO + rest - 10 * tens
      rest = tens
    }
    this.length += count
    return this
  }

  /** The last `count` hex digits of a word. */
  #hex(value: number, count: number): this {
    this.reserve(count)
    const { bytes } = this
    let at = this.length
    for (let shift = 4 * (count - 1); shift >= 0; shift -= 4) bytes[at++] = HEX_DIGITS[(value >>> shift) & 15]
    this.length = at
    return this
  }
}

/** How many hex digits a word has. */
const hexDigitsOf = (word: number) => WORD_DIGITS - (Math.clz32(word | 1) >> 2)

/** How many decimals a number below 2^31 has. */
function decimalsOf(value: number): number {
  let count = 1
  for (let bound = 10; value >= bound; bound *= 10) count++
  return count
}
