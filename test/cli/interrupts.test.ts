/** SIGINT and SIGTERM of a command that cleans up: the first, the second, the third. */
import { afterEach, describe, expect, it } from 'vitest'
import { Interrupts } from '../../src/cli/interrupts.js'

let nowMs = 0
const told: string[] = []
const interrupts = () =>
  new Interrupts(
    (line) => told.push(line),
    () => nowMs,
    (signal) => told.push(signal),
  )
afterEach(() => {
  told.length = 0
})

describe('interrupts', () => {
  it('end early, then hurry, then end the process', () => {
    const taken = interrupts()
    const signalled = (ms: number) => {
      nowMs += ms
      taken.take('SIGINT')
      return [taken.signal.aborted, taken.hurry.aborted, told.length]
    }
    // npx passes on what the terminal has sent, too.
    expect([signalled(0), signalled(3)]).toEqual(Array(2).fill([true, false, 0]))
    expect([signalled(1000), signalled(3)]).toEqual(Array(2).fill([true, true, 1]))
    expect(signalled(1000)).toEqual([true, true, 2])
    expect(told).toEqual(['cleaning up; once more to leave without it', 'SIGINT'])
    taken.stop()
  })

  it('are taken from the process until they are stopped', () => {
    const before = process.listenerCount('SIGINT')
    const taken = interrupts()
    expect(process.listenerCount('SIGINT')).toBe(before + 1)
    process.emit('SIGTERM', 'SIGTERM')
    expect(taken.signal.aborted).toBe(true)
    taken.stop()
    expect([process.listenerCount('SIGINT'), told]).toEqual([before, []])
  })
})
