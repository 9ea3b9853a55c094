/** Lengths of time as they are written. */
import { expect, it } from 'vitest'
import { parseDuration } from '../../src/load/duration.js'

it.each([
  ['100ms', 100],
  ['10s', 10_000],
  ['1.5m', 90_000],
  ['24h', 86_400_000],
  [' 2s ', 2000],
])('%s is %i ms', (text, ms) => expect(parseDuration(text)).toBe(ms))

it.each(['', '10', 's', '-1s', '1e3s', '99ms', '25h', '10 s', '10sec', 'Infinitys', '0s'])(
  'refuses "%s"',
  (text) => expect(() => parseDuration(text)).toThrow(/100ms to 24h/),
)
