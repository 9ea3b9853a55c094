/**
 * Whose role a register is by the table of the kind counts from that driver's first op until it has gone: the
 * order of the ops decides, and nothing else, least of all how they came in batches.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { foreignWrite } from '../../src/audit/rules/foreign-write.js'
import { EngineError } from '../../src/engine/errors.js'
import type { PartitionHost } from '../../src/engine/partition-host.js'
import { Service } from '../../src/engine/service.js'
import { forkPartition } from '../../src/synic/fork.js'
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import { AuditedMachine, audited } from '../support/audited.js'
import type { MachineSetup, WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

const FOREIGN = 'foreign_write mshv 40000083'

describe('a driver is there', () => {
  it.each([
    ['not before its first op', ['v0 mshv SIMP=0x30001', 'v0 vmbus SIMP=0x10001'], []],
    ['from its first write on', ['v0 vmbus SINT2=0xf3', 'v0 mshv SIMP=0x30001'], [FOREIGN]],
    ['from any other op on', ['v0 vmbus SIMP?', 'v0 mshv SIMP=0x30001'], [FOREIGN]],
    ['even from one that fails', ['detach by vmbus', 'v0 mshv SIMP=0x30001'], [FOREIGN]],
    ['with no role if it attaches and claims nothing', ['attach by vmbus', 'v0 mshv SIMP=0x30001'], []],
    ['until it detaches', ['attach SIMP by vmbus', 'detach by vmbus', 'v0 mshv SIMP=0x30001'], []],
    [
      'again when it comes back',
      ['attach SIMP by vmbus', 'detach by vmbus', 'v0 vmbus SIMP?', 'v0 mshv SIMP=0x30001'],
      [FOREIGN],
    ],
    ['until its kernel ends', ['v0 vmbus SINT2=0x100f3', 'boot K2', 'v0 mshv SIMP=0x30001'], []],
    ['until the machine is reset', ['v0 vmbus SINT2=0x100f3', 'reset', 'v0 mshv SIMP=0x30001'], []],
    ['on every vCPU, whichever it began on', ['v1 vmbus SINT2=0xf3', 'v0 mshv SIMP=0x30001'], [FOREIGN]],
    ['though one vCPU is reset', ['v0 vmbus SINT2=0xf3', 'reset v0', 'v0 mshv SIMP=0x30001'], [FOREIGN]],
    ['beside as many as like', [...strangers(40), 'v0 vmbus SIMP?', 'v0 mshv SIMP=0x30001'], [FOREIGN]],
  ])('%s', (_when, lines, expected) => {
    const m = audited({ profile: 'tlfs', kind: 'l1vh', vcpus: 2 }, foreignWrite).run(...lines)
    expect(m.said()).toEqual(expected)
  })
})

function strangers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `v0 other${i} SIMP?`)
}

it('a name alone is nobody: neither in an op that is to come nor in a batch that was refused', () => {
  const m = audited({ profile: 'tlfs', kind: 'l1vh' }, foreignWrite)
  m.partition.names.intern('vmbus')
  expect(m.run('v0 mshv SIMP=0x30001').said()).toEqual([])
})

describe('a partition that was restored', () => {
  const restored = (...lines: readonly string[]) => {
    const first = audited({ profile: 'tlfs', kind: 'l1vh' }).run(...lines)
    return new AuditedMachine(restorePartition(savePartition(first.partition)), [foreignWrite])
  }

  it('knows who has attached, though it has not said a word since', () => {
    const m = restored('attach SIMP by loader', 'v0 loader SIMP=0x10001').run('v0 mshv SIMP=0x30001')
    expect(m.violations.map(({ text }) => text)).toEqual(['mshv writes SIMP, which belongs to loader'])
  })

  it('knows others from their next op on, for nothing in its state tells of them', () => {
    const m = restored('v0 vmbus SINT2=0xf3').run('v0 mshv SIMP=0x30001', 'v0 vmbus SIMP?', 'v0 mshv SIMP=1')
    expect(m.violations.map(({ seq }) => seq)).toEqual([5])
  })
})

it('a fork knows names, and nobody who made an op before it', () => {
  const first = audited({ profile: 'tlfs', kind: 'l1vh' }).run('v0 vmbus SINT2=0xf3')
  const m = new AuditedMachine(forkPartition(first.partition), [foreignWrite])
  m.run('v0 mshv SIMP=0x30001', 'v0 vmbus SIMP?', 'v0 mshv SIMP=1')
  expect(m.violations.map(({ seq }) => seq)).toEqual([5])
})

const ACTORS = ['', 'vmbus', 'mshv', 'handler', 'loader']
const COMING = fc.record({
  op: fc.constantFrom('actor.attach', 'actor.detach', 'kernel.boot', 'vcpu.create'),
  actor: fc.constantFrom('vmbus', 'mshv', 'loader'),
})
/** Ops that are about who is there, in their own forms. */
const passages = COMING.map(({ op, actor }): WireInput => {
  if (op === 'kernel.boot') return { op, kernel: 'K2' }
  return op === 'vcpu.create' ? { op, vcpu: 3, actor } : { op, actor }
})

function hostOf({ profile, kind = 'guest', options = {}, gpaPages }: MachineSetup): PartitionHost {
  return new Service().create({ profile, kind, options, gpaPages, vcpus: 3 })
}

/** The ops that this machine takes at all. */
function takenBy(setup: MachineSetup, ops: readonly WireInput[]): [WireInput[], PartitionHost] {
  const host = hostOf(setup)
  const taken = ops.filter((op) => {
    try {
      return host.applyBatch([op]).applied === 1
    } catch (error) {
      if (error instanceof EngineError) return false
      throw error
    }
  })
  return [taken, host]
}

/** Ops of several drivers that come and go. */
const namedOps = fc
  .record({
    ops: randomOps(80),
    coming: fc.array(fc.tuple(fc.nat(80), passages), { maxLength: 6 }),
    actors: fc.array(fc.nat(ACTORS.length - 1), { minLength: 1, maxLength: 7 }),
  })
  .map(({ ops, coming, actors }) => {
    const all = ops.map((op, i): WireInput => {
      const actor = ACTORS[actors[i % actors.length] ?? 0] ?? ''
      return actor === '' || 'actor' in op ? op : { ...op, actor }
    })
    for (const [at, op] of coming) all.splice(at, 0, op)
    return all
  })

describe('the engine', () => {
  it('finds the same in the same ops, however they come in batches', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 9 })
    const run = fc.property(randomSetup, namedOps, cuts, (setup, ops, sizes) => {
      const [taken, single] = takenBy(setup, ops)
      const batched = hostOf(setup)
      for (let at = 0, n = 0; at < taken.length; n++) {
        const size = sizes[n % sizes.length] ?? 1
        batched.applyBatch(taken.slice(at, at + size))
        at += size
      }
      expect(batched.audit.kept).toEqual(single.audit.kept)
      expect(batched.audit.settle()).toEqual(single.audit.settle())
    })
    holds(run, 300)
  })

  it('finds the same in a fork as in its source, which does not notice', () => {
    const run = fc.property(randomSetup, namedOps, fc.nat(90), (setup, ops, cut) => {
      const [taken, straight] = takenBy(setup, ops)
      const service = new Service()
      const { profile, kind = 'guest', options = {}, gpaPages } = setup
      const source = service.create({ profile, kind, options, gpaPages, vcpus: 3 })
      for (const op of taken.slice(0, cut)) source.applyBatch([op])
      const fork = service.fork(source, undefined)
      const seq = source.partition.seq
      for (const host of [fork, source]) for (const op of taken.slice(cut)) host.applyBatch([op])
      const behind = straight.audit.kept.filter((found) => found.seq > seq)
      expect(fork.audit.kept).toEqual(behind)
      expect(source.audit.kept).toEqual(straight.audit.kept)
      expect(fork.audit.settle()).toEqual(straight.audit.settle())
      expect(service.snapshot(fork)).toEqual(service.snapshot(source))
    })
    holds(run, 200)
  })

  it('begins anew in a fork whose source has forgotten the ops that led to it', () => {
    const service = new Service({ logOpsMax: 512 })
    const source = service.create({ profile: 'tlfs', kind: 'l1vh' })
    const msr = (name: string, value: number, actor: string) => [
      { op: 'msr.write', vcpu: 0, msr: name, value, actor },
    ]
    source.applyBatch(msr('SCONTROL', 1, 'vmbus'))
    for (let i = 0; i < 2000; i++) source.applyBatch(msr('SINT2', 0xf3, 'vmbus'))
    const fork = service.fork(source, undefined)
    for (const host of [source, fork]) host.applyBatch(msr('SCONTROL', 0, 'mshv'))
    const rules = (host: PartitionHost) => host.audit.kept.map(({ rule }) => rule)
    expect(rules(source)).toContain('rug_pull')
    expect(rules(fork)).not.toContain('rug_pull')
  })

  it('takes who creates a vCPU for one that is there', () => {
    const host = new Service().create({ profile: 'tlfs', kind: 'l1vh' })
    host.applyBatch([{ op: 'vcpu.create', vcpu: 1, actor: 'vmbus' }])
    host.applyBatch([{ op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x30001', actor: 'mshv' }])
    expect(host.audit.kept.map(({ rule }) => rule)).toContain('foreign_write')
  })
})
