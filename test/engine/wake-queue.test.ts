/** Whatever is set, set again and taken away: the earliest comes first, and slots are used again. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WakeQueue } from '../../src/engine/wake-queue.js'
import { holds } from '../support/property.js'

describe('a wake queue', () => {
  const filled = (...times: number[]) => {
    const queue = new WakeQueue<number>()
    for (const atMs of times) queue.arm(queue.add(atMs), atMs)
    return queue
  }

  it('gives the earliest first, and each once', () => {
    const queue = filled(3, 1, 2)
    expect([queue.take(), queue.take(), queue.take()]).toEqual([1, 2, 3])
    expect(queue.first).toBe(Number.POSITIVE_INFINITY)
  })

  it('holds what does not wait', () => {
    const queue = filled(5)
    const slot = queue.add(4)
    expect(queue.first).toBe(5)
    queue.arm(slot, 4)
    expect(queue.first).toBe(4)
  })

  it('is as large as it ever had to be', () => {
    const queue = filled(1, 2, 3)
    const slots = new Set<number>()
    for (let i = 0; i < 100; i++) {
      const slot = queue.add(i)
      slots.add(slot)
      queue.arm(slot, i)
      queue.remove(slot)
    }
    expect([...slots]).toEqual([3])
    expect(queue.first).toBe(1)
  })

  it('agrees with a sorted list', () => {
    const step = fc.record({
      what: fc.constantFrom('arm', 'remove', 'take'),
      which: fc.nat(),
      atMs: fc.nat(50),
    })
    holds(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new WakeQueue<{ atMs: number }>()
        const all = Array.from({ length: 8 }, () => {
          const item = { atMs: Number.POSITIVE_INFINITY }
          return { item, slot: queue.add(item) }
        })
        for (const { what, which, atMs } of steps) {
          const entry = all[which % all.length]
          if (what === 'arm') {
            entry.item.atMs = atMs
            queue.arm(entry.slot, atMs)
          } else if (what === 'remove') {
            queue.remove(entry.slot)
            entry.item = { atMs: Number.POSITIVE_INFINITY }
            entry.slot = queue.add(entry.item)
          } else if (queue.first < Number.POSITIVE_INFINITY) {
            const { first } = queue
            const item = queue.take()
            expect(item.atMs).toBe(first)
            item.atMs = Number.POSITIVE_INFINITY
          }
          expect(queue.first).toBe(Math.min(...all.map(({ item }) => item.atMs)))
        }
      }),
    )
  })
})
