/** A batch is checked whole, applied whole, numbered, logged. */
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../src/engine/errors.js'
import { Service } from '../../src/engine/service.js'
import { savePartition } from '../../src/synic/save-state.js'

const write = (value: unknown, vcpu: unknown = 0) => ({ op: 'msr.write', vcpu, msr: 'SINT3', value })

function host(limits = {}) {
  return new Service(limits).create({ id: 'p', profile: 'kvm-synic2', vcpus: 2 })
}

function refusal(run: () => unknown): EngineError {
  try {
    run()
  } catch (error) {
    if (error instanceof EngineError) return error
  }
  throw new Error('was not refused')
}

describe('a batch', () => {
  it('numbers its ops after those that created the vCPUs', () => {
    const p = host()
    expect(p.applyBatch([write('0x10033'), write('0x10034')])).toEqual({
      seq: 3,
      applied: 2,
      halted: [],
      results: ['{"ok":true}', '{"ok":true}'],
    })
    expect(p.applyBatch([]).seq).toBe(5)
  })

  it.each([
    ['a value over 64 bits', [write(1), write('0x1ffffffffffffffff')], 'invalid-op', 'ops/1/value'],
    ['a vCPU that does not exist', [write(1), write(1), write(1, 7)], 'vcpu-not-found', 'ops/2/vcpu'],
    [
      'a vCPU that is created only later',
      [write(1, 2), { op: 'vcpu.create', vcpu: 2 }],
      'vcpu-not-found',
      'ops/0/vcpu',
    ],
    ['an op that is no object', [write(1), null], 'invalid-op', 'ops/1'],
    ['an op nobody knows', [{ op: 'msr.wreck' }], 'invalid-op', 'ops/0/op'],
    ['a field the op does not have', [{ ...write(1), gsi: 3 }], 'invalid-op', 'ops/0/gsi'],
  ])('with %s changes nothing', (_why, ops, code, path) => {
    const p = host()
    const before = savePartition(p.partition)
    const error = refusal(() => p.applyBatch(ops))
    expect([error.code, error.errors[0].path]).toEqual([code, path])
    expect(savePartition(p.partition)).toEqual(before)
  })

  it('may use a vCPU that it creates itself', () => {
    expect(host().applyBatch([{ op: 'vcpu.create', vcpu: 2 }, write(1, 2)]).results[1]).toBe(
      '{"ok":false,"fault":"gp"}',
    )
  })

  it('is refused whole when it is too long', () => {
    const p = host({ opsPerBatchMax: 3 })
    expect(refusal(() => p.applyBatch([1, 2, 3, 4].map(() => write(0)))).code).toBe('too-many-ops')
  })

  it('stops behind a fault where that is asked', () => {
    const ops = [write('0x10033'), write('0x0f'), write('0x10034')]
    expect(host().applyBatch(ops, { stopOnFault: true }).results).toHaveLength(2)
    expect(host().applyBatch(ops).results).toHaveLength(3)
  })

  it('gives the actor of the caller to ops that name none', () => {
    const p = host()
    p.applyBatch(
      [
        { op: 'actor.attach', actor: 'mshv' },
        { op: 'page.claim', gpa: 0x5000, actor: 'vmbus' },
      ],
      {
        actor: 'tester',
      },
    )
    expect([...p.partition.machine.actors.keys()]).toEqual(['mshv'])
    expect(p.partition.machine.pageHolders.get(5)).toBe('vmbus')
  })

  it('cannot create more vCPUs than the server has room for', () => {
    const p = host({ vcpusMax: 3 })
    const two = [4, 5].map((vcpu) => ({ op: 'vcpu.create', vcpu }))
    expect(refusal(() => p.applyBatch(two)).code).toBe('limit-vcpus')
    expect(p.applyBatch(two.slice(1)).results).toEqual(['{"ok":true}'])
  })
})

describe('the service', () => {
  it('hands out ids that are free', () => {
    const service = new Service()
    expect(['p2', undefined, undefined].map((id) => service.create({ id }).id)).toEqual(['p2', 'p1', 'p3'])
    expect(refusal(() => service.create({ id: 'p2' })).code).toBe('partition-exists')
    expect(refusal(() => service.get('nobody')).code).toBe('partition-not-found')
  })

  it('counts vCPUs over creation, fork, restore and deletion', () => {
    const service = new Service({ vcpusMax: 10, partitionsMax: 3 })
    const first = service.create({ vcpus: 4 })
    service.fork(first, 'copy')
    expect(service.vcpuCount).toBe(8)
    expect(refusal(() => service.create({ vcpus: 4 })).code).toBe('limit-vcpus')
    service.delete('copy')
    service.restore('again', service.snapshot(first))
    expect([service.vcpuCount, service.partitionCount]).toEqual([8, 2])
    service.create({ vcpus: 0 })
    expect(refusal(() => service.create({ vcpus: 0 })).code).toBe('limit-partitions')
  })

  it('leaves nothing behind when a root partition has no room for its pages', () => {
    const service = new Service()
    expect(refusal(() => service.create({ kind: 'root', vcpus: 2, gpaPages: 5 })).code).toBe('invalid-config')
    expect([service.vcpuCount, service.partitionCount]).toEqual([0, 0])
  })

  it('forks a state, not the log', () => {
    const service = new Service()
    const source = service.create({ profile: 'kvm-synic2' })
    source.applyBatch([write('0x10033')])
    const fork = service.fork(source, undefined)
    expect([fork.journal.baseSeq, fork.applyBatch([write('0x10034')]).seq]).toEqual([2, 3])
    expect(source.partition.seq).toBe(2)
  })
})

describe('names', () => {
  it('are forgotten with the batch that brought them, so that refusals cannot use them up', () => {
    const p = host()
    const strangers = Array.from({ length: 3000 }, (_, i) => ({ op: 'actor.attach', actor: `stranger-${i}` }))
    for (let i = 0; i < 3; i++)
      expect(refusal(() => p.applyBatch([...strangers, null])).code).toBe('invalid-op')
    expect(p.partition.names.size).toBe(1)
    expect(p.applyBatch([{ op: 'actor.attach', actor: 'vmbus' }]).results).toEqual(['{"ok":true}'])
  })

  it('are bounded', () => {
    const p = host()
    const many = Array.from({ length: 4096 }, (_, i) => ({ op: 'actor.attach', actor: `a${i}` }))
    expect(refusal(() => p.applyBatch(many)).errors[0]).toEqual({
      path: 'ops/4095/actor',
      message: 'must be one of the 4096 names this partition can know',
    })
  })
})

describe('a batch that says too much', () => {
  it('stops where its results pass the bound, and leaves the rest undone', () => {
    const p = host({ replyBytesMax: 2000 })
    p.applyBatch([
      { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: 0x1e03 },
      { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 1 },
    ])
    const advance = { op: 'clock.advance', ticks: 20 }
    const { results } = p.applyBatch(Array(100).fill(advance))
    expect(results.length).toBeLessThan(10)
    expect(p.partition.now).toBe(results.length * 20)
  })
})
