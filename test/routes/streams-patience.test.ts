/** How long a stream waits for whom, by its own defaults: pings, the send budget, the end of patience. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { BinCodec } from '../../src/api/bin-codec.js'
import { BIN_PROTOCOL } from '../../src/api/frames.js'
import { binaryFrame, upgraded } from '../support/stream-raw.js'
import {
  complete,
  PROTOCOLS,
  post,
  SocketClient,
  type StreamServer,
  streamServer,
} from '../support/stream-socket.js'

const MEGABYTE = 1024 * 1024
const BUDGET_BYTES = 4 * MEGABYTE
/** What one turn of the flood below adds, and more. */
const TURN_BYTES = MEGABYTE

let server: StreamServer
const sockets: WebSocket[] = []

beforeEach(async () => {
  // The server's clock alone: sockets are real, and so is what they wait for.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  server = await streamServer()
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate()
  await server.app.close()
  vi.useRealTimers()
})

async function join(protocol?: (typeof PROTOCOLS)[number]): Promise<SocketClient> {
  const client = await SocketClient.connected(server.url, protocol)
  sockets.push(client.socket)
  return client
}

describe('a reader that takes everything at once', () => {
  it('gets a replay beyond the budget without waiting for the clock, which stands still here', async () => {
    await server.app.close()
    // As much as a kernel takes at once.
    const budgetBytes = 64 * 1024
    server = await streamServer({ limits: { budgetBytes } })
    const { host } = server
    host.notifications.listen(() => {})
    const cycles = Array.from({ length: 500 }, () => [post(0, '5a'.repeat(240)), complete()]).flat()
    for (let i = 0; i < 4; i++) host.applyBatch(cycles)
    let bytes = 0
    const client = await SocketClient.connected(`${server.url}?since=0`)
    sockets.push(client.socket)
    client.socket.on('message', (data: Buffer) => {
      bytes += data.length
    })
    await client.until(({ n }) => n === host.notifications.lastN)
    expect(bytes).toBeGreaterThan(10 * budgetBytes)
  })
})

describe('a silent client', () => {
  it('is pinged every 15 s, and kept as long as it answers', async () => {
    const client = await join()
    let pings = 0
    client.socket.on('ping', () => pings++)
    const seen: number[] = []
    for (let i = 0; i < 8; i++) {
      vi.advanceTimersByTime(7500)
      await client.ask()
      seen.push(pings)
    }
    expect(seen).toEqual([0, 1, 1, 2, 2, 3, 3, 4])
  })

  it('is alive as long as it sends anything, though its pongs may stand far behind', async () => {
    const socket = new WebSocket(server.url, { autoPong: false })
    sockets.push(socket)
    await once(socket, 'message')
    for (let i = 0; i < 6; i++) {
      socket.send('{"id":1,"ops":[]}')
      await once(socket, 'message')
      vi.advanceTimersByTime(15_000)
    }
    expect(server.meter.clients).toBe(1)
  })

  it('is alive as long as it reads, when it is not read from and its pongs cannot be seen', async () => {
    const connection = once(server.app.server, 'connection') as Promise<[Socket]>
    const socket = new WebSocket(server.url, { autoPong: false })
    sockets.push(socket)
    const [raw] = await connection
    await once(socket, 'message')
    for (let id = 1; id <= 600; id++) {
      socket.send(JSON.stringify({ id, ops: [{ op: 'mem.read', gpa: 0, len: 0x1_0000 }] }))
    }
    await once(socket, 'message')
    socket.pause()
    await expect.poll(() => raw.isPaused()).toBe(true)
    const readBytes = () => raw.bytesWritten - raw.writableLength
    for (let i = 0; i < 4; i++) {
      const before = readBytes()
      socket.resume()
      await expect.poll(readBytes, { interval: 1 }).toBeGreaterThan(before)
      socket.pause()
      await expect.poll(() => raw.isPaused()).toBe(true)
      vi.advanceTimersByTime(15_000)
      expect(server.meter.clients).toBe(1)
    }
  })

  it('is dropped if it has not answered by the next ping', async () => {
    const socket = new WebSocket(server.url, { autoPong: false })
    sockets.push(socket)
    await once(socket, 'message')
    const closed = once(socket, 'close')
    const pinged = once(socket, 'ping')
    vi.advanceTimersByTime(15_000)
    await pinged
    vi.advanceTimersByTime(14_000)
    expect(server.meter.clients).toBe(1)
    vi.advanceTimersByTime(1000)
    expect((await closed)[0]).toBe(1006)
    await expect.poll(() => server.meter.clients).toBe(0)
  })
})

describe.each(PROTOCOLS)('a reader that stops, in %s,', (protocol) => {
  /** Messages, turn by turn; tells the most that was kept for the reader. */
  async function flood(raw: Socket, isEnough: (keptBytes: number, turn: number) => boolean): Promise<number> {
    const batch = Array.from({ length: 200 }, () => [complete(), post(0, 'ab'.repeat(240))]).flat()
    let kept = 0
    for (let turn = 0; !isEnough(kept, turn); turn++) {
      server.host.applyBatch(batch)
      await new Promise((resolve) => setImmediate(resolve))
      kept = Math.max(kept, raw.writableLength)
    }
    return kept
  }
  /** More than the budget and what the kernel may take. */
  const everything = (_kept: number, turn: number) => turn === 250

  it('is kept 4 MiB for, and told a gap; 30 s later it is cut off with 4008', async () => {
    const connection = once(server.app.server, 'connection') as Promise<[Socket]>
    const client = await join(protocol)
    const [raw] = await connection
    const start = server.host.notifications.lastN
    client.socket.pause()
    const kept = await flood(raw, everything)
    expect(kept).toBeGreaterThan(BUDGET_BYTES)
    expect(kept).toBeLessThan(BUDGET_BYTES + TURN_BYTES)
    // Counted while it happens, not when the client leaves.
    vi.advanceTimersByTime(250)
    expect(server.meter.clients).toBe(1)
    expect(server.meter.dropped).toBeGreaterThan(0)

    client.socket.resume()
    const { gap } = await client.until((frame) => frame.gap !== undefined)
    const told = client.numbers.length
    expect(client.numbers).toEqual(Array.from({ length: told }, (_, i) => start + 1 + i))
    expect(gap?.from).toBe(start + told + 1)

    client.socket.pause()
    await flood(raw, everything)
    vi.advanceTimersByTime(29_000)
    expect(server.meter.clients).toBe(1)
    vi.advanceTimersByTime(2000)
    client.socket.resume()
    expect((await client.closed)[0]).toBe(4008)
  })

  it('without having much to read is not taken for dead, and cut off at the third ping', async () => {
    const connection = once(server.app.server, 'connection') as Promise<[Socket]>
    const client = await join(protocol)
    const [raw] = await connection
    client.socket.pause()
    await flood(raw, (kept) => kept > 0)
    vi.advanceTimersByTime(30_000)
    expect(server.meter.clients).toBe(1)
    vi.advanceTimersByTime(15_000)
    client.socket.resume()
    expect((await client.closed)[0]).toBe(4008)
  })
})

describe('a client that has ended its side', () => {
  it('is waited for while it reads, and cut off at the third ping if it does not', async () => {
    await server.app.close()
    server = await streamServer({ limits: { budgetBytes: 64 * MEGABYTE, cutBytes: 64 * MEGABYTE } })
    const connection = once(server.app.server, 'connection') as Promise<[Socket]>
    const client = await upgraded(server.url, BIN_PROTOCOL)
    const [raw] = await connection
    const ops = Array.from({ length: 100 }, () => ({ op: 'mem.read', gpa: 0, len: 65_536 }) as const)
    const ask = (id: number) => binaryFrame(new BinCodec().encodeOps(id, ops, false))
    client.end(Buffer.concat([ask(1), ask(2)]))
    await expect.poll(() => raw.writableEnded && raw.writableLength > 0).toBe(true)
    const { writableLength } = raw
    vi.advanceTimersByTime(30_000)
    while (raw.writableLength === writableLength) {
      client.read()
      await turn()
    }
    vi.advanceTimersByTime(30_000)
    expect([server.meter.clients, raw.writableLength > 0]).toEqual([1, true])
    vi.advanceTimersByTime(15_000)
    await expect.poll(() => server.meter.clients).toBe(0)
    client.destroy()
  })
})

describe('a message of many batches', () => {
  it('holds no more answers than one may leave unread, and all of them come in order', async () => {
    const BATCHES = 24
    const client = await join(BIN_PROTOCOL)
    const ops = Array.from({ length: 32 }, () => ({ op: 'mem.read', gpa: 0, len: 65_536 }))
    const batches = Array.from({ length: BATCHES }, (_, id) => client.encode({ id, ops }) as Uint8Array)
    const { partition } = server.host
    const before = partition.seq
    client.socket.pause()
    client.socket.send(Buffer.concat(batches))
    client.send({ id: BATCHES, ops: [] })
    await expect.poll(() => partition.seq).toBeGreaterThan(before)
    // What is asked behind it has been applied once this has, if it is going to be.
    const other = await join()
    await other.ask()
    // Two megabytes each: some are with the kernel, and of what may lie here the last is whole.
    expect(partition.seq - before).toBeLessThan(BATCHES * ops.length)
    client.socket.resume()
    const answered = () => client.frames.flatMap(({ id }) => (id === undefined ? [] : [id]))
    await expect.poll(answered).toEqual(Array.from({ length: BATCHES + 1 }, (_, id) => id))
  })
})
