/** Idempotency-Key: a retry gets the first answer, and nothing happens twice. */
import { describe, expect, it } from 'vitest'
import { IdempotencyStore } from '../../routes/idempotency.js'
import { takesKey } from '../../src/api/idempotency-key.js'
import { OPERATIONS } from '../../src/api/operations/all.js'
import { testApp } from '../support/app.js'
import { expectProblem } from '../support/expect-problem.js'

const key = (value: string) => ({ 'idempotency-key': value })

describe('the same key and body again', async () => {
  const test = await testApp()
  const path = await test.create({ id: 'p1' })
  const advance = { ops: [{ op: 'clock.advance', ticks: 10 }] }

  it('creates one partition', async () => {
    const first = await test.post('/v1/partitions', { vcpus: 2 }, key('c1'))
    const again = await test.post('/v1/partitions', { vcpus: 2 }, key('c1'))
    expect(first.headers['idempotency-replayed']).toBeUndefined()
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect([again.status, again.text, again.headers.location]).toEqual([
      201,
      first.text,
      first.headers.location,
    ])
  })

  it('applies ops once', async () => {
    const first = await test.post(`${path}/ops`, advance, key('k'))
    const again = await test.post(`${path}/ops`, advance, key('k'))
    expect(again.text).toBe(first.text)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect((await test.get(`${path}/clock`)).body.now).toBe(10)
  })

  it('makes one fork', async () => {
    const first = await test.post(`${path}/fork`, undefined, key('k'))
    const again = await test.post(`${path}/fork`, undefined, key('k'))
    expect([again.status, again.headers.location]).toEqual([201, first.headers.location])
  })

  const SINGLE: readonly (readonly ['POST' | 'PUT', string, object | undefined])[] = [
    ['POST', '/clock', { ticks: 5 }],
    ['POST', '/vcpus/0/messages', { sint: 2, type: 1 }],
    ['POST', '/vcpus/0/messages/2/complete', undefined],
    ['POST', '/vcpus/0/events', { sint: 2, flag: 3 }],
    ['POST', '/vcpus/0/apic/ack', undefined],
    ['POST', '/vcpus/0/apic/eoi', undefined],
    ['POST', '/gsis/5/assert', undefined],
    ['POST', '/ports', { port: 1, type: 'message', sint: 2 }],
    ['POST', '/connections', { connection: 1, port: 1 }],
    ['PUT', '/irqfds/5', undefined],
    ['PUT', '/vcpus/0/msrs/EOM', { value: 0 }],
  ]
  it.each(SINGLE)('%s %s is one op', async (method, below, body) => {
    const seq = (await test.get(path)).body.seq as number
    const first = await test.send(method, path + below, { body, headers: key('s') })
    const again = await test.send(method, path + below, { body, headers: key('s') })
    expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([
      200,
      first.text,
      'true',
    ])
    expect((await test.get(path)).body.seq).toBe(seq + 1)
  })

  it('on another vCPU, or with another body, is no retry', async () => {
    const two = await test.create({ vcpus: 2 })
    const post = (vcpu: number, sint: number) =>
      test.post(`${two}/vcpus/${vcpu}/messages`, { sint, type: 1 }, key('v'))
    expect((await post(0, 2)).status).toBe(200)
    expect((await post(1, 2)).headers['idempotency-replayed']).toBeUndefined()
    expectProblem(await post(0, 3), 422, 'idempotency-conflict', 'idempotency-key')
  })

  it('starts one run', async () => {
    const url = '/v1/scenarios/kexec-l1vh/runs'
    const document = { scenario: 's', title: 't', source: 's', steps: [] }
    for (const [at, body] of [
      [url, undefined],
      ['/v1/runs', { document }],
    ] as const) {
      const first = await test.post(at, body, key('r'))
      const again = await test.post(at, body, key('r'))
      expect([again.status, again.text, again.headers.location]).toEqual([
        202,
        first.text,
        first.headers.location,
      ])
      expect(again.headers['idempotency-replayed']).toBe('true')
    }
    expect((await test.post('/v1/runs', { document: { ...document, title: 'u' } }, key('r'))).status).toBe(
      422,
    )
  })

  it('is another request on another partition, and on a later one of the same id', async () => {
    const other = await test.create({ id: 'p9' })
    expect(
      (await test.post(`${other}/ops`, advance, key('k'))).headers['idempotency-replayed'],
    ).toBeUndefined()
    await test.delete(other)
    await test.create({ id: 'p9' })
    expect(
      (await test.post(`${other}/ops`, advance, key('k'))).headers['idempotency-replayed'],
    ).toBeUndefined()
  })

  it('with another body is a conflict', async () => {
    const reply = await test.post(`${path}/ops`, { ops: [] }, key('k'))
    expect([reply.status, reply.body.type]).toEqual([422, '/problems/idempotency-conflict'])
    expect((await test.post('/v1/partitions', { vcpus: 3 }, key('c1'))).status).toBe(422)
  })

  it('may be tried again after a failure', async () => {
    expect((await test.post(`${path}/ops`, { ops: [{}] }, key('f'))).status).toBe(400)
    expect((await test.post(`${path}/ops`, advance, key('f'))).status).toBe(200)
  })
})

describe('a key', () => {
  it('is taken by every POST', () => {
    const posts = OPERATIONS.filter(({ method }) => method === 'POST')
    expect(posts.filter((operation) => !takesKey(operation)).map(({ id }) => id)).toEqual([])
  })

  it('is no matter where the same request may come again anyway', async () => {
    const test = await testApp()
    const path = await test.create({ id: 'p1' })
    const headers = key('k')
    for (const state of ['paused', 'running']) {
      const patched = await test.send('PATCH', path, { body: { state }, headers })
      expect([patched.status, patched.body.state]).toEqual([200, state])
    }
    expect((await test.send('DELETE', path, { headers })).status).toBe(204)
  })

  it.each(['', 'two words', 'x'.repeat(129)])('"%s" is none', async (text) => {
    const test = await testApp()
    const path = await test.create({ id: 'p1' })
    for (const below of ['/clock', '/fork']) {
      const body = below === '/clock' ? { ticks: 1 } : {}
      const reply = await test.post(path + below, body, key(text))
      expectProblem(reply, 400, 'invalid-request', 'idempotency-key')
    }
  })
})

describe('the store', () => {
  const answer = (bytes: number) => ({ status: 200, text: 'x'.repeat(bytes) })

  it('forgets the least recently used first', () => {
    const store = new IdempotencyStore(2, 1e6)
    for (const name of ['a', 'b']) store.keep(name, '', answer(1))
    store.find('a', '')
    store.keep('c', '', answer(1))
    expect(['a', 'b', 'c'].map((name) => store.find(name, '') !== undefined)).toEqual([true, false, true])
    expect(store.size).toBe(2)
  })

  it('is bounded in bytes too, and always keeps the newest', () => {
    const store = new IdempotencyStore(100, 2000)
    for (let i = 0; i < 50; i++) store.keep(`k${i}`, '', answer(500))
    expect(store.bytes).toBeLessThanOrEqual(2000)
    store.keep('huge', '', answer(1e6))
    expect([store.size, store.find('huge', '') !== undefined]).toEqual([1, true])
    store.keep('small', '', answer(1))
    expect([store.size, store.bytes < 2000]).toEqual([1, true])
  })
})
