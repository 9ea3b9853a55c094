/** What the stream promises each client, on real sockets in either protocol: names, close codes, filters. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { BIN_PROTOCOL, type Filter, JSON_PROTOCOL } from '../../src/api/frames.js'
import { batch } from '../support/stream-records.js'
import {
  complete,
  enableSynic,
  type Frame,
  PROTOCOLS,
  pageOf,
  post,
  SocketClient,
  type StreamServer,
  streamServer,
  type WireOp,
} from '../support/stream-socket.js'

let server: StreamServer
const clients: SocketClient[] = []

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate()
  await server.app.close()
})

async function join(query = '', protocol: (typeof PROTOCOLS)[number] = JSON_PROTOCOL): Promise<SocketClient> {
  const client = await SocketClient.connected(`${server.url}?${query}`, protocol)
  clients.push(client)
  return client
}

/** Two partitions made in the same millisecond could not be told apart. */
async function waitForTheNextMs(createdAt: string): Promise<void> {
  while (Date.now() <= Date.parse(createdAt)) await sleep(1)
}

describe('a subprotocol', () => {
  it.each([
    ['JSON', [JSON_PROTOCOL], JSON_PROTOCOL],
    ['binary', [BIN_PROTOCOL], BIN_PROTOCOL],
    ['both, JSON first', [JSON_PROTOCOL, BIN_PROTOCOL], JSON_PROTOCOL],
    ['both, binary first', [BIN_PROTOCOL, JSON_PROTOCOL], JSON_PROTOCOL],
    ['one that is not ours, then ours', ['chat', BIN_PROTOCOL], BIN_PROTOCOL],
    ['none', [], ''],
  ])('is chosen where the client offers %s', async (_what, offered, chosen) => {
    server = await streamServer()
    const socket = new WebSocket(server.url, offered)
    const [data, isBinary] = await once(socket, 'message')
    expect([socket.protocol, isBinary]).toEqual([chosen, chosen === BIN_PROTOCOL])
    if (!isBinary) expect(JSON.parse(String(data)).hello.protocol).toBe(JSON_PROTOCOL)
    socket.terminate()
  })

  it('that is not ours is not taken up', async () => {
    server = await streamServer()
    const socket = new WebSocket(server.url, ['chat'])
    const [error] = await once(socket, 'error')
    expect(error.message).toBe('Server sent no subprotocol')
    await expect.poll(() => server.meter.clients).toBe(0)
  })
})

const BAD_TEXTS: readonly [why: string, text: string][] = [
  ['no JSON', '{'],
  ['nothing', ''],
  ['a number', '7'],
  ['an array', '[]'],
  ['no id', '{"ops":[]}'],
  ['a negative id', '{"id":-1,"ops":[]}'],
  ['neither ops nor a subscription', '{"id":1}'],
  ['both', '{"id":1,"ops":[],"subscribe":{}}'],
  ['ops that are no list', '{"id":1,"ops":{}}'],
  ['a member too many', '{"id":1,"ops":[],"more":1}'],
  ['a filter of unknown kinds', '{"id":1,"subscribe":{"kinds":["gossip"]}}'],
  ['a filter of vCPUs that are no numbers', '{"id":1,"subscribe":{"vcpus":["0"]}}'],
]
const bytes = (words: readonly number[]) => new Uint8Array(Int32Array.from(words).buffer)
const BAD_BYTES: readonly [why: string, data: string | Uint8Array][] = [
  ['text', '{"id":1,"ops":[]}'],
  ['half a word', Uint8Array.of(1, 2)],
  ['no record', bytes([1])],
  ['an unknown record', bytes([0x7f, 2])],
  ['a length that lies', bytes([0x80, 400, 1, 0])],
  ['a count that lies', bytes([0x80, 4, 1, 9])],
]

describe('close code', () => {
  it.each<[string, (typeof PROTOCOLS)[number], string | Uint8Array]>([
    ...BAD_TEXTS.map(([why, data]): [string, typeof JSON_PROTOCOL, string] => [why, JSON_PROTOCOL, data]),
    ['binary', JSON_PROTOCOL, bytes(batch())],
    ...BAD_BYTES.map(
      ([why, data]) => [why, BIN_PROTOCOL, data] as [string, typeof BIN_PROTOCOL, typeof data],
    ),
  ])('4000 with a reason for %s in %s; nothing behind it is applied', async (_why, protocol, data) => {
    server = await streamServer()
    const client = await join('', protocol)
    const { seq } = server.host.partition
    client.socket.send(data)
    client.send({ id: 2, ops: [post()] })
    const [code, reason] = await client.closed
    expect([code, reason]).toEqual([4000, expect.stringMatching(/\w/)])
    await expect.poll(() => server.meter.clients).toBe(0)
    expect(server.host.partition.seq).toBe(seq)
  })

  it.each([
    ['an unknown kind', 'kinds=gossip'],
    ['a vCPU that is no number', 'vcpus=x'],
    ['a number below 0', 'since=-1'],
    ['an actor that is no name', 'actor=%20'],
    ['a time that is none', 'since=1&created_at=yesterday', 'created_at must be a time in UTC'],
    ['no time', 'since=1&created_at=', 'created_at must be a time in UTC'],
    ['an unknown parameter', 'speed=9'],
    ['a parameter twice', 'since=1&since=2'],
    ['an unknown parameter in another script', `${encodeURIComponent('скорость'.repeat(16))}=9`, '????'],
  ])('4000 for a query with %s', async (_why, query, reason = ' must be ') => {
    server = await streamServer()
    const client = new SocketClient(`${server.url}?${query}`)
    expect(await client.closed).toEqual([4000, expect.stringContaining(reason)])
  })

  it('1007 for text that is no UTF-8', async () => {
    server = await streamServer()
    const client = await join()
    client.socket.send(Buffer.of(0x22, 0xff, 0x22), { binary: false })
    expect((await client.closed)[0]).toBe(1007)
  })

  it.each(PROTOCOLS)('4004, 4010 and 1001 in %s', async (protocol) => {
    server = await streamServer()
    const { service, partitions, app } = server
    service.create({ id: 'p2' })
    const nobody = new SocketClient(`${partitions}/nobody/stream`, protocol)
    const first = await join('', protocol)
    const second = await SocketClient.connected(`${partitions}/p2/stream`, protocol)
    expect(await nobody.closed).toEqual([4004, 'no such partition'])
    service.delete('p1')
    expect(await first.closed).toEqual([4010, 'partition deleted'])
    await app.close()
    expect(await second.closed).toEqual([1001, 'the server is going away'])
  })

  it.each(PROTOCOLS)(
    '4008 in %s for who leaves too much unread; a gap for who catches up',
    async (protocol) => {
      server = await streamServer({ limits: { budgetBytes: 256 * 1024, cutBytes: 1e9, cutMs: 1e9 } })
      const { host } = server
      const slow = await join('', protocol)
      const start = host.notifications.lastN
      slow.socket.pause()
      const post240 = post(0, 'ab'.repeat(240))
      const flood = async (until: () => boolean) => {
        while (!until()) {
          host.applyBatch(Array.from({ length: 200 }, () => [complete(), post240]).flat())
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      let blocks = 0
      await flood(() => ++blocks > 120)
      slow.socket.resume()
      const { gap } = await slow.until((frame) => frame.gap !== undefined)
      const before = slow.numbers.length
      expect(slow.numbers).toEqual(Array.from({ length: before }, (_, i) => start + 1 + i))
      expect(gap).toEqual({ from: start + 1 + before, to: host.notifications.lastN })
      host.applyBatch([complete(), post()])
      await slow.until(({ n, kind }) => kind !== undefined && n === host.notifications.lastN)
      slow.socket.terminate()
      await expect.poll(() => server.meter.dropped).toBe((gap?.to ?? 0) - (gap?.from ?? 0) + 1)
    },
  )

  it('4010 ends a stream for good: what the client sends then makes no vCPUs', async () => {
    server = await streamServer()
    const { service } = server
    const client = await join()
    client.socket.pause()
    service.delete('p1')
    client.send({ id: 1, ops: [{ op: 'vcpu.create', vcpu: 7 }] })
    await new Promise<void>((resolve) => client.socket.ping('', true, () => resolve()))
    client.socket.resume()
    expect((await client.closed)[0]).toBe(4010)
    expect(service.vcpuCount).toBe(0)
  })
})

const setUp: readonly WireOp[] = [
  post(0),
  post(1),
  complete(0),
  { op: 'apic.ack', vcpu: 1 },
  { op: 'apic.eoi', vcpu: 1 },
  { op: 'partition.pause' },
  { op: 'partition.resume' },
]
const FILTERS: readonly [what: string, filter: Filter, seen: readonly string[]][] = [
  [
    'everything',
    {},
    ['message 0', 'interrupt 0', 'message 1', 'interrupt 1', 'eoi 1', 'lifecycle', 'lifecycle'],
  ],
  ['a kind', { kinds: ['message'] }, ['message 0', 'message 1']],
  ['kinds', { kinds: ['message', 'eoi'] }, ['message 0', 'message 1', 'eoi 1']],
  [
    'a vCPU, and what concerns them all',
    { vcpus: [0] },
    ['message 0', 'interrupt 0', 'lifecycle', 'lifecycle'],
  ],
  ['a kind of a vCPU', { kinds: ['message'], vcpus: [1] }, ['message 1']],
  ['no kinds', { kinds: [] }, []],
  ['no vCPUs', { vcpus: [] }, ['lifecycle', 'lifecycle']],
  ['vCPUs that do not exist', { kinds: ['message'], vcpus: [7, 4_294_967_295] }, []],
]
const line = ({ kind, vcpu }: Frame) => (vcpu === undefined ? kind : `${kind} ${vcpu}`)
const told = ({ frames }: SocketClient) => frames.filter(({ kind }) => kind !== undefined).map(line)

describe.each(PROTOCOLS)('a filter in %s', (protocol) => {
  it.each(FILTERS)('for %s in the query', async (_what, filter, seen) => {
    server = await streamServer()
    const query = Object.entries(filter).map(([key, list]) => `${key}=${list?.join()}`)
    const client = await join(query.join('&'), protocol)
    const other = await join()
    await other.ask(...setUp)
    await client.ask()
    expect(told(client)).toEqual(seen)
  })

  it.each(FILTERS)('for %s by subscription', async (_what, filter, seen) => {
    server = await streamServer()
    const [client, other] = [await join('kinds=fault', protocol), await join()]
    client.send({ id: 8, subscribe: filter })
    const { n } = await client.until(({ id }) => id === 8)
    expect(n).toBe(server.host.notifications.lastN)
    await other.ask(...setUp)
    await client.ask()
    expect(told(client)).toEqual(seen)
  })
})

describe.each(PROTOCOLS)('who comes back in %s', (protocol) => {
  it.each([
    ['nothing, with the newest number', 0, 0],
    ['the last', 1, 1],
    ['all since', 6, 6],
  ])('is told %s', async (_what, back, count) => {
    server = await streamServer()
    const early = await join()
    await early.ask(...setUp)
    const { lastN } = server.host.notifications
    const late = await join(`since=${lastN - back}`, protocol)
    await late.ask()
    const { created_at } = (await server.app.inject('/v1/partitions/p1')).json()
    expect(late.frames[0].hello).toEqual({ partition: 'p1', created_at, n: lastN, protocol })
    expect(late.numbers).toEqual(Array.from({ length: count }, (_, i) => lastN - back + 1 + i))
  })

  it('is told what its filter lets through, and what the ring has lost', async () => {
    server = await streamServer({ streamRing: 8 })
    const early = await join()
    for (let i = 0; i < 20; i++) await early.ask(complete(), post())
    const { lastN, firstN } = server.host.notifications
    const late = await join('since=3&kinds=message', protocol)
    await late.ask()
    expect(late.frames[1]).toEqual({ gap: { from: 4, to: firstN - 1 } })
    const kept = early.frames.filter(({ kind, n = 0 }) => kind === 'message' && n >= firstN)
    expect(late.frames.slice(2, -1)).toEqual(kept)
    expect(firstN).toBeLessThan(lastN)
  })

  it.each([
    ['all that it kept', 65_536],
    ['a gap for what its ring has lost', 4],
  ])('to another partition of the same id is told %s', async (_what, streamRing) => {
    server = await streamServer({ streamRing })
    const early = await join()
    await early.ask(...setUp)
    const { lastN } = server.host.notifications
    const { created_at = '' } = early.frames[0].hello ?? {}
    server.service.delete('p1')
    await waitForTheNextMs(created_at)
    const host = server.service.create({ id: 'p1', profile: 'tlfs', vcpus: 2 })
    host.applyBatch([0, 1].flatMap(enableSynic))
    const other = await join()
    for (let i = 0; i < 20; i++) await other.ask(...setUp)
    const { lastN: newest, firstN } = host.notifications
    expect(newest).toBeGreaterThan(lastN)
    const late = await join(`since=${lastN}&created_at=${created_at}`, protocol)
    await late.ask()
    expect(late.frames[0].hello).toMatchObject({ created_at: host.createdAt.toISOString(), n: newest })
    expect(firstN).toBeGreaterThan(1)
    expect(late.frames[1]).toEqual({ gap: { from: 1, to: firstN - 1 } })
    expect(late.numbers).toEqual(Array.from({ length: newest - firstN + 1 }, (_, i) => firstN + i))
    const same = await join(`since=${newest - 2}&created_at=${host.createdAt.getTime()}`, protocol)
    await same.ask()
    expect(same.numbers).toEqual([newest - 1, newest])
    const without = await join(`created_at=${created_at}`, protocol)
    await without.ask()
    expect(without.numbers).toEqual([])
  })

  it('to more than its budget gets the rest as a gap, and is not cut off for it', async () => {
    // Less than it gathers before it writes would have the server wait for its clock between two pieces.
    server = await streamServer({ limits: { budgetBytes: 512 * 1024, cutBytes: 2 * 1024 * 1024 } })
    const { host, url } = server
    const early = await join()
    const posts = Array.from({ length: 200 }, () => [complete(), post(0, 'ab'.repeat(240))]).flat()
    for (let i = 0; i < 120; i++) await early.ask(...posts)
    const { lastN } = host.notifications
    const late = new SocketClient(`${url}?since=0`, protocol)
    clients.push(late)
    // As long as the server looks at it once: any network is slow for a moment.
    await once(late.socket, 'open')
    late.socket.pause()
    await sleep(400)
    late.socket.resume()
    const isLast = ({ n, kind, gap }: Frame) => gap?.to === lastN || (kind !== undefined && n === lastN)
    await late.until(isLast)
    expect(await Promise.race([late.ask(), late.closed])).toMatchObject({ results: [] })
  })

  it('is answered behind all that there was to tell, however long that takes to read', async () => {
    server = await streamServer({ limits: { budgetBytes: 64 * 1024 } })
    const early = await join()
    const posts = Array.from({ length: 200 }, () => [complete(), post(0, 'ab'.repeat(240))]).flat()
    for (let i = 0; i < 10; i++) await early.ask(...posts)
    const { lastN } = server.host.notifications
    for (const request of [{ ops: [] }, { subscribe: { kinds: ['eoi' as const] } }]) {
      const late = await join('since=0', protocol)
      late.send({ id: 99, ...request })
      await late.until(({ id }) => id === 99)
      expect(late.numbers).toEqual(
        Array.from({ length: lastN - late.numbers[0] + 1 }, (_, i) => late.numbers[0] + i),
      )
      expect(late.numbers.at(-1)).toBe(lastN)
      expect(late.frames.some(({ gap }) => gap !== undefined && gap.from > 20)).toBe(false)
    }
  })

  it('from the future is told what comes', async () => {
    server = await streamServer()
    const late = await join('since=1000000', protocol)
    await late.ask(post())
    expect(told(late)).toEqual(['message 0', 'interrupt 0'])
  })
})

/** A guest frees its slot as a driver does: the message type first, then EOM. */
const byHand: readonly WireOp[] = [
  { op: 'mem.write', gpa: pageOf(0) + 2 * 256, hex: '00000000' },
  { op: 'msr.write', vcpu: 0, msr: 'EOM', value: 0 },
]

describe.each(PROTOCOLS)('a guest in %s acknowledges on its socket', (protocol) => {
  it.each([
    ['by message.complete', [complete()]],
    ['by a write to EOM', byHand],
  ])('%s, and is brought what waited; then by apic.eoi', async (_how, free) => {
    server = await streamServer()
    const guest = await join('vcpus=0&kinds=message,interrupt,eom,eoi', protocol)
    server.host.applyBatch([post(0, '01'), post(0, '02'), post(1, 'ff')])
    await guest.until(({ kind }) => kind === 'interrupt')
    await guest.ask({ op: 'apic.ack', vcpu: 0 }, ...free)
    const ended = await guest.ask({ op: 'apic.eoi', vcpu: 0 })
    expect(ended.results).toEqual([expect.objectContaining({ ok: true })])
    const told = guest.frames.flatMap(({ kind, hex }) => (kind === undefined ? [] : [hex ?? kind]))
    expect(told).toEqual(['01', 'interrupt', 'eom', '02', 'interrupt', 'eoi'])
  })
})

describe('an actor', () => {
  it('is that of its connection, where an op names none', async () => {
    server = await streamServer()
    const write: WireOp = { op: 'msr.write', vcpu: 0, msr: 'SINT5', value: 0x55 }
    const [vmbus, mshv, nobody] = [
      await join('actor=vmbus'),
      await join('actor=mshv', BIN_PROTOCOL),
      await join('', BIN_PROTOCOL),
    ]
    await vmbus.ask(write, { ...write, actor: 'firmware' })
    await mshv.ask(write, { ...write, actor: 'firmware' })
    await nobody.ask(write)
    const log = await server.app.inject('/v1/partitions/p1/log')
    const lines = log.body.trim().split('\n').slice(-5)
    const actors = lines.map((text) => /"actor":"([^"]*)"/.exec(text)?.[1])
    expect(actors).toEqual(['vmbus', 'firmware', 'mshv', 'firmware', undefined])
  })
})
