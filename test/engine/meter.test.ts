/** Each op is counted once, by what became of it, whatever stopped its batch. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { INTERRUPT_KINDS, KINDS, METERED_OPS, OUTCOMES, STAGES } from '../../src/engine/meter.js'
import { Service } from '../../src/engine/service.js'
import { holds } from '../support/property.js'
import { randomOps } from '../support/random-ops.js'

interface Result {
  readonly ok: boolean
  readonly fault?: string
}

const countsOf = ({ meter }: Service) =>
  METERED_OPS.map((_, code) => OUTCOMES.map((_, outcome) => meter.ops(code, outcome)))

it('counts what the results say', () => {
  const batches = fc.array(fc.tuple(randomOps(30), fc.boolean()), { maxLength: 5 })
  const run = fc.property(batches, (all) => {
    const service = new Service()
    const host = service.create({ profile: 'kvm-synic2', vcpus: 3 })
    const counted = countsOf(service)
    for (const [ops, stopOnFault] of all) {
      // A batch that asks for too much is refused as a whole.
      try {
        const { results } = host.applyBatch(ops, { stopOnFault })
        results.forEach((text, i) => {
          const { ok, fault } = JSON.parse(text) as Result
          const outcome = OUTCOMES.indexOf(ok ? 'ok' : fault === undefined ? 'errno' : 'fault')
          counted[METERED_OPS.indexOf(ops[i].op)][outcome]++
        })
      } catch {}
    }
    expect(countsOf(service)).toEqual(counted)
  })
  holds(run, 100)
})

it('two services of a process, in turn: each counts its own', () => {
  const cycle = [
    { op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '5a' },
    { op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '5a' },
    { op: 'apic.ack', vcpu: 0 },
    { op: 'message.complete', vcpu: 0, sint: 2 },
  ]
  const services = [new Service(), new Service()]
  const hosts = services.map((service) => {
    const host = service.create({ profile: 'kvm-synic2', vcpus: 1 })
    const write = (msr: string, value: string) => ({ op: 'msr.write', vcpu: 0, msr, value })
    host.applyBatch([write('SIMP', '0x100001'), write('SINT2', '0xf3'), write('SCONTROL', '0x1')])
    return host
  })
  for (const i of [0, 1, 1, 0, 1]) hosts[i].applyBatch(cycle)
  const told = services.map(({ meter }) => ({
    acks: meter.ops(METERED_OPS.indexOf('apic.ack'), OUTCOMES.indexOf('ok')),
    eoms: meter.eom,
    messages: meter.messages,
    interrupts: meter.interrupts(INTERRUPT_KINDS.indexOf('message')),
    slots: meter.series(STAGES.indexOf('slot'), KINDS.indexOf('message')).counts.at(-1),
  }))
  const after = (times: number) => ({
    acks: times,
    eoms: times,
    messages: [times, 0, times, 0],
    interrupts: times,
    slots: times,
  })
  expect(told).toEqual([after(2), after(3)])
})
