/** Clients that mean harm, at a server in a process of its own: it goes on, and forgets them. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bundled } from '../../scripts/bundled.js'
import { BIN_PROTOCOL, JSON_PROTOCOL } from '../../src/api/frames.js'
import {
  closeCode,
  pingFrame,
  rawSocket,
  textFrame,
  upgraded,
  upgradeRequest,
} from '../support/stream-raw.js'
import {
  complete,
  enableSynic,
  PROTOCOLS,
  post,
  SocketClient,
  type WireOp,
} from '../support/stream-socket.js'

const MEGABYTE = 1024 * 1024
const SERVER = await bundled('test/support/stream-process.ts')
/** What may remain of an attack, and what may be held while it lasts. */
const LEFT_BYTES = 20 * MEGABYTE
const HELD_BYTES = 64 * MEGABYTE

let child: ChildProcess
let address: string
let url: string
let bytesAtBegin: number

const raw = new Set<Socket>()
const clients = new Set<SocketClient>()

/** What the server holds, garbage aside. */
async function bytesHeld(): Promise<number> {
  child.send('bytes')
  const [{ bytes }] = (await once(child, 'message')) as [{ bytes: number }]
  return bytes
}

async function rest(path: string, body?: unknown): Promise<Response> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return fetch(`${address}${path}`, body === undefined ? {} : init)
}

/** Batch of one partition over REST: the server is there for others. */
async function answers(...ops: WireOp[]): Promise<void> {
  expect((await rest('/v1/partitions/p1/ops', { ops })).status).toBe(200)
}

async function openSockets(): Promise<string | undefined> {
  return /^synicd_stream_clients (\d+)$/m.exec(await (await rest('/metrics')).text())?.[1]
}

async function connected(
  protocol: (typeof PROTOCOLS)[number] = JSON_PROTOCOL,
  query = '',
): Promise<SocketClient> {
  const client = await SocketClient.connected(`${url}?${query}`, protocol)
  clients.add(client)
  return client
}

async function rawClient(protocol: string = JSON_PROTOCOL): Promise<Socket> {
  const socket = await upgraded(url, protocol)
  raw.add(socket)
  return socket
}

/** Sends until the server takes no more, or all of it is sent. */
async function push(socket: Socket, bytes: Buffer, times: number): Promise<void> {
  for (let sent = 0; sent < times && socket.writableLength < 4 * MEGABYTE; sent++) {
    socket.write(bytes)
    if (sent % 100 === 0) await sleep(0)
  }
}

/** Reads 1 MiB of guest memory. */
const READ = Array.from({ length: 16 }, (_, i) => ({ op: 'mem.read', gpa: 65_536 * i, len: 65_536 }))
const POST = post(0, 'ab'.repeat(240))
const FLOOD = Array.from({ length: 200 }, () => [complete(), POST]).flat()

beforeAll(async () => {
  child = fork(SERVER, { execArgv: ['--expose-gc'] })
  ;[{ address }] = (await once(child, 'message')) as [{ address: string }]
  url = `${address.replace('http', 'ws')}/v1/partitions/p1/stream`
  expect((await rest('/v1/partitions', { id: 'p1', profile: 'tlfs', vcpus: 2 })).status).toBe(201)
  await answers(...enableSynic(0))
  // Rings, logs and buffers grow to their bounds first.
  const client = await connected(BIN_PROTOCOL)
  for (let i = 0; i < 400; i++) await client.ask(...FLOOD)
  for (let i = 0; i < 10; i++) await client.ask(...Array(15).fill(READ).flat())
  client.socket.terminate()
})

afterAll(() => child.kill('SIGKILL'))

beforeEach(async () => {
  await expect.poll(openSockets).toBe('0')
  bytesAtBegin = await bytesHeld()
})

afterEach(async () => {
  for (const socket of raw) socket.destroy()
  for (const { socket } of clients) socket.terminate()
  raw.clear()
  clients.clear()
  await answers(POST, complete())
  await expect.poll(openSockets).toBe('0')
  expect((await bytesHeld()) - bytesAtBegin).toBeLessThan(LEFT_BYTES)
})

describe('a client that breaks off', () => {
  it('in the middle of a frame has asked for nothing', async () => {
    const witness = await connected()
    const { seq = 0 } = await witness.ask(complete())
    const whole = textFrame(JSON.stringify({ id: 1, ops: [POST] }))
    for (const length of [1, 2, 5, 20, whole.length - 1]) {
      const socket = await rawClient()
      socket.end(whole.subarray(0, length))
      await once(socket.resume(), 'close')
    }
    expect((await witness.ask(complete())).seq).toBe(seq + 1)
  })

  it('a thousand times, at every stage of the handshake and after it', async () => {
    const request = upgradeRequest(url, JSON_PROTOCOL)
    const stages: readonly (() => Promise<Socket>)[] = [
      () => rawSocket(url),
      async () => {
        const socket = await rawSocket(url)
        socket.write(request.slice(0, request.length / 2))
        return socket
      },
      async () => {
        const socket = await rawSocket(url)
        socket.write(request)
        return socket
      },
      () => upgraded(url, BIN_PROTOCOL),
      async () => {
        const socket = await upgraded(url, JSON_PROTOCOL)
        socket.write(textFrame('{"id":1,"ops":[{"op":"vcpu.halt","vcpu":1}]}'))
        return socket
      },
    ]
    for (let round = 0; round < 20; round++) {
      const sockets = await Promise.all(Array.from({ length: 50 }, (_, i) => stages[i % stages.length]()))
      for (const [i, socket] of sockets.entries()) {
        if (i % 2 === 0) socket.resetAndDestroy()
        else socket.destroy()
      }
    }
    await answers({ op: 'vcpu.kick', vcpu: 1, sticky: false })
  })
})

describe('a frame of 100 MB', () => {
  it('is refused when it is announced: 1009', async () => {
    const socket = await rawClient()
    socket.write(textFrame('', 100 * MEGABYTE))
    expect(await closeCode(socket)).toBe(1009)
  })

  it.each(PROTOCOLS)('is refused when it is sent, in %s: 1009', async (protocol) => {
    // Where the end overtakes its reason, it does so now and then.
    for (let i = 0; i < 5; i++) {
      const client = await connected(protocol)
      client.socket.send(Buffer.alloc(100 * MEGABYTE))
      expect((await client.closed)[0]).toBe(1009)
    }
  })
})

describe('a client that asks and does not read', () => {
  it.each([
    ['200,000 pings', pingFrame(125), 200_000],
    ['reads of 1 MiB', textFrame(JSON.stringify({ id: 1, ops: READ })), 2000],
    ['refusals', textFrame(JSON.stringify({ id: 1, ops: [{ op: 'apic.ack', vcpu: 9 }] })), 100_000],
  ])('%s: the server holds little for it, and others are served', async (_what, bytes, times) => {
    const socket = await rawClient()
    await push(socket, bytes, times)
    await sleep(300)
    expect((await bytesHeld()) - bytesAtBegin).toBeLessThan(HELD_BYTES)
    const witness = await connected()
    expect((await witness.ask(complete(), POST)).results).toHaveLength(2)
  })

  it.each(PROTOCOLS)('answers that wait for a wake, in %s', async (protocol) => {
    const client = await connected(protocol)
    for (let id = 0; id < 200; id++) client.send({ id, ops: [...READ, { op: 'vcpu.halt', vcpu: 1 }] })
    client.send({ id: 1000, ops: [] })
    await Promise.race([client.until(({ id }) => id === 1000), client.closed, sleep(3000)])
    const held = (await bytesHeld()) - bytesAtBegin
    await answers({ op: 'vcpu.kick', vcpu: 1, sticky: false })
    expect(held).toBeLessThan(HELD_BYTES)
  })

  it.each(PROTOCOLS)('a subscription to a million vCPUs, in %s', async (protocol) => {
    const client = await connected(protocol)
    const vcpus = Array.from({ length: 1_000_000 }, (_, vcpu) => vcpu)
    client.send({ id: 1, subscribe: { vcpus } })
    await Promise.race([client.until(({ id }) => id === 1), client.closed])
    expect((await bytesHeld()) - bytesAtBegin).toBeLessThan(LEFT_BYTES)
  })
})

describe('a slow reader', () => {
  it('gets a gap, and 4008 if it stops again; whoever reads gets everything', async () => {
    const slow = await connected()
    const quick = await connected(BIN_PROTOCOL)
    const harness = await connected(JSON_PROTOCOL, 'kinds=')
    const flood = async () => {
      for (let i = 0; i < 80; i++) await harness.ask(...FLOOD)
    }
    slow.socket.pause()
    await flood()
    slow.socket.resume()
    const { gap } = await slow.until((frame) => frame.gap !== undefined)
    expect(gap?.from).toBe((slow.numbers.at(-1) ?? 0) + 1)
    slow.socket.pause()
    await flood()
    // By then it has been behind for longer than the server bears with.
    await sleep(4300)
    slow.socket.resume()
    expect(await slow.closed).toEqual([4008, 'the reader is too slow'])
    await harness.ask(complete())
    const lastN = (await connected()).frames[0].hello?.n ?? 0
    await quick.until(({ n }) => n === lastN)
    const first = (quick.frames[0].hello?.n ?? 0) + 1
    expect(quick.numbers).toEqual(Array.from({ length: lastN + 1 - first }, (_, i) => first + i))
  })
})
