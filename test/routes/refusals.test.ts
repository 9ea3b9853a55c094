/** A refusal names the field and its rule, also where HTTP or the framework refuses; and nothing changes. */
import { describe, expect, it } from 'vitest'
import { TEXT_BYTES_MAX } from '../../src/scenario/limits.js'
import { testApp } from '../support/app.js'

const BODY_MAX = 600_000
const JSON_TYPE = 'application/json'
const CREATE = { method: 'POST', url: '/v1/partitions', type: JSON_TYPE }
const RUN = { method: 'POST', url: '/v1/runs', type: 'application/yaml' }
const get = (url: string) => ({ method: 'GET', url })
const NO_UTF8 = Buffer.from([0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d])

interface Case {
  readonly method: string
  readonly url: string
  readonly type?: string
  readonly payload?: string | Buffer
}

/** What `errors` says first, as `path rule`; where no field is to blame, `detail`. */
const CASES: readonly (readonly [string, Case, number, string, string])[] = [
  [
    'another content type',
    { ...CREATE, type: 'text/plain', payload: '{}' },
    415,
    'unsupported-media-type',
    'content-type must be application/json',
  ],
  [
    'a content type where no body is taken',
    { method: 'DELETE', url: '/v1/partitions/p1', type: 'text/plain', payload: 'x' },
    415,
    'unsupported-media-type',
    'content-type must be absent: no body is taken here',
  ],
  [
    'too many bytes',
    { ...CREATE, payload: ' '.repeat(BODY_MAX + 1) },
    413,
    'body-too-large',
    `must have no more bytes than ${BODY_MAX} (--max-body-bytes)`,
  ],
  [
    'too many bytes of YAML',
    { ...RUN, payload: '#'.repeat(TEXT_BYTES_MAX + 1) },
    413,
    'body-too-large',
    `must have no more bytes than ${TEXT_BYTES_MAX}`,
  ],
  ['JSON that is not UTF-8', { ...CREATE, payload: NO_UTF8 }, 400, 'malformed-json', 'must be UTF-8: '],
  ['YAML that is not UTF-8', { ...RUN, payload: NO_UTF8 }, 400, 'invalid-scenario', 'must be UTF-8: '],
  [
    'a parameter that came twice',
    get('/v1/partitions?limit=1&limit=2'),
    400,
    'invalid-request',
    'limit must be given once',
  ],
  [
    'a path that is badly encoded',
    get('/v1/partitions/%zz'),
    400,
    'invalid-request',
    'The path must be percent-encoded UTF-8.',
  ],
  [
    'a slash at the end',
    get('/v1/partitions/p1/'),
    404,
    'not-found',
    'There is nothing at /v1/partitions/p1/; did you mean /v1/partitions/p1?',
  ],
]

describe('a refusal names field and rule', async () => {
  const test = await testApp({ app: { bodyBytes: BODY_MAX } })
  const path = await test.create({ id: 'p1' })

  it.each(CASES)('of %s', async (_what, { type, ...request }, status, code, words) => {
    const headers = type === undefined ? {} : { 'content-type': type }
    const { statusCode, body } = await test.app.inject({ ...(request as object), headers })
    const { type: found, detail, errors = [] } = JSON.parse(body)
    expect([statusCode, found]).toEqual([status, `/problems/${code}`])
    expect(detail.startsWith(words)).toBe(true)
    for (const { path: at, message } of errors) expect(detail).toBe(at === '' ? message : `${at} ${message}`)
    expect(test.service.partitionCount).toBe(1)
  })

  it.each([
    ['an op', { ops: [{ op: 'msr.write', vpcu: 0, msr: 'SIMP', value: 1 }] }, 'ops/0/vpcu', '"vcpu"'],
    [
      'an op whose other field is wrong',
      { ops: [{ op: 'mem.read', gpa: 'x', lenn: 4 }] },
      'ops/0/lenn',
      '"len"',
    ],
    [
      'an entry of an op',
      { ops: [{ op: 'gsi.route', entries: [{ gsi: 1, vcpu: 0, sitn: 2 }] }] },
      'ops/0/entries/0/sitn',
      '"sint"',
    ],
  ])('and a misspelt one before the one that is missing, of %s', async (_what, body, at, meant) => {
    const reply = await test.post(`${path}/ops`, body)
    expect(reply.body.errors).toEqual([
      { path: at, message: expect.stringContaining(`did you mean ${meant}?`) },
    ])
  })

  it('and the same of other bodies, with both', async () => {
    const { body } = await test.post(`${path}/ports`, { prot: 5, type: 'message', sint: 2, vcpu: 0 })
    expect((body.errors as { path: string }[])[0].path).toBe('prot')
    const routes = await test.put(`${path}/gsi-routes`, { entires: [] })
    expect(routes.body.errors).toEqual([
      { path: 'entires', message: 'must be absent; did you mean "entries"?' },
      { path: 'entries', message: 'must be a list' },
    ])
  })
})
