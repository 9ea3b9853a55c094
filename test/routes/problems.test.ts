/** Every entry of the error catalogue is reached, looks as documented, and has its section in the docs. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { PROBLEMS, type ProblemCode, problemType } from '../../src/api/problem.js'
import { type Setup, testApp } from '../support/app.js'
import { inject, type Reply } from '../support/contract.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const BYTES = { 'content-type': 'application/octet-stream' }
const SMALL: Setup = {
  service: { partitionsMax: 3, vcpusMax: 4, opsPerBatchMax: 10, memoryPagesMax: 8, replyBytesMax: 1000 },
  app: { bodyBytes: 4096 },
}

type Case = (test: Awaited<ReturnType<typeof testApp>>, p: string) => Promise<Reply>

/** One way to each problem, on a server with small limits and one partition. */
const CASES: Readonly<Record<ProblemCode, Case>> = {
  'invalid-request': (test, p) => test.send('PATCH', p, { body: { state: 'sleeping' } }),
  'malformed-json': (test, p) => test.post(`${p}/ops`, '{"ops":[', JSON_TYPE),
  'invalid-op': (test, p) => test.post(`${p}/ops`, { ops: [{ op: 'apic.ack' }] }),
  'too-many-ops': (test, p) => test.post(`${p}/ops`, { ops: Array(11).fill({ op: 'apic.ack', vcpu: 0 }) }),
  'reply-too-large': (test, p) => test.post(`${p}/ops`, { ops: [{ op: 'mem.read', gpa: 0, len: 501 }] }),
  'invalid-config': (test) => test.post('/v1/partitions', { kind: 'root', gpa_limit: '0x1000' }),
  'invalid-snapshot': async (test, p) => {
    const snapshot = { ...(await test.snapshot(p)), version: 2 }
    return test.post('/v1/partitions', { snapshot })
  },
  'invalid-cursor': (test) => test.get('/v1/partitions?cursor=xyz'),
  'invalid-scenario': (test) => {
    const document = { scenario: 's', title: 't', source: 's', steps: ['nonsense'] }
    return test.post('/v1/runs', { document })
  },
  'gpa-out-of-range': (test, p) => test.get(`${p}/memory/0x100000000`),
  'foreign-origin': (test, p) => test.post(`${p}/ops`, { ops: [] }, { origin: 'http://elsewhere.example' }),
  'unknown-host': (test, p) => inject(test.app, 'GET', p, { headers: { host: 'elsewhere.example' } }),
  'not-found': (test, p) => test.get(`${p}/vcpus/0/messages?nested=true`),
  'partition-not-found': (test) => test.get('/v1/partitions/nobody'),
  'vcpu-not-found': (test, p) => test.get(`${p}/vcpus/9`),
  'msr-not-found': (test, p) => test.get(`${p}/vcpus/0/msrs/NOPE`),
  'op-not-found': (test, p) => test.get(`${p}/log?from=9`),
  'scenario-not-found': (test) => test.get('/v1/scenarios/nothing'),
  'run-not-found': (test) => test.get('/v1/runs/r9'),
  'method-not-allowed': (test, p) => inject(test.app, 'PUT', p),
  'partition-exists': (test) => test.post('/v1/partitions', { id: 'p1' }),
  'limit-partitions': async (test) => {
    for (const id of ['a', 'b']) await test.create({ id, vcpus: 0 })
    return test.post('/v1/partitions', { vcpus: 0 })
  },
  'limit-vcpus': (test) => test.post('/v1/partitions', { vcpus: 4 }),
  'limit-memory': (test, p) => test.put(`${p}/memory/0x1`, Buffer.alloc(4096), BYTES),
  'limit-runs': async (test) => {
    const steps = Array(3).fill({ run: 'ipxe.wait', with: { polls: 15_000 } })
    const document = { scenario: 's', title: 't', source: 's', steps }
    let reply = await test.post('/v1/runs', { document })
    while (reply.status === 202) reply = await test.post('/v1/runs', { document })
    return reply
  },
  'snapshot-too-large': async (test, p) => {
    await test.ops(p, ...[0, 1].map((page) => ({ op: 'mem.write', gpa: page * 4096, hex: '01' })))
    return test.get(`${p}/snapshot`)
  },
  'page-disabled': (test, p) => test.delete(`${p}/vcpus/0/events/2/7`),
  'realtime-clock': async (test) => {
    const realtime = await test.create({ id: 'rt', clock: 'realtime' })
    return test.post(`${realtime}/clock`, { ticks: 1 })
  },
  'log-truncated': async (test, p) => {
    for (let i = 0; i < 200; i++)
      await test.post(`${p}/ops`, { ops: Array(10).fill({ op: 'apic.ack', vcpu: 0 }) })
    return test.get(`${p}/log?from=1`)
  },
  'revision-mismatch': (test, p) => test.put(`${p}/gsi-routes`, { entries: [] }, { 'if-match': '"old"' }),
  'body-too-large': (test, p) => test.post(`${p}/ops`, `{"ops":[],"x":"${'x'.repeat(5000)}"}`, JSON_TYPE),
  'unsupported-media-type': (test, p) => test.post(`${p}/ops`, 'ops', { 'content-type': 'text/plain' }),
  'idempotency-conflict': async (test, p) => {
    await test.post(`${p}/ops`, { ops: [] }, { 'idempotency-key': 'k' })
    return test.post(`${p}/ops`, { ops: [{ op: 'apic.ack', vcpu: 0 }] }, { 'idempotency-key': 'k' })
  },
  'upgrade-required': (test, p) => test.get(`${p}/stream`),
  'too-many-requests': async (test) => {
    await test.get('/v1/partitions')
    return test.get('/v1/partitions')
  },
  'internal-error': async (test) => {
    test.service.list = () => {
      throw new Error('secret')
    }
    return test.get('/v1/partitions')
  },
  'too-busy': (test, p) => test.get(`${p}/snapshot`),
  'not-ready': async (test) => {
    test.health.drain()
    return test.get('/readyz')
  },
}

function setupFor(code: ProblemCode): Setup {
  if (code === 'limit-memory') return { ...SMALL, service: { ...SMALL.service, memoryPagesMax: 1 } }
  if (code === 'snapshot-too-large') return { service: { snapshotPagesMax: 1 } }
  if (code === 'too-busy') return { app: { outgoingBytes: -1 } }
  if (code === 'log-truncated') return { service: { logOpsMax: 1000 } }
  if (code === 'too-many-requests') return { app: { requestsPerSecond: 2 } }
  return SMALL
}

const codes = Object.keys(PROBLEMS) as ProblemCode[]

describe('the catalogue', () => {
  it.each(codes)('%s is reached', async (code) => {
    const test = await testApp(setupFor(code))
    const p = await test.create({ id: 'p1' })
    const reply = await CASES[code](test, p)
    expect(reply.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(reply.headers['cache-control']).toBe('no-store')
    expect(reply.status).toBe(PROBLEMS[code].status)
    expect(reply.body).toMatchObject({
      type: problemType(code),
      title: PROBLEMS[code].title,
      status: reply.status,
      detail: expect.stringMatching(/\S/),
      instance: expect.stringMatching(/^\//),
      request_id: reply.headers['x-request-id'],
    })
    expect(reply.text).not.toContain('secret')
    await test.app.close()
  })

  it('has a section for each code in docs/problems.md, with its status and title, and no other', () => {
    const page = readFileSync(new URL('../../docs/problems.md', import.meta.url), 'utf8')
    const sections = [...page.matchAll(/^## (\S+)\n\n(\d+) · (.*)\.$/gm)].map(([, ...parts]) => parts)
    expect(sections).toEqual(codes.map((code) => [code, `${PROBLEMS[code].status}`, PROBLEMS[code].title]))
  })
})
