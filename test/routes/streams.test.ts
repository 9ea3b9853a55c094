/** The stream on real sockets: order, filters, resumption, close codes, readers that stop. */
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { buildApp } from '../../src/app.js'
import { Service } from '../../src/engine/service.js'
import type { SessionLimits } from '../../src/streams/session.js'
import { Health } from '../../src/telemetry/health.js'
import { createMetrics } from '../../src/telemetry/metrics.js'

type Frame = Record<string, unknown> & { n?: number; kind?: string }

let app: FastifyInstance
const sockets = new Set<WebSocket>()

afterEach(async () => {
  for (const socket of sockets) socket.terminate()
  sockets.clear()
  await app.close()
})

async function server(stream: Partial<SessionLimits> = {}, streamRing = 65_536) {
  const service = new Service({ streamRing })
  const metrics = createMetrics(service)
  app = await buildApp({ service, metrics, health: new Health(), stream })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const host = service.create({ id: 'p1', profile: 'tlfs', vcpus: 2 })
  for (const vcpu of [0, 1]) {
    const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu, msr, value })
    host.applyBatch([write('SIMP', 0x10001 + vcpu * 4096), write('SINT2', 0xf3), write('SCONTROL', 1)])
  }
  return { service, host, metrics, url: `${address.replace('http', 'ws')}/v1/partitions` }
}

/** A client that keeps every frame. */
class Client {
  readonly frames: Frame[] = []
  readonly socket: WebSocket
  constructor(url: string) {
    this.socket = new WebSocket(url, 'synic.v1.json')
    sockets.add(this.socket)
    this.socket.on('message', (data) => this.frames.push(JSON.parse(data.toString())))
  }

  send(frame: unknown): void {
    this.socket.send(JSON.stringify(frame))
  }

  /** Waits until a frame is there that fits. */
  async until(fits: (frame: Frame) => boolean): Promise<Frame> {
    await expect.poll(() => this.frames.some(fits), { interval: 5 }).toBe(true)
    return this.frames.find(fits) as Frame
  }

  async closed(): Promise<number> {
    return (await once(this.socket, 'close'))[0] as number
  }
}

async function connected(url: string): Promise<Client> {
  const client = new Client(url)
  await client.until((frame) => 'hello' in frame)
  return client
}

const post = (vcpu = 0, hex = '0a') => ({ op: 'message.post', vcpu, sint: 2, type: 1, sender: '0x7', hex })

describe('the stream', () => {
  it('tells a message as it stands in its slot, the interrupt, and the answer, in order', async () => {
    const { url } = await server()
    const client = await connected(`${url}/p1/stream`)
    client.send({ id: 7, ops: [post(0, '0a0b')] })
    await client.until((frame) => frame.id === 7)
    const [hello, message, interrupt, answer] = client.frames
    expect(hello).toMatchObject({ hello: { partition: 'p1', protocol: 'synic.v1.json' } })
    const n = (hello.hello as { n: number }).n
    expect(message).toEqual({
      n: n + 1,
      seq: 9,
      t: 0,
      kind: 'message',
      vcpu: 0,
      sint: 2,
      source: 'message',
      type: '0x1',
      sender: '0x7',
      hex: '0a0b',
      pending: false,
    })
    expect(interrupt).toMatchObject({ n: n + 2, kind: 'interrupt', vcpu: 0, sint: 2, vector: 0xf3 })
    expect(answer).toMatchObject({ id: 7, seq: 9, results: [{ ok: true, delivery: 'delivered' }] })
  })

  it('lets a guest take, complete and end on the same socket, and brings it what waited', async () => {
    const { url, host } = await server()
    const guest = await connected(`${url}/p1/stream?vcpus=0&kinds=message,eom,eoi&actor=vmbus`)
    host.applyBatch([post(0, '01'), post(0, '02'), post(1, 'ff')])
    await guest.until((frame) => frame.hex === '01')
    guest.send({
      id: 1,
      ops: [
        { op: 'apic.ack', vcpu: 0 },
        { op: 'message.complete', vcpu: 0, sint: 2 },
      ],
    })
    await guest.until((frame) => frame.hex === '02')
    guest.send({ id: 2, ops: [{ op: 'apic.eoi', vcpu: 0 }] })
    await guest.until((frame) => frame.kind === 'eoi')
    expect(guest.frames.map((frame) => frame.kind).filter(Boolean)).toEqual([
      'message',
      'eom',
      'message',
      'eoi',
    ])
  })

  it('numbers without holes, and resumes where a client left', async () => {
    const { url, host } = await server()
    const first = await connected(`${url}/p1/stream`)
    host.applyBatch([post(0), post(1)])
    const { n } = await first.until((frame) => frame.kind === 'interrupt' && frame.vcpu === 0)
    first.socket.terminate()
    for (let i = 0; i < 5; i++) host.applyBatch([{ op: 'message.complete', vcpu: 0, sint: 2 }, post(0)])
    const second = await connected(`${url}/p1/stream?since=${n}`)
    await second.until((frame) => frame.n === host.notifications.lastN)
    const numbers = second.frames.flatMap((frame) => frame.n ?? [])
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => (n as number) + 1 + i))
  })

  it('tells what the ring has lost', async () => {
    const { url, host } = await server({}, 4)
    const early = await connected(`${url}/p1/stream`)
    for (let i = 0; i < 20; i++) host.applyBatch([{ op: 'message.complete', vcpu: 0, sint: 2 }, post(0)])
    await early.until((frame) => frame.n === host.notifications.lastN)
    const { lastN, firstN } = host.notifications
    const late = await connected(`${url}/p1/stream?since=1`)
    await late.until((frame) => frame.n === lastN)
    expect(late.frames[1]).toEqual({ gap: { from: 2, to: firstN - 1 } })
    expect(lastN - firstN).toBeLessThan(8)
  })

  it.each([
    ['an unknown partition', 'nobody/stream', 4004],
    ['an unknown kind', 'p1/stream?kinds=gossip', 4000],
    ['a vCPU that is no number', 'p1/stream?vcpus=x', 4000],
    ['an unknown parameter', 'p1/stream?speed=9', 4000],
  ])('closes on %s', async (_why, path, code) => {
    const { url } = await server()
    expect(await new Client(`${url}/${path}`).closed()).toBe(code)
  })

  it('closes on a bad frame, a binary one, the end of the partition, and the end of the server', async () => {
    const { url, service } = await server()
    const all = await Promise.all([0, 1, 2].map(() => connected(`${url}/p1/stream`)))
    const other = service.create({ id: 'p2' })
    const last = await connected(`${url}/p2/stream`)
    const codes = [...all, last].map((client) => client.closed())
    all[0].socket.send('{')
    all[1].socket.send(Buffer.of(1, 2))
    await Promise.all(codes.slice(0, 2))
    service.delete('p1')
    await codes[2]
    await app.close()
    expect(await Promise.all(codes)).toEqual([4000, 4000, 4010, 1001])
    expect(other.notifications.lastN).toBe(1)
  })

  it('answers a batch with a mistake by a problem that names the field, and goes on', async () => {
    const { url } = await server()
    const client = await connected(`${url}/p1/stream`)
    client.send({ id: 1, ops: [post(0), post(9)] })
    client.send({ id: 2, ops: [{ op: 'apic.ack', vcpu: 0 }] })
    await client.until((frame) => frame.id === 2)
    expect(client.frames[1]).toMatchObject({ id: 1, problem: { errors: [{ path: 'ops/1/vcpu' }] } })
    expect(client.frames[2]).toMatchObject({ id: 2, results: [{ vector: -1 }] })
  })

  it('measures how long a delivery took to a socket, by kind', async () => {
    const { url, host, service } = await server()
    const client = await connected(`${url}/p1/stream`)
    host.applyBatch([
      post(0),
      { op: 'gsi.route', entries: [{ gsi: 5, vcpu: 1, sint: 2 }] },
      { op: 'gsi.assert', gsi: 5 },
    ])
    await client.until((frame) => frame.kind === 'interrupt' && frame.vcpu === 1)
    const seen = ['message', 'event', 'gsi', 'timer'].map((_, kind) =>
      service.meter.series(1, kind).counts.at(-1),
    )
    expect(seen).toEqual([1, 0, 1, 0])
  })

  it('cuts off a reader that stops; the partition and the others go on', async () => {
    const { url, host, metrics } = await server({ budgetBytes: 1024 * 1024, cutBytes: 1e9, cutMs: 400 })
    const slow = await connected(`${url}/p1/stream`)
    const quick = await connected(`${url}/p1/stream`)
    const ended = slow.closed()
    slow.socket.pause()
    const big = 'ab'.repeat(240)
    const start = host.notifications.lastN
    for (let i = 0; i < 20_000; i++) {
      host.applyBatch([{ op: 'message.complete', vcpu: 0, sint: 2 }, post(0, big)])
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await quick.until((frame) => frame.n === host.notifications.lastN || 'gap' in frame)
    await expect.poll(() => metrics.streamMeter.clients).toBe(2)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    slow.socket.resume()
    expect(await ended).toBe(4008)
    const seen = slow.frames.flatMap((frame) => frame.n ?? [])
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => start + 1 + i))
    await expect.poll(() => metrics.streamMeter.dropped).toBeGreaterThan(0)
  })
})
