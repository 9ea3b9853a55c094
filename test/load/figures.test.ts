/** What is measured when: intervals, the whole behind a restart, and the pace of messages. */
import { describe, expect, it } from 'vitest'
import { Figures } from '../../src/load/figures.js'
import { Pacer } from '../../src/load/pacer.js'

describe('figures', () => {
  it('leave out what came before the restart', () => {
    let nowMs = 0
    const figures = new Figures(() => nowMs)
    figures.counts.ops += 5
    figures.batch.record(400)
    nowMs = 1000
    figures.restart()
    figures.counts.ops += 7
    figures.batch.record(2)
    nowMs = 3000
    const { seconds, counts, batch } = figures.whole()
    expect([seconds, counts.ops, batch.count, batch.max]).toEqual([2, 7, 1, 2000])
  })

  it('tell of an interval what came in it, and of the whole everything', () => {
    let nowMs = 0
    const figures = new Figures(() => nowMs)
    const samples = [1, 2, 3].map((i) => {
      for (let k = 0; k < i; k++) figures.delivery.record(i / 10)
      figures.counts.messages += i
      nowMs += 500
      const { seconds, counts, delivery } = figures.endInterval()
      return [seconds, counts.messages, delivery.count, delivery.p50]
    })
    expect(samples).toEqual([
      [0.5, 1, 1, 100],
      [0.5, 2, 2, 200],
      [0.5, 3, 3, 300],
    ])
    const { seconds, counts, delivery } = figures.whole()
    expect([seconds, counts.messages, delivery.count, delivery.p50]).toEqual([1.5, 6, 6, 200])
  })

  it('take what lasts longer than a minute for a minute', () => {
    const figures = new Figures()
    figures.batch.record(1e9)
    // The histogram keeps three digits.
    expect(figures.whole().batch.p50).toBeGreaterThanOrEqual(60_000_000)
    expect(figures.whole().batch.p50).toBeLessThan(60_100_000)
  })
})

describe('a pacer', () => {
  it('lets so many go in a second, and no more', () => {
    let nowMs = 0
    const pacer = new Pacer(100, () => nowMs)
    let gone = 0
    for (; nowMs < 1000; nowMs++) while (pacer.take()) gone++
    expect(gone).toBe(100)
  })

  it('does not catch up with a long silence', () => {
    let nowMs = 0
    const pacer = new Pacer(100, () => nowMs)
    nowMs = 60_000
    let gone = 0
    while (pacer.take()) gone++
    expect(gone).toBe(10)
    expect(pacer.waitMs).toBe(10)
  })
})
