/** How a client may cut its messages, and where a frame goes wrong: on real sockets, whoever reads it. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { JSON_PROTOCOL } from '../../src/api/frames.js'
import { JSON_PARTS_MAX } from '../../src/api/json-text.js'
import { closeCode, frameBytes, pingFrame, textFrame, upgraded } from '../support/stream-raw.js'
import { post, SocketClient, type StreamServer, streamServer } from '../support/stream-socket.js'

let server: StreamServer
const sockets: Socket[] = []

beforeEach(async () => {
  server = await streamServer()
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await server.app.close()
})

async function raw(): Promise<Socket> {
  const socket = await upgraded(server.url, JSON_PROTOCOL)
  sockets.push(socket)
  return socket
}

/** Asks for an op, so that each frame that is applied counts one. */
const asking = (id: number, pad = '') => JSON.stringify({ id, ops: [post(0, pad)] })
const MASK = [1, 2, 3, 4]
const part = (first: number, text: string) => frameBytes({ first, payload: Buffer.from(text), mask: MASK })
const CLOSE = frameBytes({ first: 0x88, payload: Buffer.from([0x03, 0xe8]), mask: MASK })

describe('a message in parts, with a ping between them', () => {
  it('is one message, and those before and behind it are answered in order', async () => {
    const client = await SocketClient.connected(server.url)
    const { socket } = client
    const text = asking(2)
    let pongs = 0
    socket.on('pong', () => pongs++)
    socket.send(asking(1))
    socket.send(text.slice(0, 9), { fin: false })
    socket.ping()
    socket.send(text.slice(9), { fin: true })
    socket.send(asking(3))
    await client.until(({ id }) => id === 3)
    expect(client.frames.map(({ id }) => id).filter((id) => id !== undefined)).toEqual([1, 2, 3])
    expect(pongs).toBe(1)
    socket.close(1000)
    expect((await client.closed)[0]).toBe(1000)
  })
})

describe('frames in one write', () => {
  it.each<[string, Buffer, number]>([
    ['a close frame', CLOSE, 1000],
    ['a reserved bit', part(0xc1, asking(2)), 1002],
    ['a frame that is not masked', frameBytes({ first: 0x81, payload: Buffer.from(asking(2)) }), 1002],
    ['text that is no UTF-8', part(0x81, 'x').fill(0xff, 6), 1007],
    ['a message nobody could hold', textFrame('', 1e9), 1009],
  ])('before %s are applied, those behind it are not', async (_what, wrong, code) => {
    const { partition } = server.host
    const { seq } = partition
    const socket = await raw()
    socket.write(Buffer.concat([part(0x81, asking(1)), pingFrame(3), wrong, part(0x81, asking(3))]))
    expect(await closeCode(socket)).toBe(code)
    await expect.poll(() => server.meter.clients).toBe(0)
    expect(partition.seq).toBe(seq + 1)
  })

  it('before a close frame are answered before the connection ends', async () => {
    const socket = await raw()
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.write(Buffer.concat([part(0x81, asking(1)), CLOSE]))
    expect(await closeCode(socket)).toBe(1000)
    const bytes = Buffer.concat(chunks)
    expect(bytes.indexOf('{"id":1,"seq"')).toBeGreaterThan(0)
    expect(bytes.indexOf('{"id":1,"seq"')).toBeLessThan(bytes.lastIndexOf(0x88))
  })

  it.each([1, 7, 1000, 70_000])('are the same in pieces of %d bytes', async (size) => {
    const { partition } = server.host
    const { seq } = partition
    const socket = await raw()
    const long = JSON.stringify({ id: 2, ops: Array.from({ length: 300 }, () => post(0, 'ab'.repeat(200))) })
    const frames = [part(0x81, asking(1)), part(0x81, long), pingFrame(5), part(0x81, asking(3))]
    const bytes = Buffer.concat(size === 1 ? [frames[0], frames[2], frames[3]] : frames)
    socket.setNoDelay(true).resume()
    for (let at = 0; at < bytes.length; at += size) {
      socket.write(bytes.subarray(at, at + size))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await expect.poll(() => partition.seq - seq).toBe(size === 1 ? 2 : 302)
  })
})

it('a burst of pings is answered with its last, and the stream goes on', async () => {
  const socket = await raw()
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume()
  const answer = (length: number) => Buffer.concat([Buffer.from([0x8a, length]), Buffer.alloc(length)])
  const pings = Array.from({ length: 500 }, (_, i) => pingFrame(1 + (i % 90)))
  socket.write(Buffer.concat([...pings, pingFrame(99), part(0x81, asking(1))]))
  await expect.poll(() => Buffer.concat(chunks).includes('{"id":1,"seq"')).toBe(true)
  await expect.poll(() => Buffer.concat(chunks).includes(answer(99))).toBe(true)
  expect(server.meter.clients).toBe(1)
})

const REST = part(0x80, asking(0).slice(9))
const answeredIn = (text: string) => [...text.matchAll(/{"id":(\d+),"seq"/g)].map(([, id]) => Number(id))

describe('what stands behind answers that are not read yet', () => {
  const READS = 40
  const LONG = 24_000
  const reading = (id: number) =>
    part(0x81, JSON.stringify({ id, ops: [{ op: 'mem.read', gpa: 0, len: LONG }] }))

  it.each<[string, Buffer]>([
    ['a close frame', CLOSE],
    ['part of a message, and a close frame', Buffer.concat([part(0x01, '{"id":99,'), CLOSE])],
  ])('is read when they are: %s', async (_what, end) => {
    await server.app.close()
    server = await streamServer({ limits: { budgetBytes: LONG } })
    const socket = await raw()
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    const asked = Array.from({ length: READS }, (_, i) => reading(i + 1))
    socket.write(Buffer.concat([...asked, end]))
    expect(await closeCode(socket)).toBe(1000)
    const text = Buffer.concat(chunks).toString('latin1')
    expect(answeredIn(text)).toEqual(Array.from({ length: READS }, (_, i) => i + 1))
  })

  it.each<[string, Buffer]>([
    ['frames', Buffer.alloc(0)],
    ['frames that the library reads', Buffer.concat([part(0x01, asking(0).slice(0, 9)), REST])],
  ])('is read when they are, also where the client has ended its side: %s', async (_what, first) => {
    await server.app.close()
    server = await streamServer({ limits: { budgetBytes: LONG } })
    const socket = await raw()
    const asked = Array.from({ length: 8 }, (_, i) => reading(i + 1))
    const { partition } = server.host
    const { seq } = partition
    socket.end(Buffer.concat([first, ...asked]))
    await expect.poll(() => partition.seq).toBeGreaterThan(seq)
    // What it is told meanwhile does not break what is on its way, either.
    const other = await SocketClient.connected(server.url)
    for (let i = 0; i < 20; i++) await other.ask(post(0, '0a'))
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume()
    await once(socket, 'close')
    other.socket.terminate()
    expect(answeredIn(Buffer.concat(chunks).toString('latin1')).filter((id) => id > 0)).toEqual(
      Array.from({ length: 8 }, (_, i) => i + 1),
    )
    await expect.poll(() => server.meter.clients).toBe(0)
  })
})

it('a message of more frames than a message may have is refused: 1008', async () => {
  const socket = await raw()
  const empty = part(0x00, '')
  socket.write(Buffer.concat([part(0x01, asking(1)), ...Array.from({ length: 16_384 }, () => empty)]))
  expect(await closeCode(socket)).toBe(1008)
  await expect.poll(() => server.meter.clients).toBe(0)
})

it('a frame of more values than may be is refused before it is read', async () => {
  const client = await SocketClient.connected(server.url)
  client.socket.send(`{"id":1,"ops":[${'{},'.repeat(JSON_PARTS_MAX / 2)}{}]}`)
  const [code, reason] = await client.closed
  expect(code).toBe(4000)
  expect(reason).toBe('a frame must have at most 2097152 objects, lists and members')
})

it('what lies unread behind half a frame when a socket breaks is no message', async () => {
  const { partition } = server.host
  const { seq } = partition
  const connection = once(server.app.server, 'connection') as Promise<[Socket]>
  const client = await raw()
  const [accepted] = await connection
  // From the middle of this frame on there seems to be another one.
  const inner = part(0x81, asking(9))
  const text = Buffer.concat([Buffer.alloc(50), inner])
  const outer = frameBytes({ first: 0x81, payload: text, mask: [0, 0, 0, 0] })
  const half = outer.length - inner.length
  const before = accepted.bytesRead
  client.write(outer.subarray(0, half))
  await expect.poll(() => accepted.bytesRead - before).toBe(half)
  accepted.pause()
  client.write(outer.subarray(half))
  await expect.poll(() => accepted.readableLength).toBe(inner.length)
  client.resetAndDestroy()
  await expect.poll(() => server.meter.clients).toBe(0)
  expect(partition.seq).toBe(seq)
})
