/** What surrounds the vCPUs over REST: routes, irqfds, ports, memory, clock, log. */
import { beforeEach, describe, expect, it } from 'vitest'
import { traceText } from '../../routes/log.js'
import { type TestApp, testApp } from '../support/app.js'
import { expectProblem } from '../support/expect-problem.js'

const BYTES = { 'content-type': 'application/octet-stream' }
let test: TestApp
let path: string

beforeEach(async () => {
  test = await testApp()
  path = await test.create({ profile: 'kvm-synic2', vcpus: 1 })
})

describe('the routing table', () => {
  const entries = [{ gsi: 5, vcpu: 0, sint: 3 }]
  const etagOf = async () => (await test.get(`${path}/gsi-routes`)).headers.etag

  it('is replaced whole, and its revision goes on with each replacement', async () => {
    const first = await etagOf()
    const put = await test.put(`${path}/gsi-routes`, { entries })
    expect([put.status, put.body]).toEqual([200, { ok: true }])
    expect(put.headers.etag).not.toBe(first)
    const get = await test.get(`${path}/gsi-routes`)
    expect([get.body, get.headers.etag]).toEqual([{ entries }, put.headers.etag])
    await test.ops(path, { op: 'gsi.route', entries: [] })
    expect(await etagOf()).not.toBe(put.headers.etag)
  })

  it('is not replaced by what KVM refuses: a result, and no new revision', async () => {
    const etag = await etagOf()
    const put = await test.put(`${path}/gsi-routes`, { entries: [...entries, ...entries] })
    expect([put.status, put.body, put.headers.etag]).toEqual([200, { ok: false, errno: -22 }, etag])
  })

  it('lets one of two writers win', async () => {
    const headers = { 'if-match': await etagOf() }
    expect((await test.put(`${path}/gsi-routes`, { entries }, headers)).status).toBe(200)
    expect((await test.put(`${path}/gsi-routes`, { entries: [] }, headers)).status).toBe(412)
    expect((await test.get(`${path}/gsi-routes`)).body.entries).toEqual(entries)
    for (const tags of [() => '*', (etag: string) => `"x", ${etag}`]) {
      const match = { 'if-match': tags(await etagOf()) }
      expect((await test.put(`${path}/gsi-routes`, { entries }, match)).status).toBe(200)
    }
  })

  it('is not sent again to who has it', async () => {
    const etag = await etagOf()
    const get = await test.get(`${path}/gsi-routes`, { 'if-none-match': `W/${etag}` })
    expect([get.status, get.text, get.headers.etag]).toEqual([304, '', etag])
    expect((await test.get(`${path}/gsi-routes`, { 'if-none-match': '"x"' })).status).toBe(200)
  })

  it('of a later partition of the same id has another tag', async () => {
    await test.create({ id: 'again' })
    const first = (await test.get('/v1/partitions/again/gsi-routes')).headers.etag
    await test.delete('/v1/partitions/again')
    await test.create({ id: 'again' })
    expect((await test.get('/v1/partitions/again/gsi-routes')).headers.etag).not.toBe(first)
  })

  it('carries edges to SINTs', async () => {
    await test.put(`${path}/gsi-routes`, { entries })
    await test.put(`${path}/vcpus/0/msrs/SINT3`, { value: '0xf4' })
    expect((await test.post(`${path}/gsis/5/assert`)).body).toEqual({
      ok: true,
      irqs: [{ vcpu: 0, vector: 0xf4 }],
    })
    expect((await test.post(`${path}/gsis/6/assert`, { by: 'host' })).body).toEqual({ ok: false, errno: -1 })
  })
})

describe('irqfds', () => {
  it('are bound, once, and unbound, with or without need', async () => {
    const own = await test.create({ profile: 'kvm-synic2', options: { implicit_irqfds: false } })
    expect((await test.post(`${own}/gsis/5/assert`)).body).toEqual({ ok: false, errno: -9 })
    expect((await test.put(`${own}/irqfds/5`, { resample: true })).body).toEqual({ ok: true })
    expect((await test.put(`${own}/irqfds/5`)).body).toEqual({ ok: false, errno: -16 })
    expect((await test.delete(`${own}/irqfds/5?actor=vmm`)).body).toEqual({ ok: true })
    expect((await test.delete(`${own}/irqfds/5`)).body).toEqual({ ok: true })
  })
})

describe('ports and connections', () => {
  it('are made, listed and deleted; a refusal is a status', async () => {
    const own = await test.create({ profile: 'tlfs' })
    const port = { port: 2, type: 'event', vcpu: 0, sint: 3, flag_base: 8, flag_count: 4 }
    expect((await test.post(`${own}/ports`, port)).body).toEqual({ ok: true, status: 0 })
    expect((await test.post(`${own}/ports`, port)).body).toEqual({ ok: true, status: 17 })
    await test.post(`${own}/ports`, { port: 1, type: 'doorbell', sint: 5 })
    expect((await test.get(`${own}/ports`)).body.items).toEqual([
      { port: 1, type: 'doorbell', sint: 5, flag_base: 0, flag_count: 2048 },
      port,
    ])
    await test.post(`${own}/connections`, { connection: 9, port: 1, gpa: '0x3000', value: 1, len: 4 })
    await test.post(`${own}/connections`, { connection: 8, port: 1, gpa: '0x4000' })
    await test.post(`${own}/connections`, { connection: 7, port: 2 })
    expect((await test.get(`${own}/connections`)).body.items).toEqual([
      { connection: 7, port: 2 },
      { connection: 8, port: 1, gpa: '0x4000' },
      { connection: 9, port: 1, gpa: '0x3000', value: '0x1', len: 4 },
    ])
    expect((await test.delete(`${own}/connections/9`)).body).toEqual({ ok: true, status: 0 })
    expect((await test.delete(`${own}/connections/9`)).body).toEqual({ ok: true, status: 18 })
    expect((await test.delete(`${own}/ports/1?actor=mshv`)).body).toEqual({ ok: true, status: 0 })
    expect((await test.delete(`${own}/ports/1`)).body).toEqual({ ok: true, status: 17 })
  })
})

describe('memory', () => {
  it('is read and written as bytes, over any number of pages', async () => {
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 7) & 0xff))
    const put = await test.put(`${path}/memory/0x1ff0`, bytes, BYTES)
    expect(put.body).toEqual({ ok: true })
    const get = await test.get(`${path}/memory/0x1ff0?len=200000`)
    expect(get.bytes.equals(bytes)).toBe(true)
    expect((await test.get(`${path}/memory/8192`)).bytes).toHaveLength(4096)
    const log = (await test.get(`${path}/log?from=2`)).text
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line))
    expect(log.map((line) => [line.in.op, line.in.gpa, line.in.hex.length / 2])).toEqual([
      ['mem.write', '0x1ff0', 65_536],
      ['mem.write', '0x11ff0', 65_536],
      ['mem.write', '0x21ff0', 65_536],
      ['mem.write', '0x31ff0', 3392],
    ])
  })

  it('reads without a step, and shows overlays as the guest sees them', async () => {
    const own = await test.create({ profile: 'tlfs' })
    await test.put(`${own}/memory/0x1000`, Buffer.from([1, 2, 3]), BYTES)
    await test.ops(own, { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x1001' })
    const seq = (await test.get(own)).body.seq
    expect((await test.get(`${own}/memory/0x1000?len=3`)).bytes).toEqual(Buffer.from([0, 0, 0]))
    expect((await test.get(own)).body.seq).toBe(seq)
  })

  it('rings doorbells for stores as narrow as they are', async () => {
    const own = await test.create({ kind: 'root', profile: 'tlfs' })
    await test.ops(
      own,
      { op: 'msr.write', vcpu: 0, msr: 'SIRBP', value: '0x5001' },
      { op: 'port.create', port: 1, type: 'doorbell', vcpu: 0, sint: 5 },
      { op: 'connection.create', connection: 1, port: 1, gpa: '0x9000' },
    )
    expect((await test.put(`${own}/memory/0x9000`, Buffer.from([1, 0, 0, 0]), BYTES)).body).toEqual({
      ok: true,
      doorbells: [{ port: 1 }],
    })
  })

  it('is written whole or not at all', async () => {
    const small = await testApp({ service: { memoryPagesMax: 2 } })
    const own = await small.create({ gpa_limit: '0x4000' })
    const before = await small.snapshot(own)
    const write = async (gpa: string, bytes: number) =>
      (await small.put(`${own}/memory/${gpa}`, Buffer.alloc(bytes, 1), BYTES)).body.type
    expect(await write('0x3000', 4097)).toBe('/problems/gpa-out-of-range')
    expect(await write('0x0', 3 * 4096)).toBe('/problems/limit-memory')
    expect(await small.snapshot(own)).toEqual(before)
    expect(await write('0x0', 2 * 4096)).toBeUndefined()
    expect(await write('0x0', 2 * 4096)).toBeUndefined()
    expect(await write('0x2000', 1)).toBe('/problems/limit-memory')
  })
})

describe('the clock', () => {
  it('is read and moved on; timers fire', async () => {
    await test.ops(
      path,
      { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 500 },
      { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: '0x1ed1' },
    )
    expect((await test.get(`${path}/clock`)).body).toEqual({ now: 0, clock: 'virtual', next_due: 500 })
    expect((await test.post(`${path}/clock`, { ticks: 600 })).body).toEqual({
      ok: true,
      irqs: [{ vcpu: 0, vector: 0xed }],
    })
    expect((await test.get(`${path}/clock`)).body).toEqual({ now: 600, clock: 'virtual', next_due: null })
  })
})

describe('a batch', () => {
  const reads = (msr: string) => ({ op: 'msr.read', vcpu: 0, msr })
  const fault = { op: 'msr.write', vcpu: 0, msr: 'SINT2', value: 1 }

  it('stops at a fault only where asked to', async () => {
    const ops = [reads('SINT2'), fault, reads('SINT2')]
    expect((await test.post(`${path}/ops`, { ops })).body.results).toHaveLength(3)
    const stopped = (await test.post(`${path}/ops`, { ops, stop_on_fault: true })).body
    expect(stopped).toEqual({
      seq: 5,
      results: [
        { ok: true, value: '0x10000' },
        { ok: false, fault: 'gp' },
      ],
    })
  })

  it('may be empty', async () => {
    expect((await test.post(`${path}/ops`, { ops: [] })).body).toEqual({ seq: 2, results: [] })
  })

  it('takes 10,000 ops, and an actor for all that name none', async () => {
    const ops = Array(10_000).fill({ op: 'apic.ack', vcpu: 0 })
    const { seq, results } = (await test.post(`${path}/ops`, { ops, actor: 'vmbus' })).body
    expect([seq, (results as unknown[]).length]).toEqual([2, 10_000])
    const [, line] = (await test.get(`${path}/log?from=2&to=2`)).text.split('\n')
    expect(JSON.parse(line).in).toEqual({ op: 'apic.ack', vcpu: 0, actor: 'vmbus' })
  })
})

describe('the log', () => {
  it('has a header that tells what machine it is of, and where it begins', async () => {
    const { headers, text } = await test.get(`${path}/log`)
    expect(headers['content-type']).toBe('application/x-ndjson')
    const [header, line] = text
      .trim()
      .split('\n')
      .map((each) => JSON.parse(each))
    expect(header).toEqual({
      trace: path.split('/').at(-1),
      source: 'synicd',
      profile: 'kvm-synic2',
      kind: 'guest',
      gpa_limit: '0x100000000',
      options: (await test.get(path)).body.options,
      base_seq: 0,
      description: expect.stringContaining('ops 1 to 1'),
    })
    expect(line).toEqual({ seq: 1, in: { op: 'vcpu.create', vcpu: 0 }, out: { ok: true } })
  })

  it('is cut as asked', async () => {
    await test.ops(path, ...Array(300).fill({ op: 'apic.ack', vcpu: 0 }))
    const seqs = async (query: string) => {
      const [header, ...lines] = (await test.get(`${path}/log${query}`)).text.trim().split('\n')
      const all = lines.map((line) => JSON.parse(line).seq)
      return [JSON.parse(header).base_seq, all.length, all[0], all.at(-1)]
    }
    expect(await seqs('')).toEqual([0, 301, 1, 301])
    expect(await seqs('?from=100')).toEqual([99, 202, 100, 301])
    expect(await seqs('?from=0&to=64')).toEqual([0, 64, 1, 64])
    expect(await seqs('?from=65&to=1000')).toEqual([64, 237, 65, 301])
    expect(await seqs('?from=302')).toEqual([301, 0, undefined, undefined])
    expect(await seqs('?from=302&to=400')).toEqual([301, 0, undefined, undefined])
  })

  it.each([
    ['from=9&to=3', 400, 'invalid-request', 'to', 'must be at least 9, which is `from`'],
    ['to=0', 400, 'invalid-request', 'to', /^must be an integer from 1 to/],
    ['from=3', 404, 'op-not-found', 'from', 'must be at most 2'],
    ['from=3&to=400', 404, 'op-not-found', 'from', 'must be at most 2'],
  ])('asked for by ?%s can have no op, and says why', async (query, status, type, at, rule) => {
    const reply = await test.get(`${path}/log?${query}`)
    expectProblem(reply, status, type, at)
    expect(reply.body.errors).toMatchObject([
      { message: typeof rule === 'string' ? rule : expect.stringMatching(rule) },
    ])
  })

  it('that no longer holds an op says where it begins now', async () => {
    const short = await testApp({ service: { logOpsMax: 400 } })
    const own = await short.create()
    for (let i = 0; i < 3; i++) await short.ops(own, ...Array(500).fill({ op: 'apic.ack', vcpu: 0 }))
    const gone = await short.get(`${own}/log?from=1`)
    expect([gone.status, gone.body.errors]).toEqual([
      410,
      [{ path: 'from', message: 'must be at least 513' }],
    ])
    const [header] = (await short.get(`${own}/log`)).text.split('\n')
    expect(JSON.parse(header).base_seq).toBe(512)
    expect((await short.get(`${own}/log?from=513`)).status).toBe(200)
    expectProblem(await short.get(`${own}/log?to=512`), 410, 'log-truncated', 'to')
    expectProblem(await short.get(`${own}/log?from=3&to=9`), 410, 'log-truncated', 'from')
  })

  it('breaks off rather than leave a gap when it forgets what a slow reader still waits for', async () => {
    const short = await testApp({ service: { logOpsMax: 1000 } })
    const own = await short.create({ id: 'own' })
    const fill = () => short.ops(own, ...Array(1000).fill({ op: 'msr.read', vcpu: 0, msr: 'SIMP' }))
    await fill()
    const host = short.service.get('own')
    const chunks = traceText(host, host.journal.firstSeq, host.partition.seq)
    chunks.next()
    expect(chunks.next().value.length).toBeLessThan(40_000)
    await fill()
    await fill()
    expect(() => chunks.next()).toThrow('begins at op')
  })
})
