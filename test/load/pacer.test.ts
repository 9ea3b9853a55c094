/** A rate is kept to on a clock that the test turns. */
import { expect, it } from 'vitest'
import { Pacer } from '../../src/load/pacer.js'

/** How many may go at each of these times, milliseconds, at 100 a second. */
function goAt(...times: number[]): number[] {
  let nowMs = 0
  const pacer = new Pacer(100, () => nowMs)
  return times.map((time) => {
    nowMs = time
    let count = 0
    while (pacer.take()) count++
    return count
  })
}

it.each([
  ['the first goes at once', [0], [1]],
  ['the next when its time has come, not before', [0, 9, 11, 21], [1, 0, 1, 1]],
  ['those of a short pause follow together', [0, 50], [1, 5]],
  ['a long pause is caught up with for a tenth of a second only', [0, 5000], [1, 10]],
])('%s', (_why, times, counts) => {
  expect(goAt(...times)).toEqual(counts)
})

it('ten seconds of it are a thousand, and the first', () => {
  const everyMs = Array.from({ length: 10_001 }, (_, ms) => ms)
  const all = goAt(...everyMs).reduce((sum, count) => sum + count, 0)
  expect(all).toBeGreaterThanOrEqual(1000)
  expect(all).toBeLessThanOrEqual(1001)
})

it('tells how long the next has to wait', () => {
  let nowMs = 0
  const pacer = new Pacer(100, () => nowMs)
  expect([pacer.waitMs, pacer.take(), pacer.waitMs]).toEqual([0, true, 10])
  nowMs = 4
  expect([pacer.take(), pacer.waitMs]).toEqual([false, 6])
})
