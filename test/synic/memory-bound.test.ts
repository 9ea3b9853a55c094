/** A partition touches so many guest pages and no more, whatever its overlays do to what lies beneath. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { forkPartition } from '../../src/synic/fork.js'
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import { machine, TestMachine, type WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { EVERY_PROFILE } from '../support/script.js'

const PAGES_MAX = 3
const vcpu = fc.nat(1)
const page = fc.integer({ min: 1, max: 6 }).map((n) => n * 4096)

/** What lays overlays and takes them away, and what takes pages. */
const op: fc.Arbitrary<WireInput> = fc.oneof(
  fc.record({
    op: fc.constant('msr.write'),
    vcpu,
    msr: fc.constantFrom('SIMP', 'SIEFP'),
    value: fc.tuple(page, fc.nat(1)).map(([gpa, on]) => gpa + on),
    by: fc.constantFrom('guest', 'host'),
  }),
  fc.record({ op: fc.constant('mem.write'), gpa: page, hex: fc.constantFrom('01', '00') }),
  fc.record({
    op: fc.constant('message.post'),
    vcpu,
    sint: fc.constant(2),
    type: fc.constant(1),
    hex: fc.constant(''),
  }),
  fc.record({ op: fc.constant('event.signal'), vcpu, sint: fc.constant(2), flag: fc.constant(1) }),
  fc.record({ op: fc.constantFrom('vcpu.reset', 'partition.reset'), vcpu }).map(({ op: name, ...more }) => ({
    op: name,
    ...(name === 'vcpu.reset' ? more : {}),
  })),
  fc.constantFrom({ op: 'fork' }, { op: 'restore' }),
)

function next(m: TestMachine, step: WireInput): TestMachine {
  if (step.op === 'fork') return new TestMachine(forkPartition(m.partition))
  if (step.op === 'restore') return new TestMachine(restorePartition(savePartition(m.partition)))
  m.do(step)
  return m
}

describe('the pages that a partition may touch', () => {
  it.each(EVERY_PROFILE)('%s: are never exceeded', (profile) => {
    holds(
      fc.property(fc.array(op, { minLength: 1, maxLength: 40, size: 'max' }), (steps) => {
        let m = machine({ profile, vcpus: 2, memoryPagesMax: PAGES_MAX, options: { scontrol_reset: 1 } })
        for (const v of [0, 1]) m.write('SINT2', 0xf3, v)
        for (const step of steps) {
          m = next(m, step)
          expect(m.partition.machine.memory.pageCount).toBeLessThanOrEqual(PAGES_MAX)
        }
      }),
      200,
    )
  })
})
