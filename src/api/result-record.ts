/** Results as records of words: what the log keeps and `synic.v1.bin` sends. Layout: docs/streams.md. */
import * as e from '../synic/effects.js'
import type { WordBuffer } from '../synic/word-buffer.js'
import { resultText } from './result.js'

export const RECORD_RESULT = 0xc2

// First word besides the tag: fault in bits 9:8, delivery in 11:10, halted in 12, what applies in 31:16.
const FAULT_SHIFT = 8
const DELIVERY_SHIFT = 10
const HALTED = 1 << 12
const HAS_SHIFT = 16
/** Words of a result that says no more than ok. */
const PLAIN_WORDS = 2
/** Words before the bytes: tag, length, errno, value lo/hi, vector, status, count of bytes. */
const HEAD_WORDS = 8

const UNTOLD: readonly number[] = [
  e.EFFECT_MESSAGE,
  e.EFFECT_FREED,
  e.EFFECT_EVENT,
  e.EFFECT_EOM,
  e.EFFECT_EOI,
  e.EFFECT_LOST,
  e.EFFECT_WAITS,
  e.EFFECT_LEFT,
]
/** Consequences that clients are told in results; the others feed metrics and notifications. */
const IS_TOLD = Uint8Array.from(e.EFFECT_WORDS, (_, kind) => (UNTOLD.includes(kind) ? 0 : 1))

/** The same, one bit a kind. */
const TOLD = IS_TOLD.reduce((bits, isTold, kind) => (isTold === 1 ? bits | (1 << kind) : bits), 0)
/** What has more than words of the head. */
const LONG = e.HAS_BYTES | e.HAS_DUMP | e.HAS_VIOLATIONS

const NO_BYTES = new Uint8Array(0)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Appends the result of the op applied last. */
export function putResult(out: WordBuffer, effects: e.Effects): void {
  const { has } = effects
  out.reserve(HEAD_WORDS + effects.length)
  const { words, length: start } = out
  if (has === 0 && effects.kinds === 0 && effects.ok) {
    words[start] = RECORD_RESULT
    words[start + 1] = PLAIN_WORDS
    out.length = start + PLAIN_WORDS
    return
  }
  const halted = (has & e.HAS_HALTED) !== 0 && effects.halted ? HALTED : 0
  const delivery = (has & e.HAS_DELIVERY) !== 0 ? effects.delivery << DELIVERY_SHIFT : 0
  const hasValue = (has & e.HAS_VALUE) !== 0
  words[start] = RECORD_RESULT | (effects.fault << FAULT_SHIFT) | delivery | halted | (has << HAS_SHIFT)
  words[start + 2] = effects.errno
  words[start + 3] = hasValue ? effects.valueLo : 0
  words[start + 4] = hasValue ? effects.valueHi : 0
  words[start + 5] = (has & e.HAS_VECTOR) !== 0 ? effects.vector : 0
  words[start + 6] = (has & e.HAS_STATUS) !== 0 ? effects.status : 0
  words[start + 7] = 0
  out.length = start + HEAD_WORDS
  if ((has & LONG) !== 0) putLong(out, effects)
  if ((effects.kinds & TOLD) !== 0) putConsequences(out, effects)
  out.words[start + 1] = out.length - start
}

/** What has bytes: behind the head, whose last word is their count. */
function putLong(out: WordBuffer, effects: e.Effects): void {
  if ((effects.has & (e.HAS_BYTES | e.HAS_DUMP)) !== 0) {
    out.length--
    out.putBytes(bytesOf(effects))
  }
  if ((effects.has & e.HAS_VIOLATIONS) !== 0) out.putBytes(encoder.encode(effects.violations))
}

function bytesOf(effects: e.Effects): Uint8Array {
  if ((effects.has & e.HAS_BYTES) !== 0) return effects.bytes
  return (effects.has & e.HAS_DUMP) !== 0 ? encoder.encode(JSON.stringify(effects.dump)) : NO_BYTES
}

function putConsequences(out: WordBuffer, { words, length }: e.Effects): void {
  out.reserve(length)
  const to = out.words
  let end = out.length
  for (let at = 0; at < length; ) {
    const next = at + e.EFFECT_WORDS[words[at]]
    if (IS_TOLD[words[at]] === 1) for (; at < next; at++) to[end++] = words[at]
    at = next
  }
  out.length = end
}

const scratch = new e.Effects()

/** The result at `at` as JSON text: the same that the op's answer had. */
export function resultTextAt(words: Int32Array, at: number): string {
  return resultText(readResult(words, at, scratch))
}

/** The result at `at` as effects again: what `resultText` writes is then the same. */
export function readResult(words: Int32Array, at: number, into: e.Effects): e.Effects {
  into.reset()
  const length = words[at + 1]
  if (length === PLAIN_WORDS) return into
  const first = words[at]
  into.fault = (first >> FAULT_SHIFT) & 3
  into.delivery = (first >> DELIVERY_SHIFT) & 3
  into.halted = (first & HALTED) !== 0
  into.has = first >>> HAS_SHIFT
  into.errno = words[at + 2]
  into.valueLo = words[at + 3]
  into.valueHi = words[at + 4]
  into.vector = words[at + 5]
  into.status = words[at + 6]
  const count = words[at + 7]
  const bytes = new Uint8Array(words.buffer, words.byteOffset + (at + HEAD_WORDS) * 4, count)
  if ((into.has & e.HAS_BYTES) !== 0) into.bytes = bytes
  if ((into.has & e.HAS_DUMP) !== 0) into.dump = JSON.parse(decoder.decode(bytes)) as object
  let from = at + HEAD_WORDS + ((count + 3) >> 2)
  if ((into.has & e.HAS_VIOLATIONS) !== 0) {
    const violations = words[from]
    into.violations = decoder.decode(
      new Uint8Array(words.buffer, words.byteOffset + (from + 1) * 4, violations),
    )
    from += 1 + ((violations + 3) >> 2)
  }
  const told = words.subarray(from, at + length)
  if (told.length > into.words.length) into.words = new Int32Array(told.length * 2)
  into.words.set(told)
  into.length = told.length
  for (let at = 0; at < told.length; at += e.EFFECT_WORDS[told[at]]) into.kinds |= 1 << told[at]
  return into
}
