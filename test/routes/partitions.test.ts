/** Partitions as resources: create, list in pages, change, copy, restore, delete. */
import { describe, expect, it } from 'vitest'
import { testApp } from '../support/app.js'

describe('creating', async () => {
  const test = await testApp()

  it('takes nothing but defaults', async () => {
    const reply = await test.post('/v1/partitions', {})
    expect(reply.headers.location).toBe(`/v1/partitions/${reply.body.id}`)
    expect(reply.body).toMatchObject({
      kind: 'guest',
      profile: 'tlfs',
      vcpus: 1,
      gpa_limit: '0x100000000',
      clock: 'virtual',
      state: 'running',
      durability: 'memory',
      seq: 1,
      now: 0,
      labels: {},
    })
    expect((await test.get(reply.headers.location)).body).toEqual(reply.body)
  })

  it('takes everything', async () => {
    const { body } = await test.post('/v1/partitions', {
      id: 'root-1',
      kind: 'root',
      profile: 'tlfs',
      vcpus: 4,
      gpa_limit: '0X0010000000',
      clock: 'virtual',
      options: { scontrol_reset: 1, cpuid: { edx: 0 } },
      labels: { team: 'hv', 'x/y': '' },
      durability: 'memory',
    })
    expect(body).toMatchObject({
      id: 'root-1',
      kind: 'root',
      vcpus: 4,
      gpa_limit: '0x10000000',
      labels: { team: 'hv', 'x/y': '' },
      options: { scontrol_reset: 1, disabled_write: 'audit', cpuid: { edx: 0 } },
    })
  })

  it('leaves vCPUs to ops where none are asked for', async () => {
    const path = await test.create({ vcpus: 0 })
    expect(await test.ops(path, { op: 'vcpu.create', vcpu: 5 })).toEqual([{ ok: true }])
    expect((await test.get(`${path}/vcpus`)).body.items).toMatchObject([{ vcpu: 5, online: true }])
  })

  it('gives out ids that are free', async () => {
    const free = await test.post('/v1/partitions', {})
    const next = `p${Number(String(free.body.id).slice(1)) + 1}`
    await test.create({ id: next })
    expect((await test.post('/v1/partitions', {})).body.id).not.toBe(next)
  })

  it('follows the wall clock where asked to', async () => {
    let now = 1000
    const timed = await testApp({ now: () => now })
    const path = await timed.create({ clock: 'realtime' })
    now = 1002.5
    expect((await timed.get(`${path}/clock`)).body).toEqual({
      now: 25_000,
      clock: 'realtime',
      next_due: null,
    })
    const ops = await timed.post(`${path}/ops`, { ops: [{ op: 'clock.advance', ticks: 1 }] })
    expect([ops.status, ops.body.type]).toEqual([409, '/problems/realtime-clock'])
    expect(ops.body.errors).toMatchObject([{ path: 'ops/0/op' }])
    // A body without an op has no such field.
    const advanced = await timed.post(`${path}/clock`, { ticks: 1 })
    expect([advanced.status, advanced.body.errors]).toMatchObject([409, [{ path: 'ticks' }]])
    timed.service.close()
  })
})

describe('listing', async () => {
  const test = await testApp()
  for (let i = 0; i < 7; i++) {
    await test.create({ id: `n${i}`, vcpus: 0, labels: { odd: String(i % 2 === 1), all: 'a:b' } })
  }
  const ids = async (query: string) => {
    const { items, next_cursor } = (await test.get(`/v1/partitions${query}`)).body
    return { ids: (items as { id: string }[]).map(({ id }) => id), next: next_cursor as string | undefined }
  }

  it('is in order of creation', async () => {
    expect(await ids('')).toEqual({ ids: ['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6'], next: undefined })
  })

  it('picks by label; a value may hold a colon', async () => {
    expect((await ids('?label=odd:true')).ids).toEqual(['n1', 'n3', 'n5'])
    expect((await ids('?label=odd:true&label=all:a:b')).ids).toEqual(['n1', 'n3', 'n5'])
    expect((await ids('?label=odd:true&label=all:x')).ids).toEqual([])
  })

  it('goes page by page, also when what a cursor points at is deleted', async () => {
    const first = await ids('?limit=3')
    expect(first.ids).toEqual(['n0', 'n1', 'n2'])
    await test.delete('/v1/partitions/n2')
    await test.delete('/v1/partitions/n3')
    const second = await ids(`?limit=3&cursor=${first.next}`)
    expect(second).toEqual({ ids: ['n4', 'n5', 'n6'], next: undefined })
    expect((await ids(`?limit=1&label=odd:true&cursor=${first.next}`)).ids).toEqual(['n5'])
  })
})

describe('changing', async () => {
  const test = await testApp()

  it('sets labels one by one, and takes them away', async () => {
    const path = await test.create({ labels: { a: '1', b: '2' } })
    const patch = (labels: Record<string, string | null>) => test.send('PATCH', path, { body: { labels } })
    expect((await patch({ b: '3', c: '4' })).body.labels).toEqual({ a: '1', b: '3', c: '4' })
    expect((await patch({ a: null, nothing: null })).body.labels).toEqual({ b: '3', c: '4' })
  })

  it('pauses and resumes by ops of the log, once each', async () => {
    const path = await test.create()
    for (const state of ['paused', 'paused', 'running', 'running']) {
      expect((await test.send('PATCH', path, { body: { state } })).body.state).toBe(state)
    }
    const log = (await test.get(`${path}/log?from=2`)).text.trim().split('\n')
    expect(log.slice(1).map((line) => JSON.parse(line).in)).toEqual([
      { op: 'partition.pause', by: 'host' },
      { op: 'partition.resume', by: 'host' },
    ])
  })
})

describe('copies', async () => {
  const test = await testApp()

  it('fork into a partition that goes its own way', async () => {
    const path = await test.create({ id: 'original', labels: { a: '1' } })
    const fork = await test.post(`${path}/fork`, { id: 'copy', labels: { a: '2' } })
    expect([fork.headers.location, fork.body.labels]).toEqual(['/v1/partitions/copy', { a: '2' }])
    const before = await test.snapshot(path)
    await test.ops('/v1/partitions/copy', { op: 'mem.write', gpa: 0, hex: '01' })
    expect(await test.snapshot(path)).toEqual(before)
    expect((await test.post(`${path}/fork`)).body.labels).toEqual({ a: '1' })
  })

  it('restore elsewhere, with a log that begins behind the snapshot', async () => {
    const path = await test.create({ profile: 'kvm-synic2', vcpus: 2 })
    await test.ops(path, { op: 'msr.write', vcpu: 1, msr: 'SINT2', value: '0xf3' })
    const elsewhere = await testApp()
    const snapshot = await test.snapshot(path)
    const restored = await elsewhere.create({ id: 'r', snapshot, labels: { from: 'elsewhere' } })
    expect((await elsewhere.get(restored)).body).toMatchObject({ seq: 3, vcpus: 2, profile: 'kvm-synic2' })
    expect((await elsewhere.get(`${restored}/vcpus/1/msrs/SINT2`)).body).toEqual({ ok: true, value: '0xf3' })
    const [header] = (await elsewhere.get(`${restored}/log`)).text.split('\n')
    expect(JSON.parse(header).base_seq).toBe(3)
    expect((await elsewhere.get(`${restored}/log?from=3`)).status).toBe(410)
    expect(elsewhere.service.vcpuCount).toBe(2)
  })
})

describe('deleting', () => {
  it('gives everything back', async () => {
    const test = await testApp({ service: { partitionsMax: 1, vcpusMax: 2 } })
    const path = await test.create({ vcpus: 2 })
    expect([(await test.delete(path)).status, (await test.delete(path)).status]).toEqual([204, 404])
    expect(test.service.vcpuCount).toBe(0)
    await test.create({ vcpus: 2 })
  })
})
