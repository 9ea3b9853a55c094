/** Bad input of every kind: refused with a problem that names the place, and the partition is as it was. */
import { describe, expect, it } from 'vitest'
import { JSON_PARTS_MAX } from '../../src/api/json-text.js'
import { testApp } from '../support/app.js'
import { expectProblem } from '../support/expect-problem.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const BYTES = { 'content-type': 'application/octet-stream' }
/** Room for more values than may be. */
const BODY_MAX = 8 * 1024 * 1024
const write = { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x1001' }
const TOO_BIG = '0x10000000000000000'

interface Bad {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Behind the partition's path. */
  readonly path: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly status: number
  readonly type: string
  /** Where the first error is. */
  readonly at?: string
}

const post = (path: string, body: unknown, status: number, type: string, at?: string): Bad => ({
  method: 'POST',
  path,
  body,
  status,
  type,
  ...(at === undefined ? {} : { at }),
})
const ops = (list: unknown, at: string, type = 'invalid-op', status = 400) =>
  post('/ops', { ops: list }, status, type, at)
const get = (path: string, status: number, type: string, at: string): Bad => ({
  method: 'GET',
  path,
  status,
  type,
  at,
})

const CASES: Readonly<Record<string, Bad>> = {
  'a batch that is a list': { ...post('/ops', '[]', 400, 'invalid-request', ''), headers: JSON_TYPE },
  'no body': post('/ops', undefined, 400, 'invalid-request', ''),
  'ops that are no list': post('/ops', { ops: {} }, 400, 'invalid-request', 'ops'),
  'an unknown field beside ops': post('/ops', { ops: [], dry_run: true }, 400, 'invalid-request', 'dry_run'),
  'stop_on_fault of the wrong type': post(
    '/ops',
    { ops: [], stop_on_fault: 1 },
    400,
    'invalid-request',
    'stop_on_fault',
  ),
  'an actor that is no name': post('/ops', { ops: [], actor: '' }, 400, 'invalid-request', 'actor'),
  'a good op, then a wrong type': ops([write, { ...write, vcpu: '0' }], 'ops/1/vcpu'),
  'a u64 overflow': ops([write, { ...write, value: TOO_BIG }], 'ops/1/value'),
  'a number beyond 2^53': ops([{ ...write, value: 2 ** 53 }], 'ops/0/value'),
  'an unknown MSR name': ops([{ ...write, msr: 'SIMPLE' }], 'ops/0/msr'),
  'an unknown op': ops([write, { op: 'msr.writ' }], 'ops/1/op'),
  'an op that is null': ops([null], 'ops/0'),
  'an unknown field': ops([{ ...write, nested: true }], 'ops/0/nested'),
  'a missing field': ops([{ op: 'msr.write', vcpu: 0, msr: 'SIMP' }], 'ops/0/value'),
  'a vCPU out of range': ops([write, { ...write, vcpu: 2 }], 'ops/1/vcpu', 'vcpu-not-found', 404),
  'hex of odd length': ops([{ op: 'mem.write', gpa: 0, hex: '0' }], 'ops/0/hex'),
  'a payload of 241 bytes': ops(
    [{ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '00'.repeat(241) }],
    'ops/0/hex',
  ),
  '10,001 ops': ops(Array(10_001).fill({ op: 'apic.ack', vcpu: 0 }), 'ops', 'too-many-ops'),
  'ops that ask for gigabytes': ops(
    Array(2000).fill({ op: 'mem.read', gpa: 0, len: 65_536 }),
    'ops',
    'reply-too-large',
  ),
  'broken JSON': { ...post('/ops', '{"ops":[}', 400, 'malformed-json'), headers: JSON_TYPE },
  'JSON with __proto__': {
    ...post('/ops', '{"ops":[],"__proto__":{}}', 400, 'malformed-json'),
    headers: JSON_TYPE,
  },
  'a body over the limit': {
    ...post(
      '/ops',
      JSON.stringify({ ops: [{ ...write, actor: 'x'.repeat(BODY_MAX) }] }),
      413,
      'body-too-large',
    ),
    headers: JSON_TYPE,
  },
  'a body of more values than may be': {
    ...post('/ops', `{"ops":[${'1,'.repeat(JSON_PARTS_MAX)}1]}`, 413, 'body-too-large', ''),
    headers: JSON_TYPE,
  },
  'a wrong content type': {
    ...post('/ops', '{"ops":[]}', 415, 'unsupported-media-type'),
    headers: { 'content-type': 'text/plain' },
  },
  'bytes where JSON belongs': {
    ...post('/ops', '{"ops":[]}', 415, 'unsupported-media-type'),
    headers: BYTES,
  },
  'JSON where bytes belong': {
    method: 'PUT',
    path: '/memory/0x1000',
    body: { hex: '00' },
    status: 415,
    type: 'unsupported-media-type',
  },
  'no bytes at all': {
    method: 'PUT',
    path: '/memory/0x1000',
    headers: BYTES,
    status: 400,
    type: 'invalid-request',
    at: '',
  },
  'bytes past the end of memory': {
    method: 'PUT',
    path: '/memory/0xffffffff',
    body: Buffer.from([1, 2]),
    headers: BYTES,
    status: 400,
    type: 'gpa-out-of-range',
    at: 'gpa',
  },
  'bytes past the end of addresses': {
    method: 'PUT',
    path: '/memory/0xffffffffffffffff',
    body: Buffer.from([1, 2]),
    headers: BYTES,
    status: 400,
    type: 'gpa-out-of-range',
    at: 'gpa',
  },
  'memory at no address': get('/memory/here', 400, 'invalid-request', 'gpa'),
  'memory at an address of 65 bits': get(`/memory/${TOO_BIG}`, 400, 'invalid-request', 'gpa'),
  'memory of no length': get('/memory/0x0?len=0', 400, 'invalid-request', 'len'),
  'memory of a length that is no number': get('/memory/0x0?len=1e3', 400, 'invalid-request', 'len'),
  'an MSR value of the wrong type': {
    method: 'PUT',
    path: '/vcpus/0/msrs/SIMP',
    body: { value: true },
    status: 400,
    type: 'invalid-op',
    at: 'value',
  },
  'an MSR value that overflows': {
    method: 'PUT',
    path: '/vcpus/0/msrs/SIMP',
    body: { value: TOO_BIG },
    status: 400,
    type: 'invalid-op',
    at: 'value',
  },
  'an MSR write with a field too many': {
    method: 'PUT',
    path: '/vcpus/0/msrs/SIMP',
    body: { value: 1, msr: 'SINT2' },
    status: 400,
    type: 'invalid-request',
    at: 'msr',
  },
  'an MSR write by nobody': {
    method: 'PUT',
    path: '/vcpus/0/msrs/SIMP',
    body: { value: 1, by: 'me' },
    status: 400,
    type: 'invalid-op',
    at: 'by',
  },
  'an MSR name in a path that nobody has': {
    method: 'PUT',
    path: '/vcpus/0/msrs/NOPE',
    body: { value: 1 },
    status: 404,
    type: 'msr-not-found',
    at: 'msr',
  },
  'an MSR index beyond 32 bits': get('/vcpus/0/msrs/0x100000000', 404, 'msr-not-found', 'msr'),
  'a vCPU in a path that is no number': get('/vcpus/zero', 400, 'invalid-request', 'vp'),
  'a vCPU in a hot path that is no number': {
    method: 'PUT',
    path: '/vcpus/00/msrs/SIMP',
    body: { value: 1 },
    status: 400,
    type: 'invalid-request',
    at: 'vp',
  },
  'a vCPU in a path that is not there': {
    method: 'PUT',
    path: '/vcpus/7/msrs/SIMP',
    body: { value: 1 },
    status: 404,
    type: 'vcpu-not-found',
    at: 'vcpu',
  },
  'a SINT in a path that is not there': post(
    '/vcpus/0/messages/16/complete',
    undefined,
    400,
    'invalid-request',
    'sint',
  ),
  'a fork of null': { ...post('/fork', 'null', 400, 'invalid-request', ''), headers: JSON_TYPE },
  'a null body': { ...post('/vcpus/0/apic/ack', 'null', 400, 'invalid-request', ''), headers: JSON_TYPE },
  'an unknown query parameter': get('?verbose=1', 400, 'invalid-request', 'verbose'),
  'an unknown query parameter on a hot route': post(
    '/ops?x=1',
    { ops: [write] },
    400,
    'invalid-request',
    'x',
  ),
  'a query parameter twice': get('/memory/0x0?len=1&len=2', 400, 'invalid-request', 'len'),
  'by nobody': get('/vcpus/0/msrs?by=root', 400, 'invalid-request', 'by'),
  'a clock that runs backwards': post('/clock', { ticks: -1 }, 400, 'invalid-op', 'ticks'),
  'a state that does not exist': {
    method: 'PATCH',
    path: '',
    body: { state: 'off' },
    status: 400,
    type: 'invalid-request',
    at: 'state',
  },
  'labels that are no texts': {
    method: 'PATCH',
    path: '',
    body: { labels: { a: 1 }, state: 'paused' },
    status: 400,
    type: 'invalid-request',
    at: 'labels/a',
  },
  'a label key that is none': {
    method: 'PATCH',
    path: '',
    body: { labels: { ':': 'x' } },
    status: 400,
    type: 'invalid-request',
    at: 'labels/:',
  },
  'labels in a patch beyond the limit': {
    method: 'PATCH',
    path: '',
    body: { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ''])) },
    status: 400,
    type: 'invalid-request',
    at: 'labels',
  },
  'a lost race': {
    method: 'PUT',
    path: '/gsi-routes',
    body: { entries: [] },
    headers: { 'if-match': '"0-0-0"' },
    status: 412,
    type: 'revision-mismatch',
    at: 'if-match',
  },
  'a weak tag in If-Match': {
    method: 'PUT',
    path: '/gsi-routes',
    body: { entries: [] },
    headers: { 'if-match': 'W/"1"' },
    status: 412,
    type: 'revision-mismatch',
    at: 'if-match',
  },
  'an If-Match that is no tag': {
    method: 'PUT',
    path: '/gsi-routes',
    body: { entries: [] },
    headers: { 'if-match': 'latest' },
    status: 400,
    type: 'invalid-request',
    at: 'if-match',
  },
  'a route with a field missing': {
    method: 'PUT',
    path: '/gsi-routes',
    body: { entries: [{ gsi: 1, vcpu: 0 }] },
    status: 400,
    type: 'invalid-request',
    at: 'entries/0/sint',
  },
  'a fork under an id that is taken': post('/fork', { id: 'p1' }, 409, 'partition-exists', 'id'),
  'a log from what is no number': get('/log?from=-1', 400, 'invalid-request', 'from'),
  'an idempotency key that is none': {
    ...post('/ops', { ops: [write] }, 400, 'invalid-request', 'idempotency-key'),
    headers: { 'idempotency-key': 'a b' },
  },
}

describe('on a partition', async () => {
  const test = await testApp({ app: { bodyBytes: BODY_MAX } })
  const path = await test.create({ id: 'p1', vcpus: 2 })
  await test.ops(path, write, { op: 'mem.write', gpa: 0, hex: '0102' })

  it.each(Object.entries(CASES))('%s', async (_name, bad) => {
    const before = await test.snapshot(path)
    const resource = (await test.get(path)).body
    const { body, headers = {} } = bad
    const typed = body === undefined ? headers : { ...JSON_TYPE, ...headers }
    const reply = await test.send(bad.method, `${path}${bad.path}`, { body, headers: typed })
    expectProblem(reply, bad.status, bad.type, bad.at)
    expect(await test.snapshot(path)).toEqual(before)
    expect((await test.get(path)).body).toEqual(resource)
    expect(test.service.partitionCount).toBe(1)
  })
})
