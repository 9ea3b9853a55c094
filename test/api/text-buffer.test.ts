/** What is written into bytes directly reads as what the language itself would write. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TextBuffer } from '../../src/api/text-buffer.js'
import { holds } from '../support/property.js'

const written = (write: (out: TextBuffer) => void): string => {
  const out = new TextBuffer()
  write(out)
  return out.toString()
}

describe('a number', () => {
  it.each([
    0,
    9,
    10,
    99,
    100,
    999_999_999,
    1_000_000_000,
    1_000_000_001,
    2 ** 31,
    2 ** 32,
    10 ** 15,
    Number.MAX_SAFE_INTEGER,
  ])('%d', (value) => {
    expect(written((out) => out.decimal(value))).toBe(String(value))
  })

  it('any safe integer that is not negative', () =>
    holds(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(written((out) => out.decimal(value))).toBe(String(value))
      }),
    ))
})

describe('a u64', () => {
  it.each([0n, 0xfn, 0x10n, 0xffff_ffffn, 0x1_0000_0000n, 0x8000_0000_0000_0000n, 2n ** 64n - 1n])(
    '%s',
    (value) => expectHex(value),
  )

  it('any', () => holds(fc.property(fc.bigInt(0n, 2n ** 64n - 1n), expectHex)))

  function expectHex(value: bigint): void {
    const lo = Number(value & 0xffff_ffffn) | 0
    const hi = Number(value >> 32n) | 0
    expect(written((out) => out.hexU64(lo, hi))).toBe(`0x${value.toString(16)}`)
  }
})

it('bytes of words are written lowest first', () =>
  holds(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(3), (bytes, at) => {
      const words = new Int32Array(at + Math.ceil(bytes.length / 4))
      new Uint8Array(words.buffer).set(bytes, at * 4)
      const hex = written((out) => out.hexBytes(words, at, bytes.length))
      expect(hex).toBe(Buffer.from(bytes).toString('hex'))
    }),
  ))

describe('a text', () => {
  it.each([
    ['short', 'x'],
    ['as long as what is written letter by letter', 'x'.repeat(128)],
    ['longer', 'x'.repeat(129)],
    ['longer than the buffer', 'x'.repeat(5000)],
    ['of three bytes a letter, longer than the buffer', '\u20ac'.repeat(5000)],
    ['of surrogates', '\u{1f600}'.repeat(3000)],
    ['that ends with half a pair', 'x\ud83d'],
  ])('%s', (_what, text) => {
    const all = written((out) => out.put('<').put(text).put('>'))
    expect(all).toBe(`<${Buffer.from(text).toString()}>`)
  })

  it('any, one after the other', () =>
    holds(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 200 })), (texts) => {
        const all = written((out) => {
          for (const text of texts) out.put(text)
        })
        expect(all).toBe(texts.map((text) => Buffer.from(text).toString()).join(''))
      }),
    ))
})
