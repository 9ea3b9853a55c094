/** A snapshot is complete, a fork is independent, and the same ops always give the same results. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { forkPartition } from '../../src/synic/fork.js'
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import { machine, TestMachine } from '../support/machine.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

const RUNS = { numRuns: 400 }

describe('state', () => {
  it('survives snapshot and restore, hidden parts included: every continuation agrees', () => {
    fc.assert(
      fc.property(randomSetup, randomOps(120), randomOps(60), (setup, before, after) => {
        const original = machine(setup)
        for (const op of before) original.do(op)
        const document = JSON.parse(JSON.stringify(savePartition(original.partition)))
        const restored = new TestMachine(restorePartition(document))
        expect(savePartition(restored.partition)).toEqual(document)
        for (const op of after)
          expect({ op, result: restored.do(op) }).toEqual({ op, result: original.do(op) })
        expect(savePartition(restored.partition)).toEqual(savePartition(original.partition))
      }),
      RUNS,
    )
  })

  it('is not shared by a fork: each side goes its own way', () => {
    fc.assert(
      fc.property(randomSetup, randomOps(80), randomOps(60), randomOps(60), (setup, before, mine, yours) => {
        const original = machine(setup)
        const twin = machine(setup)
        for (const op of before) expect(twin.do(op)).toEqual(original.do(op))
        const fork = new TestMachine(forkPartition(original.partition))
        const document = savePartition(original.partition)
        expect(savePartition(fork.partition)).toEqual(document)
        for (const op of yours) fork.do(op)
        expect(savePartition(original.partition)).toEqual(document)
        // The twin was never forked: sharing pages must not show in what follows.
        for (const op of mine) expect({ op, result: original.do(op) }).toEqual({ op, result: twin.do(op) })
      }),
      RUNS,
    )
  })

  it('forks 64 untouched vCPUs without copying a page', () => {
    const { partition } = machine({ profile: 'tlfs', vcpus: 64 })
    const test = new TestMachine(partition)
    for (let vcpu = 0; vcpu < 64; vcpu++) test.write('SIMP', 0x100001 + vcpu * 4096, vcpu)
    test.do({ op: 'mem.write', gpa: 0x900000, hex: 'ab'.repeat(4096) })
    const fork = forkPartition(partition)
    expect(fork.machine.memory.chunks).toEqual(partition.machine.memory.chunks)
    fork.machine.memory.chunks.forEach((chunk, i) => {
      expect(chunk).toBe(partition.machine.memory.chunks[i])
    })
  })

  it('is a function of the ops alone', () => {
    fc.assert(
      fc.property(randomSetup, randomOps(120), (setup, ops) => {
        const [one, other] = [machine(setup), machine(setup)]
        for (const op of ops) expect(other.do(op)).toEqual(one.do(op))
      }),
      { numRuns: 100 },
    )
  })
})
