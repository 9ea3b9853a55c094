/** A snapshot is complete, a fork is independent, and the same ops always give the same results. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { forkPartition } from '../../src/synic/fork.js'
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import { machine, TestMachine } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

const RUNS = 400

describe('state', () => {
  it('survives snapshot and restore, hidden parts included: every continuation agrees', () => {
    holds(
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

  it('keeps a completion that waits while QEMU is paused', () => {
    const original = machine({ profile: 'qemu' })
    original.write('SCONTROL', 1)
    original.write('SIMP', 0x10001)
    original.write('SINT2', 0xf3)
    const post = { op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a' }
    expect(original.do(post).delivery).toBe('delivered')
    expect(original.do(post).delivery).toBe('queued')
    original.do({ op: 'mem.write', gpa: 0x10200, hex: '00000000' })
    original.do({ op: 'partition.pause' })
    original.write('EOM', 0, 0, 'host')
    const restored = new TestMachine(restorePartition(savePartition(original.partition)))
    // The freed slot is filled by the retry, which had been scheduled before the snapshot.
    expect(restored.do({ op: 'partition.resume' }).irqs).toEqual([{ vcpu: 0, vector: 0xf3 }])
    expect(restored.memory(0x10200, 4)).toBe('01000000')
  })

  it('keeps the producer side of an event ring, entries behind a full one included', () => {
    const original = machine({ profile: 'tlfs', kind: 'l1vh' })
    original.write('SIRBP', 0x20001)
    original.write('SINT5', 0xf3)
    original.do({ op: 'port.create', port: 7, type: 'doorbell', sint: 5 })
    original.do({ op: 'connection.create', connection: 7, port: 7, gpa: 0x30000 })
    for (let i = 0; i < 65; i++) original.do({ op: 'mem.write', gpa: 0x30000, hex: '01' })
    const restored = new TestMachine(restorePartition(savePartition(original.partition)))
    // Ring 5: the consumer empties it, then says so; the two that waited come to stand at the head, entry 0.
    restored.do({ op: 'mem.write', gpa: 0x20500, hex: '00'.repeat(256) })
    restored.write('GUEST_OS_ID', 1)
    restored.write('HYPERCALL', 0x40001)
    const refill = { op: 'hypercall', vcpu: 0, control: '0x1008b', input: '0x5' }
    expect(restored.do(refill).status).toBe(0)
    expect(restored.memory(0x20504, 12)).toBe('070000000700000000000000')
  })

  it('is not shared by a fork: each side goes its own way', () => {
    holds(
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
    holds(
      fc.property(randomSetup, randomOps(120), (setup, ops) => {
        const [one, other] = [machine(setup), machine(setup)]
        for (const op of ops) expect(other.do(op)).toEqual(one.do(op))
      }),
      100,
    )
  })
})
