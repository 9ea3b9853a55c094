/** Numbers in texts of streams are written as any other number is. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { decimalText } from '../../src/api/decimal.js'
import { holds } from '../support/property.js'

it.each([0, 9, 10, 999, 1000, 1001, 999_999, 1_000_000, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER])(
  '%d',
  (value) => {
    expect(decimalText(value)).toBe(String(value))
  },
)

it('any safe integer that is not negative', () =>
  holds(
    fc.property(fc.maxSafeNat(), (value) => {
      expect(decimalText(value)).toBe(String(value))
    }),
  ))
