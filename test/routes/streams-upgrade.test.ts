/** The way to a stream: who asks for no WebSocket, or from the page of another origin, is told so. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { send } from '../support/contract.js'
import { type StreamServer, streamServer } from '../support/stream-socket.js'

let server: StreamServer
let host: string

beforeAll(async () => {
  server = await streamServer()
  host = new URL(server.url).host
})
afterAll(async () => server.app.close())

describe('a request for a stream without an upgrade', () => {
  it.each([
    ['is told that it is a WebSocket', 'p1/stream?since=4', 426, 'upgrade-required'],
    ['of nobody is told so', 'nobody/stream', 404, 'partition-not-found'],
    ['with a bad query is told the field', 'p1/stream?kinds=gossip', 400, 'invalid-request'],
  ])('%s', async (_what, path, status, code) => {
    const reply = await send(server.app, 'GET', `/v1/partitions/${path}`)
    expect([reply.status, reply.body.type]).toEqual([status, `/problems/${code}`])
    if (code === 'upgrade-required') expect(reply.headers.upgrade).toBe('websocket')
    if (code === 'invalid-request') expect(reply.body).toHaveProperty('errors.0.path', 'kinds/0')
  })

  it('may be a HEAD, and nothing else', async () => {
    const path = '/v1/partitions/p1/stream'
    expect((await server.app.inject({ method: 'HEAD', url: path })).statusCode).toBe(426)
    const reply = await server.app.inject({ method: 'POST', url: path })
    expect([reply.statusCode, reply.headers.allow]).toEqual([405, 'GET, HEAD'])
  })
})

/** Statuses with which the server takes up the stream, or does not. */
async function statusFor(origin: string): Promise<number> {
  const socket = new WebSocket(server.url, { headers: { origin } })
  socket.on('error', () => {})
  const upgrade = once(socket, 'upgrade')
  const refusal = once(socket, 'unexpected-response').then(([, reply]) => [reply as IncomingMessage])
  const [{ statusCode = 0 }] = (await Promise.race([upgrade, refusal])) as [IncomingMessage]
  socket.terminate()
  return statusCode
}

/** What is answered to an upgrade request, and that the server ends the connection with it. */
async function answerTo(path: string, header = 'x: y'): Promise<string> {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  socket.write(
    `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${header}\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
      'sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  return text(socket)
}

describe('an upgrade that is refused', () => {
  it.each([
    ['where there is no stream', '/livez', undefined, 200],
    ['where there is nothing', '/nothing', undefined, 404],
    ['of a foreign page', '/v1/partitions/p1/stream', 'origin: http://x', 403],
    ['in a compressed form', '/v1/partitions/p1/stream', 'content-encoding: gzip', 415],
  ])('%s is answered, and leaves no connection behind', async (_why, path, header, status) => {
    expect(await answerTo(path, header)).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    const connections = promisify(server.app.server.getConnections.bind(server.app.server))
    await expect.poll(connections).toBe(0)
  })
})

describe('an upgrade with', () => {
  const HANDSHAKE = ['sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==']
  const asked = async (path: string, headers: readonly string[]): Promise<string> => {
    const { hostname, port } = new URL(server.url)
    const socket = connect(Number(port), hostname)
    const lines = [`GET ${path} HTTP/1.1`, `host: ${host}`, 'connection: upgrade', ...headers]
    socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    return text(socket)
  }

  it.each([
    ['another key', ['upgrade: websocket', HANDSHAKE[0], 'sec-websocket-key: abc'], 'Sec-WebSocket-Key'],
    ['no version', ['upgrade: websocket', HANDSHAKE[1]], 'Sec-WebSocket-Version'],
    ['another protocol', ['upgrade: h2c', ...HANDSHAKE], 'Upgrade'],
    [
      'a list that is none',
      ['upgrade: websocket', ...HANDSHAKE, 'sec-websocket-protocol: a,,b'],
      'Sec-WebSocket-Protocol',
    ],
  ])('%s is no handshake, and is told so in a line', async (_what, headers, name) => {
    const answer = await asked('/v1/partitions/p1/stream', headers)
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
    expect(answer).toMatch(new RegExp(`\r\n\r\n.*Invalid ${name} header|invalid ${name} header$`))
  })

  it('more than a request line may have', async () => {
    const path = `/v1/partitions/p1/stream?vcpus=${'1,'.repeat(10_000)}`
    const answer = await asked(path, ['upgrade: websocket', ...HANDSHAKE])
    expect(answer).toMatch(/^HTTP\/1.1 431 (.|\s)*"type":"\/problems\//)
  })
})

it('more streams a second than may be asked for are refused before the upgrade', async () => {
  const busy = await streamServer({ app: { requestsPerSecond: 1 } })
  const first = new WebSocket(busy.url)
  await once(first, 'message')
  const second = new WebSocket(busy.url)
  second.on('error', () => {})
  const [, reply] = (await once(second, 'unexpected-response')) as [unknown, IncomingMessage]
  expect([reply.statusCode, reply.headers['retry-after']]).toEqual([429, '1'])
  expect(JSON.parse(await text(reply))).toMatchObject({ type: '/problems/too-many-requests' })
  first.terminate()
  await busy.app.close()
})

describe('the page of', () => {
  it.each([
    ['this server', () => `http://${host}`, 101],
    ['this server, behind a proxy with TLS', () => `https://${host}`, 101],
    ['another site', () => 'http://elsewhere.example', 403],
    ['another port', () => 'http://127.0.0.1:1', 403],
    ['another name of this machine', () => `http://${host.replace('127.0.0.1', 'localhost')}`, 403],
    ['nowhere, such as a file', () => 'null', 403],
  ])('%s may or may not open a stream', async (_who, origin, status) => {
    expect(await statusFor(origin())).toBe(status)
    await expect.poll(() => server.meter.clients).toBe(0)
  })

  it('another site may change nothing, and read nothing', async () => {
    const headers = { origin: 'http://elsewhere.example' }
    const { app } = server
    const seq = server.host.partition.seq
    // A request like this a browser sends without asking first.
    const reply = await send(app, 'POST', '/v1/partitions/p1/vcpus/0/apic/ack', { headers })
    expect([reply.status, reply.body.type]).toEqual([403, '/problems/foreign-origin'])
    expect(server.host.partition.seq).toBe(seq)
    const asked = { ...headers, 'access-control-request-method': 'DELETE' }
    const replies = [
      await app.inject({ method: 'OPTIONS', url: '/v1/partitions/p1', headers: asked }),
      await app.inject({ method: 'GET', url: '/v1/partitions/p1', headers }),
    ]
    expect(replies.map(({ statusCode }) => statusCode)).toEqual([403, 200])
    for (const { headers } of replies) expect(headers).not.toHaveProperty('access-control-allow-origin')
  })
})

it('a stream more than there is room for is refused before the upgrade, until one has ended', async () => {
  const small = await streamServer({ app: { streamsMax: 1 } })
  const first = new WebSocket(small.url)
  await once(first, 'message')
  const second = new WebSocket(small.url)
  second.on('error', () => {})
  const [, reply] = (await once(second, 'unexpected-response')) as [unknown, IncomingMessage]
  expect(reply.statusCode).toBe(503)
  expect(JSON.parse(await text(reply))).toMatchObject({
    type: '/problems/too-busy',
    detail: 'This server has room for 1 streams, and no more.',
  })
  first.close()
  await expect.poll(() => small.meter.clients).toBe(0)
  const third = new WebSocket(small.url)
  await once(third, 'message')
  third.terminate()
  await small.app.close()
})
