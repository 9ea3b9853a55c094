/**
 * What keeps rules from being asked keeps no finding back: half asleep the auditor says what it says awake.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { encodeOp } from '../../src/api/op-encode.js'
import { Auditor } from '../../src/audit/auditor.js'
import { Dispatch, GSI_NEWS, KEYS, WRITES } from '../../src/audit/dispatch.js'
import type { Violation } from '../../src/audit/rule.js'
import { RULES } from '../../src/audit/rules.js'
import { OpWriter } from '../../src/synic/op.js'
import { type MachineSetup, machine, type WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

/** The rules of an auditor that observes; handed over, they are always awake. */
const OBSERVED = RULES.filter(({ deep }) => deep !== true)
const ACTORS = ['', 'vmbus', 'mshv', 'handler']

function both(setup: MachineSetup, ops: readonly WireInput[], actors: readonly number[]) {
  const { partition } = machine(setup)
  const auditors = [new Auditor(partition), new Auditor(partition, { rules: OBSERVED })]
  const said: Violation[][] = [[], []]
  const writer = new OpWriter()
  ops.forEach((op, i) => {
    const actor = ACTORS[actors[i % actors.length] ?? 0]
    writer.clear()
    encodeOp(actor === '' || 'actor' in op ? op : { ...op, actor }, writer, partition.names, 0)
    for (const auditor of auditors) auditor.before(writer.words, 0)
    partition.apply(writer.words, 0)
    auditors.forEach((auditor, n) => {
      auditor.after()
      said[n]?.push(...auditor.found)
    })
  })
  auditors.forEach((auditor, n) => {
    said[n]?.push(...auditor.settle())
  })
  return said
}

it('says what one says that is asked everything', () => {
  const actors = fc.array(fc.nat(ACTORS.length - 1), { minLength: 1, maxLength: 7 })
  const run = fc.property(randomSetup, randomOps(120), actors, (setup, ops, who) => {
    const [observed, all] = both(setup, ops, who)
    expect(observed).toEqual(all)
  })
  holds(run, 300)
})

it('takes for usual only what nobody is asked about', () => {
  const desk = new Auditor(machine({ profile: 'kvm-synic2' }).partition)
  const dispatch = new Dispatch(
    OBSERVED,
    OBSERVED.map((rule) => rule.watch(desk)),
    false,
  )
  let usual = 0
  const kinds = fc.array(fc.integer({ min: 1, max: GSI_NEWS })).map((all) => new Set(all))
  const run = fc.property(fc.nat(KEYS - 1), kinds, (key, some) => {
    if (key < WRITES) dispatch.learn(key)
    const bits = [...some].reduce((sum, kind) => sum | (1 << kind), 0)
    if (dispatch.concerns(key, bits)) return
    usual++
    expect(dispatch.after(key, bits)).toEqual([])
  })
  holds(run, 5000)
  expect(usual).toBeGreaterThan(100)
})
