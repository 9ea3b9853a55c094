/**
 * Messages of a server as WebSocket frames (RFC 6455, section 5.2: one frame each, unmasked). The library
 * frames for one socket at a time; here a frame is built once for all who get it, many to a buffer.
 */
import { TextBuffer } from '../api/text-buffer.js'
import type { Arena } from './arena.js'

const FIN_TEXT = 0x81
const FIN_BINARY = 0x82
const HEADER_MAX = 10
/** A view of words as bytes costs more than a few bytes do. */
const SHORT_BYTES = 128

/** Header of a message whose length is not known yet, as of most texts of a notification. */
const HEADER_GUESS = 4

export class FrameBuffer extends TextBuffer {
  /** Where the message that is being written begins. */
  #begun = 0

  get capacity(): number {
    return this.bytes.length
  }

  /** One text message. */
  text(text: string): void {
    this.beginText().put(text)
    this.endText()
  }

  /** A text message begins: what is put until `endText` is its text. */
  beginText(): this {
    this.reserve(HEADER_MAX)
    this.#begun = this.length
    this.length += HEADER_GUESS
    return this
  }

  endText(): void {
    const { length } = this
    const text = this.#begun + HEADER_GUESS
    const payload = length - text
    const header = payload < 126 ? 2 : payload < 0x1_0000 ? 4 : HEADER_MAX
    this.reserve(HEADER_MAX)
    if (header !== HEADER_GUESS) this.bytes.copyWithin(this.#begun + header, text, length)
    this.length = this.#begun
    this.#header(FIN_TEXT, payload)
    this.length += payload
  }

  /** One binary message: the words from `from` up to `to`, little-endian. */
  binary(words: Int32Array, from: number, to: number): void {
    const payload = (to - from) * 4
    this.#begin(FIN_BINARY, payload)
    if (payload <= SHORT_BYTES) return this.#putWords(words, from, to)
    this.bytes.set(new Uint8Array(words.buffer, words.byteOffset + from * 4, payload), this.length)
    this.length += payload
  }

  #putWords(words: Int32Array, from: number, to: number): void {
    const bytes = this.bytes
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
    frames.set(this.bytes.subarray(0, this.length))
    this.length = 0
    return frames
  }

  #begin(first: number, payload: number): void {
    this.reserve(HEADER_MAX + payload)
    this.#header(first, payload)
  }

  #header(first: number, payload: number): void {
    const { bytes, length } = this
    bytes[length] = first
    if (payload < 126) {
      bytes[length + 1] = payload
      this.length += 2
    } else if (payload < 0x1_0000) {
      bytes[length + 1] = 126
      bytes[length + 2] = payload >> 8
      bytes[length + 3] = payload
      this.length += 4
    } else {
      bytes[length + 1] = 127
      // No buffer is as long as four bytes can say.
      bytes.fill(0, length + 2, length + 6)
      bytes[length + 6] = payload >> 24
      bytes[length + 7] = payload >> 16
      bytes[length + 8] = payload >> 8
      bytes[length + 9] = payload
      this.length += 10
    }
  }
}
