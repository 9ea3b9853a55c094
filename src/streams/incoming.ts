/** A message of a client, in memory that can be read by words. */
import { isUtf8 } from 'node:buffer'
import bufferUtil from 'bufferutil'

/** A call costs more than a few bytes do. */
const SHORT_BYTES = 128
const WORD_BYTES = 4
const MASK_BYTES = 4
/** The bits of four bytes that no letter of ASCII has. */
const BEYOND_ASCII = 0x8080_8080

export class Incoming {
  /** How many bytes it has. */
  length = 0
  isBinary = false
  /** Words of the message as it came that stood before this rest of it. */
  wordsBefore = 0
  /** It is known that all of it is ASCII: what is short and text mostly is. */
  #isAscii = false
  /** Its memory is its own, and not used for the next one. */
  #isKept = false
  bytes: Buffer
  /** The same memory; what is behind the message means nothing. */
  words: Int32Array

  /** @param capacity bytes that it can have before it needs other memory */
  constructor(capacity = 0x1_0000) {
    this.words = new Int32Array(Math.ceil(capacity / WORD_BYTES))
    this.bytes = Buffer.from(this.words.buffer)
  }

  /** A message that a library has read; copied only where its words could not be read. */
  static of(data: Buffer, isBinary: boolean): Incoming {
    const { buffer, byteOffset, length } = data
    const isAligned = byteOffset % WORD_BYTES === 0
    const message = new Incoming(isAligned ? 0 : length)
    if (isAligned) {
      message.bytes = data
      message.words = new Int32Array(buffer, byteOffset, Math.floor(length / WORD_BYTES))
    } else message.bytes.set(data)
    message.length = length
    message.isBinary = isBinary
    message.#isKept = true
    return message
  }

  /** What stands from byte `from` on, as a message of its own that may be kept. */
  restFrom(from: number): Incoming {
    const rest = this.bytes.subarray(from, this.length)
    // A long message may stop many times: it is copied once.
    const message = Incoming.of(this.#isKept ? rest : Buffer.from(rest), this.isBinary)
    message.wordsBefore = this.wordsBefore + from / WORD_BYTES
    return message
  }

  /**
   * Becomes the message that is `length` bytes of `source` from `from` on, behind the four bytes they are
   * masked with (RFC 6455, section 5.3).
   */
  unmask(source: Buffer, from: number, length: number, isBinary: boolean): void {
    if (length > this.bytes.length) {
      this.words = new Int32Array(Math.ceil(length / WORD_BYTES))
      this.bytes = Buffer.from(this.words.buffer)
    }
    this.length = length
    this.isBinary = isBinary
    this.#isAscii = false
    this.#isKept = false
    const { bytes, words } = this
    if (length > SHORT_BYTES) {
      bufferUtil.mask(
        source.subarray(from, from + length),
        source.subarray(from - MASK_BYTES, from),
        bytes,
        0,
        length,
      )
      return
    }
    for (let i = 0; i < length; i++) bytes[i] = source[from + i]
    const mask = source.readInt32LE(from - MASK_BYTES)
    let all = 0
    let last = 0
    for (let i = 0; i < length; i += WORD_BYTES) {
      all |= last
      last = words[i >> 2] ^ mask
      words[i >> 2] = last
    }
    // Of the last word only as much as is the message's.
    const behind = -length & (WORD_BYTES - 1)
    all |= behind === 0 ? last : last & (-1 >>> (8 * behind))
    this.#isAscii = (all & BEYOND_ASCII) === 0
  }

  /** Is it text as text is sent (RFC 6455, section 8.1)? */
  isUtf8(): boolean {
    return this.#isAscii || isUtf8(this.bytes.subarray(0, this.length))
  }

  text(): string {
    const { bytes, length } = this
    return bytes.toString(this.#isAscii ? 'latin1' : 'utf8', 0, length)
  }
}
