/** A growing run of 32-bit words: what op records, results and notifications are written into. */
import { highHalf, lowHalf } from '../hv/bits.js'

/** Words that always fit behind a `reserve`, so that short records need one check. */
const SLACK = 16
const SOME_WORDS = 128

export class WordBuffer {
  words: Int32Array
  length = 0

  constructor(words = 64) {
    this.words = new Int32Array(words)
  }

  clear(): void {
    this.length = 0
  }

  /** Makes room for this many words, and a few more. */
  reserve(words: number): this {
    if (this.length + words + SLACK > this.words.length) this.#grow(words + SLACK)
    return this
  }

  /** One word. Up to sixteen fit behind a `reserve` without another. */
  put(word: number): this {
    this.words[this.length++] = word
    return this
  }

  /** A non-negative safe integer as two words. */
  putNumber(value: number): this {
    this.words[this.length] = lowHalf(value)
    this.words[this.length + 1] = highHalf(value)
    this.length += 2
    return this
  }

  /** A count of bytes, then the bytes four to a word; bytes that fill up the last word are 0. */
  putBytes(bytes: Uint8Array): this {
    const count = (bytes.length + 3) >> 2
    this.reserve(count + 1)
    this.words[this.length++] = bytes.length
    for (let i = 0; i < count; i++) this.words[this.length + i] = 0
    new Uint8Array(this.words.buffer, this.length * 4, bytes.length).set(bytes)
    this.length += count
    return this
  }

  /** Words of another run, from `from` up to `to`. */
  putWords(source: Int32Array, from: number, to: number): this {
    const count = to - from
    this.reserve(count)
    const { words, length } = this
    this.length = length + count
    // A view and a call cost more than some words do.
    if (count > SOME_WORDS) words.set(source.subarray(from, to), length)
    else copyWords(words, length, source, from, to)
    return this
  }

  #grow(words: number): void {
    const grown = new Int32Array(Math.max(this.words.length * 2, this.length + words))
    grown.set(this.words.subarray(0, this.length))
    this.words = grown
  }
}

/** Four at a time: drawn into a large function, the loop costs more than what it does. */
function copyWords(words: Int32Array, at: number, source: Int32Array, from: number, to: number): void {
  let i = from
  let k = at
  for (; i + 3 < to; i += 4, k += 4) {
    words[k] = source[i]
    words[k + 1] = source[i + 1]
    words[k + 2] = source[i + 2]
    words[k + 3] = source[i + 3]
  }
  for (; i < to; i++, k++) words[k] = source[i]
}
