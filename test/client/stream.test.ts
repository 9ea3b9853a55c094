/** The stream client against a real server: order, breaks, resumption, and every way it ends. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, expectTypeOf, it } from 'vitest'
import { WebSocket } from 'ws'
import {
  type BatchResult,
  type Notification,
  type StreamEvent,
  type StreamOptions,
  SynicdBusy,
  SynicdClient,
  SynicdInterrupted,
  SynicdProblem,
  type SynicdStream,
  SynicdStreamClosed,
  SynicdUnreachable,
} from '../../src/client/index.js'
import { complete, lastNOf, partitionWithSynic, post, startServer, stopServers } from './server.js'

const streams = new Set<SynicdStream>()
afterEach(async () => {
  await Promise.all([...streams].map((stream) => stream.close()))
  streams.clear()
  await stopServers()
})

/** Comes back at once, so that tests need not wait. */
const SOON = { minMs: 1, maxMs: 20 }

function open(url: string, options: StreamOptions = {}, pid = 'p1'): SynicdStream {
  const stream = new SynicdClient(url).stream(pid, { reconnect: SOON, ...options })
  streams.add(stream)
  return stream
}

/** Events up to and with notification `n`. */
async function readUntil(stream: SynicdStream, n: number): Promise<StreamEvent[]> {
  const events: StreamEvent[] = []
  for await (const event of stream) {
    events.push(event)
    if (event.kind === 'gap' ? event.to >= n : event.kind !== 'restarted' && event.n >= n) break
  }
  return events
}

const caught = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

const numbers = (events: readonly StreamEvent[]) =>
  events.map((event) => {
    if (event.kind === 'restarted') return event.created_at
    return event.kind === 'gap' ? `${event.from}-${event.to}` : event.n
  })
const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const seqOf = async (url: string) => (await new SynicdClient(url).partition('p1').get()).seq

async function setUp(...setup: Parameters<typeof startServer>) {
  const server = await startServer(...setup)
  const host = partitionWithSynic(server.service)
  return { ...server, host }
}

describe('a stream', () => {
  it('answers batches in order, typed, and tells what they did', async () => {
    const { url } = await setUp()
    const stream = open(url)
    expect(stream.state).toBe('connecting')
    const first = stream.ops([post('01')])
    const second = stream.ops([complete, { op: 'apic.ack', vcpu: 0 }])
    const answers = await Promise.all([first, second])
    expect(answers[0].results).toMatchObject([{ ok: true, delivery: 'delivered' }])
    expect(answers[1]).toMatchObject({ seq: answers[0].seq + 1, results: [{ ok: true }, { vector: 0xf3 }] })
    expectTypeOf(first).resolves.toEqualTypeOf<BatchResult>()
    expect(stream.state).toBe('open')
    const events = await readUntil(stream, (await stream.opened).n + 2)
    expect(events).toMatchObject([
      { kind: 'message', hex: '01' },
      { kind: 'interrupt', vector: 0xf3 },
    ])
    expectTypeOf<Extract<Notification, { kind: 'eoi' }>['vector']>().toEqualTypeOf<number>()
  })

  it('stops a batch at a fault if asked, and names its actor', async () => {
    const { url } = await setUp()
    const stream = open(url, { actor: 'vmbus' })
    const bad = { op: 'msr.write', vcpu: 0, msr: 'SVERSION', value: 1 } as const
    expect((await stream.ops([bad, post()], { stopOnFault: true })).results).toHaveLength(1)
    expect((await stream.ops([bad, post()])).results).toHaveLength(2)
    const log = await new SynicdClient(url).call.getLog({ params: { pid: 'p1' } })
    expect(log.body.match(/"actor":"vmbus"/g)).toHaveLength(3)
  })

  it('rejects what the server refuses, and goes on', async () => {
    const { url } = await setUp()
    const stream = open(url)
    const refused = await caught(stream.ops([post(), { op: 'apic.ack', vcpu: 9 }]))
    expect(refused).toBeInstanceOf(SynicdProblem)
    expect(refused).toMatchObject({ code: 'vcpu-not-found', errors: [{ path: 'ops/1/vcpu' }] })
    expect(await stream.ops([{ op: 'apic.ack', vcpu: 0 }])).toMatchObject({ results: [{ vector: -1 }] })
  })

  it('hands events to a callback before the answer of their batch', async () => {
    const { url } = await setUp()
    const seen: unknown[] = []
    const stream = open(url, { onEvent: ({ kind }) => seen.push(kind) })
    await stream.ops([post()]).then(() => seen.push('answer'))
    expect(seen).toEqual(['message', 'interrupt', 'answer'])
    expect(() => stream[Symbol.asyncIterator]()).toThrow(TypeError)
  })

  it('changes its filter, and keeps it over a break', async () => {
    const { url, host, cut } = await setUp()
    const stream = open(url, { kinds: ['interrupt'] })
    expect(await stream.subscribe({ kinds: ['eom'] })).toBe(lastNOf(host))
    await stream.ops([post('01'), post('02'), complete])
    cut()
    await stream.subscribe({ kinds: ['eom', 'message'], vcpus: [0] })
    await stream.ops([complete, post('03')])
    const events = await readUntil(stream, lastNOf(host) - 1)
    expect(events.map(({ kind }) => kind)).toEqual(['eom', 'message', 'message'])
  })
})

describe('after a break', () => {
  it('goes on without a hole and without a double, over and over', async () => {
    const { url, host, cut } = await setUp()
    const states: string[] = []
    const stream = open(url, { onState: (state) => states.push(state) })
    const { n } = await stream.opened
    const count = 200
    const posting = (async () => {
      for (let i = 0; i < count; i++) {
        host.applyBatch([complete, post()])
        if (i % 40 === 20) cut()
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    })()
    const events = await readUntil(stream, n + 2 * count)
    await posting
    expect(numbers(events)).toEqual(upTo(n + 1, n + 2 * count))
    expect(states.filter((state) => state === 'open').length).toBeGreaterThan(1)
  })

  it('tells what the ring has lost meanwhile', async () => {
    const { url, host, cut } = await setUp({ streamRing: 4 })
    const stream = open(url, { reconnect: { minMs: 100, maxMs: 100 } })
    const { n } = await stream.opened
    cut()
    for (let i = 0; i < 40; i++) host.applyBatch([complete, post()])
    const lastN = lastNOf(host)
    const events = await readUntil(stream, lastN)
    expect(events[0]).toMatchObject({ kind: 'gap', from: n + 1 })
    const { to } = events[0] as { to: number }
    expect(numbers(events.slice(1))).toEqual(upTo(to + 1, lastN))
  })

  it('leaves no doubt about what was in doubt, and sends what was not sent yet, once', async () => {
    const { url, cut } = await setUp()
    const stream = open(url, { kinds: [] })
    await stream.opened
    const before = await seqOf(url)
    const sent = caught(stream.ops([complete]))
    cut()
    const error = await sent
    expect(error).toBeInstanceOf(SynicdInterrupted)
    expect((error as Error).message).toContain('may or may not')
    expect(stream.state).toBe('connecting')
    const waiting = [stream.ops([complete]), stream.ops([complete])]
    const [a, b] = await Promise.all(waiting)
    expect(b.seq).toBe(a.seq + 1)
    expect((await seqOf(url)) - before).toBeLessThanOrEqual(3)
    expect(stream.state).toBe('open')
  })

  it('gives up after as many attempts as it was told', async () => {
    const { url, app } = await setUp()
    const causes: unknown[] = []
    const options: StreamOptions = {
      reconnect: { ...SOON, attemptsMax: 2 },
      onState: (state, cause) => state === 'connecting' && causes.push(cause),
    }
    const stream = open(url, options)
    await stream.opened
    await app.close()
    expect(await stream.ended).toBeInstanceOf(SynicdUnreachable)
    expect(causes).toHaveLength(2)
    expect(causes[0]).toMatchObject({ code: 1001 })
    await expect(stream.ops([post()])).rejects.toBeInstanceOf(SynicdUnreachable)
  })

  it('does not come back if told not to', async () => {
    const { url, cut } = await setUp()
    const stream = open(url, { reconnect: false })
    await stream.opened
    cut()
    expect(await stream.ended).toBeInstanceOf(SynicdUnreachable)
    await expect(readUntil(stream, 1)).rejects.toBeInstanceOf(SynicdUnreachable)
    expect(await readUntil(stream, 1)).toEqual([])
  })
})

describe('a stream ends', () => {
  it.each([
    ['no partition', 'nobody', {}, 4004],
    ['a bad query', 'p1', { since: -1 }, 4000],
  ])('for good with %s', async (_why, pid, options, code) => {
    const { url } = await setUp()
    const stream = open(url, options, pid)
    const waiting = caught(stream.ops([post()]))
    const error = await stream.ended
    expect(error).toBeInstanceOf(SynicdStreamClosed)
    expect(error).toMatchObject({ code, message: expect.stringContaining(String(code)) })
    expect(await waiting).toBe(error)
    expect(await caught(stream.opened)).toBe(error)
    expect(stream.state).toBe('closed')
  })

  it('when its partition is deleted, behind the last event', async () => {
    const { url, service } = await setUp()
    const stream = open(url)
    await stream.ops([post()])
    service.delete('p1')
    expect(await stream.ended).toMatchObject({ code: 4010 })
    const kinds: string[] = []
    const reading = (async () => {
      for await (const { kind } of stream) kinds.push(kind)
    })()
    await expect(reading).rejects.toMatchObject({ code: 4010 })
    expect(kinds).toEqual(['message', 'interrupt'])
  })

  it('when nobody is there at first', async () => {
    const closed = createServer()
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    const error = await open(`http://127.0.0.1:${port}`).ended
    expect(error).toBeInstanceOf(SynicdUnreachable)
    expect((error as Error).message).toMatch(/ws:\/\/.*ECONNREFUSED/)
  })

  it.each(['before it begins', 'while it is open', 'while it waits to reconnect'])(
    'by its signal %s',
    async (when) => {
      const { url, app } = await setUp()
      const controller = new AbortController()
      const reason = new Error('enough')
      if (when === 'before it begins') controller.abort(reason)
      const stream = open(url, { signal: controller.signal, reconnect: { minMs: 60_000, maxMs: 60_000 } })
      if (when !== 'before it begins') await stream.opened
      if (when === 'while it waits to reconnect') {
        await app.close()
        await expect.poll(() => stream.state).toBe('connecting')
      }
      const waiting = caught(stream.ops([post()]))
      const reading = caught(readUntil(stream, Number.POSITIVE_INFINITY))
      controller.abort(reason)
      expect(await Promise.all([stream.ended, waiting, reading])).toEqual([reason, reason, reason])
    },
  )

  it('by close, which waits for answers if asked', async () => {
    const { url } = await setUp()
    const patient = open(url)
    const answers = Array.from({ length: 50 }, () => patient.ops([complete]))
    const closing = patient.close({ drain: true })
    await expect(patient.ops([post()])).rejects.toMatchObject({ code: 1000 })
    await closing
    expect((await Promise.all(answers)).at(-1)?.seq).toBe(await seqOf(url))
    expect(await patient.ended).toBeUndefined()
    const hasty = open(url)
    const unsent = caught(hasty.ops([post()]))
    await hasty.close()
    expect(await unsent).toMatchObject({ name: 'SynicdStreamClosed', code: 1000 })
    expect(await readUntil(hasty, 1)).toEqual([])
  })
})

describe('a signal', () => {
  it('ends the wait for a subscription, and a close that waits for answers', async () => {
    const { url, app } = await setUp()
    const stream = open(url, { reconnect: { minMs: 60_000, maxMs: 60_000 } })
    await stream.opened
    await app.close()
    await expect.poll(() => stream.state).toBe('connecting')
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    expect(await caught(stream.subscribe({}, { signal }))).toBe(reason)
    const controller = new AbortController()
    const subscribing = caught(stream.subscribe({}, { signal: controller.signal }))
    const unsent = caught(stream.ops([complete]))
    const closing = stream.close({ drain: true, signal: controller.signal })
    controller.abort(reason)
    await closing
    expect(await subscribing).toBe(reason)
    expect(await unsent).toMatchObject({ code: 1000 })
  })
})

describe('one batch', () => {
  it('is not sent when it is given up before', async () => {
    const { url } = await setUp()
    const stream = open(url)
    const before = await seqOf(url)
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const unsent = caught(stream.ops([post()], { signal: controller.signal }))
    controller.abort(reason)
    expect(await unsent).toBe(reason)
    expect(await caught(stream.ops([post()], { signal: controller.signal }))).toBe(reason)
    await stream.opened
    expect((await stream.ops([complete])).seq).toBe(before + 1)
  })

  it('given up after it was sent disturbs no other', async () => {
    const { url } = await setUp()
    const stream = open(url)
    await stream.opened
    const controller = new AbortController()
    const given = caught(stream.ops([complete], { signal: controller.signal }))
    const kept = stream.ops([complete, complete])
    controller.abort()
    expect(await given).toMatchObject({ name: 'AbortError' })
    expect((await kept).results).toHaveLength(2)
  })

  it('is refused when too many wait', async () => {
    const { url } = await setUp()
    const stream = open(url, { pendingMax: 2 })
    const first = [stream.ops([complete]), stream.ops([complete])]
    expect(await caught(stream.ops([complete]))).toBeInstanceOf(SynicdBusy)
    await Promise.all(first)
    expect(await stream.ops([complete])).toHaveProperty('seq')
  })
})

describe('a slow loop', () => {
  it('misses the newest, is told which, and goes on', async () => {
    const { url, host } = await setUp()
    const stream = open(url, { eventsMax: 10 })
    const { n } = await stream.opened
    for (let i = 0; i < 30; i++) await stream.ops([complete, post()])
    const lastN = lastNOf(host)
    const kept = await readUntil(stream, lastN)
    expect(numbers(kept)).toEqual([...upTo(n + 1, n + 10), `${n + 11}-${lastN}`])
    await stream.ops([complete, post()])
    expect(numbers(await readUntil(stream, lastN + 2))).toEqual(upTo(lastN + 1, lastN + 2))
  })
})

describe('the WebSocket', () => {
  it('may be given, and gets the token', async () => {
    const { url, app } = await setUp()
    const seen: unknown[] = []
    app.server.on('upgrade', ({ headers }) => seen.push(headers.authorization))
    const stream = new SynicdClient(url, { token: 't0' }).stream('p1', { WebSocket })
    streams.add(stream)
    await stream.opened
    expect(seen).toEqual(['Bearer t0'])
  })
})
