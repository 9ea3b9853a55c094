/** The set-up of a load keeps to what the server takes in a second. */
import { describe, expect, it } from 'vitest'
import { Openings } from '../../src/load/openings.js'

/** Openings of which every rest is counted. */
function openings() {
  const halt = new AbortController()
  const rests: number[] = []
  const made = new Openings(halt.signal, async (ms) => {
    rests.push(ms)
  })
  return { halt, rests, openings: made }
}

describe('openings', () => {
  it('are not held back where nothing limits them', async () => {
    const { rests, openings: free } = openings()
    expect([await free.room(1), await free.room(10_000), rests]).toEqual([1, 10_000, []])
  })

  it('are at most so many a second, those before the limit was known among them', async () => {
    const { rests, openings: few } = openings()
    expect(await few.room(1)).toBe(1)
    few.perSecond = 3
    expect([await few.room(5), rests.length]).toEqual([2, 0])
    expect([await few.room(3), rests.length]).toEqual([3, 1])
    expect([await few.room(2), await few.room(1), rests.length]).toEqual([2, 1, 2])
  })

  it('wait where one was refused all the same', async () => {
    const { rests, openings: shared } = openings()
    shared.refused()
    expect([await shared.room(1), rests.length]).toEqual([1, 1])
  })

  it('are none once it is halted', async () => {
    const { halt, openings: few } = openings()
    few.perSecond = 1
    await few.room(1)
    halt.abort()
    expect(await few.room(1)).toBe(0)
  })
})
