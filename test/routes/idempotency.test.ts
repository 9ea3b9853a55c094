/** Idempotency-Key: a retry gets the first answer, and nothing happens twice. */
import { describe, expect, it } from 'vitest'
import { IdempotencyStore } from '../../routes/idempotency.js'
import { testApp } from '../support/app.js'

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
