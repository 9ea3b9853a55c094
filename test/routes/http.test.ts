/** What holds for every route: ids, methods, HEAD, caching, draining, metrics, rates. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { testApp } from '../support/app.js'
import { inject } from '../support/contract.js'

describe('request ids', async () => {
  const test = await testApp()

  it.each(['abc', 'A.b_c:d-1', 'x'.repeat(64)])('%s is echoed', async (id) => {
    expect((await test.get('/livez', { 'x-request-id': id })).headers['x-request-id']).toBe(id)
  })

  it.each(['', 'x'.repeat(65), 'a b', 'a"b', 'ä'])('"%s" is replaced', async (id) => {
    const made = (await test.get('/livez', { 'x-request-id': id })).headers['x-request-id']
    expect(made).toMatch(/^[0-9a-f]{12}-\w+$/)
  })

  it('differ from request to request', async () => {
    const ids = [await test.get('/livez'), await test.get('/livez')].map(
      (reply) => reply.headers['x-request-id'],
    )
    expect(ids[0]).not.toBe(ids[1])
  })
})

describe('paths and methods', async () => {
  const test = await testApp()
  await test.create({ id: 'p1' })

  it.each(['/nowhere', '/v1', '/v1/partitions/p1/nothing'])('%s is nowhere', async (path) => {
    const reply = await inject(test.app, 'GET', path)
    expect([reply.status, reply.body.type]).toEqual([404, '/problems/not-found'])
  })

  it.each([
    ['DELETE', '/v1/partitions', 'POST, GET, HEAD'],
    ['PUT', '/v1/partitions/p1', 'GET, PATCH, DELETE, HEAD'],
    ['GET', '/v1/partitions/p1/ops', 'POST'],
    ['PUT', '/v1/partitions/p1/vcpus/0/apic/ack', 'POST'],
    ['POST', '/livez', 'GET, HEAD'],
    ['OPTIONS', '/v1/partitions', 'POST, GET, HEAD'],
  ] as const)('%s %s is not allowed', async (method, path, allow) => {
    const reply = await inject(test.app, method, path)
    expect([reply.status, reply.body.type]).toEqual([405, '/problems/method-not-allowed'])
    expect(reply.headers.allow.split(', ').sort()).toEqual(allow.split(', ').sort())
  })

  it.each(['/%zz', '/v1/partitions/%'])('%s is no path', async (path) => {
    const reply = await inject(test.app, 'GET', path)
    expect([reply.status, reply.body.type]).toEqual([400, '/problems/invalid-request'])
  })

  it('answer HEAD as GET, without the body', async () => {
    for (const path of [
      '/livez',
      '/v1/partitions',
      '/v1/partitions/p1',
      '/v1/partitions/p1/log',
      '/openapi.yaml',
    ]) {
      const head = await test.send('HEAD', path)
      const get = await test.get(path)
      expect([head.status, head.text]).toEqual([200, ''])
      expect(head.headers['content-type']).toBe(get.headers['content-type'])
    }
    expect((await test.send('HEAD', '/v1/partitions/nobody')).status).toBe(404)
  })

  it('take encoded ids', async () => {
    const path = await test.create({ id: 'a:b.c' })
    expect((await test.get('/v1/partitions/a%3Ab.c')).body.id).toBe('a:b.c')
    expect((await test.get(path)).status).toBe(200)
  })
})

describe('answers', async () => {
  const test = await testApp()
  const path = await test.create({ id: 'p1' })

  it('are not for caches', async () => {
    for (const part of [
      '',
      '/vcpus',
      '/vcpus/0',
      '/vcpus/0/msrs/SIMP',
      '/snapshot',
      '/clock',
      '/memory/0x0',
      '/log',
    ]) {
      expect((await test.get(path + part)).headers['cache-control']).toBe('no-store')
    }
  })

  it('take a JSON body with a charset, and none where none is needed', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    const ack = `${path}/vcpus/0/apic/ack`
    for (const body of [undefined, '', '{}', '{"by":"guest","actor":"vmbus"}']) {
      expect((await test.post(ack, body, body === undefined ? {} : headers)).body).toEqual({
        ok: true,
        vector: -1,
      })
    }
  })
})

describe('probes', () => {
  it('say ready until the server drains; connections then close, and requests are still served', async () => {
    const test = await testApp()
    const path = await test.create()
    expect((await test.get('/readyz')).body).toEqual({ status: 'ok' })
    expect((await test.get(path)).headers.connection).not.toBe('close')
    test.health.drain()
    const reply = await test.get('/readyz')
    expect([reply.status, reply.body.detail]).toEqual([503, test.health.reason])
    expect((await test.get('/livez')).body).toEqual({ status: 'ok' })
    const ops = await test.post(`${path}/ops`, { ops: [{ op: 'apic.ack', vcpu: 0 }] })
    expect([ops.status, ops.headers.connection]).toEqual([200, 'close'])
  })

  it('have an index with links that lead somewhere', async () => {
    const test = await testApp()
    const { links } = (await test.get('/')).body
    for (const link of Object.values(links as Record<string, string>))
      expect((await test.get(link)).status).toBe(200)
  })
})

describe('metrics', () => {
  it('count requests by pattern, whatever became of them, and nothing by path', async () => {
    const test = await testApp()
    const path = await test.create({ id: 'p1' })
    await test.get(path)
    await test.get('/v1/partitions/nobody')
    await test.put(`${path}/vcpus/0/msrs/SIMP`, { value: 1 })
    await test.put(`${path}/vcpus/0/msrs/SIMP`, { value: 'x' })
    await test.put(`${path}/vcpus/0/msrs/SIMP`, '{', { 'content-type': 'application/json' })
    await inject(test.app, 'GET', '/nowhere/at/all')
    await inject(test.app, 'GET', '/%zz')
    const text = (await test.get('/metrics')).text
    const count = (method: string, route: string, status: number) =>
      new RegExp(`_seconds_count\\{method="${method}",route="${route}",status="${status}"\\} (\\d+)`).exec(
        text,
      )?.[1]
    const msr = '/v1/partitions/{pid}/vcpus/{vp}/msrs/{msr}'
    expect(count('POST', '/v1/partitions', 201)).toBe('1')
    expect(count('GET', '/v1/partitions/{pid}', 200)).toBe('1')
    expect(count('GET', '/v1/partitions/{pid}', 404)).toBe('1')
    expect(count('PUT', msr, 200)).toBe('1')
    expect(count('PUT', msr, 400)).toBe('2')
    expect(count('GET', 'unmatched', 404)).toBe('1')
    expect(count('GET', 'unmatched', 400)).toBe('1')
    expect(text).not.toMatch(/p1|nobody|nowhere/)
  })
})

describe('rates', () => {
  afterEach(() => {
    vi.restoreAllMocks()
  })

  it('leave probes alone', async () => {
    const test = await testApp({ app: { requestsPerSecond: 1 } })
    for (let i = 0; i < 5; i++) expect((await test.get('/livez')).status).toBe(200)
    await test.get('/v1/partitions')
    const reply = await test.get('/v1/partitions')
    expect([reply.status, reply.headers['retry-after']]).toEqual([429, '1'])
  })
})

describe('bodies', () => {
  const JSON_HEADERS = { 'content-type': 'application/json' }

  it.each([
    ['gzip', { ...JSON_HEADERS, 'content-encoding': 'gzip' }, 'content-encoding'],
    ['another charset', { 'content-type': 'application/json; charset=utf-16' }, 'content-type'],
  ])('come as they are: %s is refused', async (_what, headers, path) => {
    const test = await testApp()
    const { statusCode, body } = await test.app.inject({
      method: 'POST',
      url: '/v1/partitions',
      headers,
      payload: '{}',
    })
    expect([statusCode, JSON.parse(body).errors[0].path]).toEqual([415, path])
  })

  it.each([
    ['{"id":', /^The body must be JSON: /],
    ['{"__proto__":{}}', /^The body must not have a member "__proto__"/],
  ])('that are refused say why: %s', async (text, detail) => {
    const test = await testApp()
    const reply = await test.post('/v1/partitions', text, JSON_HEADERS)
    expect([reply.status, (reply.body as { detail: string }).detail]).toEqual([
      400,
      expect.stringMatching(detail),
    ])
  })

  it('may be left out where every field may', async () => {
    const test = await testApp()
    expect((await test.post('/v1/partitions')).status).toBe(201)
  })
})

describe('a probe', () => {
  it.each(['/livez', '/readyz'])('%s does not fail for a query parameter', async (path) => {
    const test = await testApp()
    for (const query of ['?x=1', '?', '?x=1&x=2']) {
      const { statusCode, body } = await test.app.inject({ method: 'GET', url: path + query })
      expect([statusCode, JSON.parse(body)]).toEqual([200, { status: 'ok' }])
    }
  })
})

describe('rules', () => {
  it.each([
    [{ vcpus: 5000 }, 'vcpus', 'must be an integer from 0 to 1024'],
    [{ vcpus: 'x' }, 'vcpus', 'must be an integer from 0 to 1024'],
    [{ durability: 'disk' }, 'durability', 'must be "memory"'],
    [{ labels: { a: 'x'.repeat(257) } }, 'labels/a', 'must have at most 256 characters'],
    [{ profile: 'xen' }, 'profile', 'must be one of kvm-synic, kvm-synic2, qemu, openvmm, tlfs, kvm'],
    [{ options: { apicv: 1 } }, 'options/apicv', 'must be true or false'],
    [{ options: { speed: 1 } }, 'options/speed', 'must be absent'],
    [[], '', 'must be an object'],
    [{ vcpu: 1 }, 'vcpu', 'must be absent; did you mean "vcpus"?'],
    [{ options: { apicvv: true } }, 'options/apicvv', 'must be absent; did you mean "apicv"?'],
    [
      { profile: 'opnvmm' },
      'profile',
      'must be one of kvm-synic, kvm-synic2, qemu, openvmm, tlfs, kvm; did you mean "openvmm"?',
    ],
  ])('are told in words: %j', async (body, path, message) => {
    const test = await testApp()
    const reply = await test.post('/v1/partitions', body)
    expect((reply.body as { errors: unknown }).errors).toEqual([{ path, message }])
  })

  const U64_RULE = 'must be a u64: "0x" and up to 16 significant hex digits, or an integer from 0 to 2^53-1'
  const OPS = '/v1/partitions/p1/ops'
  it.each([
    ['POST', '/v1/partitions', { gpa_limit: 'x' }, 'gpa_limit', U64_RULE],
    ['POST', '/v1/partitions', { snapshot: {} }, 'snapshot/kernel', 'must be "" or a text'],
    ['POST', '/v1/partitions', { snapshot: {} }, 'snapshot/now', 'must be an integer from 0'],
    [
      'POST',
      '/v1/scenarios/kexec-l1vh/runs',
      { with: { '!': 1 } },
      'with/!',
      'must have a name that is 1 to 64 letters, digits or "_"',
    ],
    ['GET', '/v1/partitions?lable=a:b', undefined, 'lable', 'must be absent; did you mean "label"?'],
    ['POST', OPS, { opps: [] }, 'opps', 'must be absent; did you mean "ops"?'],
    [
      'POST',
      OPS,
      { ops: [{ op: 'msr.wirte' }] },
      'ops/0/op',
      'must be the name of an op; did you mean "msr.write"?',
    ],
    [
      'POST',
      OPS,
      { ops: [{ op: 'apic.ack', vcpu: 0, actr: 'x' }] },
      'ops/0/actr',
      'must be absent: apic.ack has the fields vcpu; did you mean "actor"?',
    ],
    [
      'POST',
      OPS,
      { ops: [{ op: 'cap.enable', vcpu: 0, cap: 'synic3' }] },
      'ops/0/cap',
      'must be one of synic, synic2; did you mean "synic"?',
    ],
    ['PUT', '/v1/partitions/p1/vcpus/0/msrs/SIMP', { valeu: 1 }, 'valeu', /; did you mean "value"\?$/],
    ['GET', '/v1/partitions/p1/vcpus/0/msrs/SMIP', undefined, 'msr', /; did you mean "SIMP"\?$/],
    [
      'POST',
      OPS,
      { ops: [{ op: 'msr.read', vcpu: 0, msr: 'SINT16' }] },
      'ops/0/msr',
      /; a vCPU has SINT0 to SINT15$/,
    ],
  ] as const)('%s %s %j is told the rule and what was meant', async (method, url, body, path, message) => {
    const test = await testApp()
    await test.create({ id: 'p1' })
    const reply = await test.send(method, url, { body })
    expect(reply.status).toBeGreaterThanOrEqual(400)
    expect(reply.body.detail).not.toMatch(/Invalid|expected|received|\?\./)
    expect(reply.body.errors).toContainEqual({
      path,
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    })
  })

  it('a scenario that is not there is told with the one that was meant', async () => {
    const test = await testApp()
    const { body } = await test.get('/v1/scenarios/kexec-l1hv')
    expect(body.detail).toBe('There is no scenario "kexec-l1hv"; did you mean "kexec-l1vh"?')
  })

  it('a path with a part that no name can be is nowhere', async () => {
    const test = await testApp()
    const { statusCode } = await test.app.inject({ method: 'GET', url: `/v1/partitions/${'x'.repeat(200)}` })
    expect(statusCode).toBe(404)
  })
})
