/** A message of a client, in memory that can be read by words. */
import bufferUtil from 'bufferutil'

/** A call costs more than a few bytes do. */
const SHORT_BYTES = 128
const WORD_BYTES = 4
const MASK_BYTES = 4

export class Incoming {
  /** How many bytes it has. */
  length = 0
  isBinary = false
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
    for (let i = 0; i < length; i += WORD_BYTES) words[i >> 2] ^= mask
  }

  /** What is here now, and stays. */
  copy(): Incoming {
    const { bytes, length, isBinary } = this
    return Incoming.of(Buffer.from(bytes.subarray(0, length)), isBinary)
  }

  text(): string {
    return this.bytes.toString('utf8', 0, this.length)
  }
}
