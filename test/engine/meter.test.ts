/** Each op is counted once, by what became of it, whatever stopped its batch. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { METERED_OPS, OUTCOMES } from '../../src/engine/meter.js'
import { Service } from '../../src/engine/service.js'
import { holds } from '../support/property.js'
import { randomOps } from '../support/random-ops.js'

interface Result {
  readonly ok: boolean
  readonly fault?: string
}

it('counts what the results say', () => {
  const batches = fc.array(fc.tuple(randomOps(30), fc.boolean()), { maxLength: 5 })
  const run = fc.property(batches, (all) => {
    const service = new Service()
    const host = service.create({ profile: 'kvm-synic2', vcpus: 3 })
    const counted = Float64Array.from(service.meter.ops)
    for (const [ops, stopOnFault] of all) {
      // A batch that asks for too much is refused as a whole.
      try {
        const { results } = host.applyBatch(ops, { stopOnFault })
        results.forEach((text, i) => {
          const { ok, fault } = JSON.parse(text) as Result
          const outcome = OUTCOMES.indexOf(ok ? 'ok' : fault === undefined ? 'errno' : 'fault')
          counted[METERED_OPS.indexOf(ops[i].op) * OUTCOMES.length + outcome]++
        })
      } catch {}
    }
    expect(service.meter.ops).toEqual(counted)
  })
  holds(run, 100)
})
