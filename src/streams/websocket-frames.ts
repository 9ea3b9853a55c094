/**
 * Messages of a server as WebSocket frames (RFC 6455, section 5.2: one frame each, unmasked). The library
 * frames for one socket at a time; here a frame is built once for all who get it, many to a buffer.
 */
import type { Arena } from './arena.js'

const FIN_TEXT = 0x81
const FIN_BINARY = 0x82
const HEADER_MAX = 10
const FIRST_BYTES = 4096
/** Up to here a call costs more than the letters do. */
const TINY_BYTES = 64
const ASCII_MAX = 0x7f
/** A view of words as bytes costs more than a few bytes do. */
const SHORT_BYTES = 128

export class FrameBuffer {
  length = 0
  #bytes = Buffer.allocUnsafe(FIRST_BYTES)

  get capacity(): number {
    return this.#bytes.length
  }

  /** One text message. */
  text(text: string): void {
    if (text.length <= TINY_BYTES && this.#putAscii(text)) return
    const payload = Buffer.byteLength(text)
    this.#begin(FIN_TEXT, payload)
    this.length += this.#bytes.write(text, this.length, payload, 'utf8')
  }

  /** A message that is ASCII, letter by letter; false, and nothing put, if it is not. */
  #putAscii(text: string): boolean {
    const { length } = text
    const before = this.length
    this.#begin(FIN_TEXT, length)
    const bytes = this.#bytes
    let at = this.length
    for (let i = 0; i < length; i++) {
      const letter = text.charCodeAt(i)
      if (letter > ASCII_MAX) {
        this.length = before
        return false
      }
      bytes[at++] = letter
    }
    this.length = at
    return true
  }

  /** One binary message: the words from `from` up to `to`, little-endian. */
  binary(words: Int32Array, from: number, to: number): void {
    const payload = (to - from) * 4
    this.#begin(FIN_BINARY, payload)
    if (payload <= SHORT_BYTES) return this.#putWords(words, from, to)
    this.#bytes.set(new Uint8Array(words.buffer, words.byteOffset + from * 4, payload), this.length)
    this.length += payload
  }

  #putWords(words: Int32Array, from: number, to: number): void {
    const bytes = this.#bytes
    let at = this.length
    for (let i = from; i < to; i++) {
      const word = words[i]
      bytes[at] = word
      bytes[at + 1] = word >> 8
      bytes[at + 2] = word >> 16
      bytes[at + 3] = word >> 24
      at += 4
    }
    this.length = at
  }

  /** The frames so far, in bytes of the arena; this buffer is empty then. */
  take(arena: Arena): Buffer {
    const frames = arena.carve(this.length)
    this.#bytes.copy(frames, 0, 0, this.length)
    this.length = 0
    return frames
  }

  #begin(first: number, payload: number): void {
    const needed = this.length + HEADER_MAX + payload
    if (needed > this.#bytes.length) this.#grow(needed)
    const bytes = this.#bytes
    bytes[this.length] = first
    if (payload < 126) {
      bytes[this.length + 1] = payload
      this.length += 2
    } else if (payload < 0x1_0000) {
      bytes[this.length + 1] = 126
      bytes.writeUInt16BE(payload, this.length + 2)
      this.length += 4
    } else {
      bytes[this.length + 1] = 127
      bytes.writeUInt32BE(0, this.length + 2)
      bytes.writeUInt32BE(payload, this.length + 6)
      this.length += 10
    }
  }

  #grow(bytes: number): void {
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, bytes))
    grown.set(this.#bytes.subarray(0, this.length))
    this.#bytes = grown
  }
}
