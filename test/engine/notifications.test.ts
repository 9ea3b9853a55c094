/** Notifications are numbered alike whether anybody listens or not. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { numberOf } from '../../src/api/notification.js'
import { Service } from '../../src/engine/service.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

it('counts the same with and without a listener', () => {
  holds(
    fc.property(randomSetup, randomOps(80), ({ profile, kind, gpaPages, options }, ops) => {
      const service = new Service()
      const request = { profile, kind, vcpus: 3, gpaPages, options }
      const [heard, unheard] = [service.create(request), service.create(request)]
      const numbers: number[] = []
      const first = heard.notifications.lastN + 1
      heard.notifications.listen(() => {
        for (;;) {
          const run = heard.notifications.run(first + numbers.length, heard.notifications.lastN)
          if (run === undefined) break
          for (let i = run.begin; i < run.end; i++) numbers.push(numberOf(run.words, run.starts[i]))
        }
      })
      for (const op of ops) expect(heard.applyOne(op)).toBe(unheard.applyOne(op))
      expect(unheard.notifications.lastN).toBe(heard.notifications.lastN)
      expect(numbers).toEqual(numbers.map((_, i) => first + i))
      expect(numbers.length).toBe(heard.notifications.lastN - first + 1)
    }),
    200,
  )
})
