/** What never becomes a request, and answers that nobody reads: on real sockets. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { AppLimits } from '../../src/app.js'
import { testApp } from '../support/app.js'

const sockets: Socket[] = []

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})

async function listening(setup: Parameters<typeof testApp>[0] = {}) {
  const test = await testApp(setup)
  const address = await test.app.listen({ host: '127.0.0.1', port: 0 })
  return { ...test, test, address, port: Number(new URL(address).port) }
}

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  await once(socket, 'connect')
  return socket
}

/** Sends raw bytes; all that comes back until the server closes. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = await opened(port)
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

describe('broken HTTP', () => {
  it.each([
    ['an unknown method', 'FOO / HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['headers without end', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
    ['a length that is no number', 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: z\r\n\r\n', 400],
  ])('%s is answered by a problem, and the socket closed', async (_why, bytes, status) => {
    const { test, port } = await listening()
    const [head, body] = (await exchange(port, bytes)).split('\r\n\r\n')
    expect(head).toContain(`HTTP/1.1 ${status} `)
    expect(head).toContain('application/problem+json')
    expect(JSON.parse(body)).toMatchObject({ type: '/problems/invalid-request', status })
    await test.app.close()
  })
})

describe('a request', () => {
  it('without a host is refused by a problem, but for HTTP/1.0', async () => {
    const { test, port } = await listening()
    const answer = await exchange(port, 'GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toContain('"errors":[{"path":"host","message":"must be given, as HTTP/1.1 has it"}]')
    expect(await exchange(port, 'GET /livez HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
    await test.app.close()
  })

  it('that ends in its midst changes nothing, and is told why', async () => {
    const { test, port } = await listening()
    const socket = await opened(port)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    const head = 'POST /v1/partitions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
    socket.end(`${head}content-length: 100\r\n\r\n{"id":"p1"}`)
    await once(socket, 'close')
    expect(text).toContain('"detail":"The connection ended in the midst of the request."')
    expect(test.service.partitionCount).toBe(0)
    await test.app.close()
  })
})

describe('an expectation that nobody can meet', () => {
  it('is answered by a problem', async () => {
    const { test, port } = await listening()
    const head = 'POST /v1/partitions HTTP/1.1\r\nhost: x\r\nexpect: 200-ok\r\ncontent-length: 2\r\n\r\n'
    const answer = await exchange(port, head)
    expect(answer).toMatch(/^HTTP\/1\.1 417 /)
    expect(answer).toContain('"errors":[{"path":"expect","message":"must be 100-continue"}]')
    expect(test.service.partitionCount).toBe(0)
    await test.app.close()
  })
})

/** Status of a GET whose answer is read to its end: an answer left unread would count as one of theirs. */
async function status(url: string): Promise<number> {
  const response = await fetch(url)
  await response.arrayBuffer()
  return response.status
}

/** A server whose partition's snapshot is more than a kernel takes, and clients that ask and read nothing. */
async function withBigSnapshot(limits: Partial<AppLimits>) {
  const { test, port, address, service } = await listening({ app: limits })
  const path = `${await test.create({ id: 'big' })}/snapshot`
  const hex = 'a5'.repeat(4096)
  service
    .get('big')
    .applyBatch(Array.from({ length: 2000 }, (_, i) => ({ op: 'mem.write', gpa: i * 4096, hex })))
  const askAndSleep = async () => {
    const socket = await opened(port)
    socket.pause()
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
    return socket
  }
  return { test, address, snapshot: `${address}${path}`, askAndSleep }
}

describe('answers that nobody reads', () => {
  it('hold back further large ones, and nothing else, until their clients are gone', async () => {
    const { test, address, snapshot, askAndSleep } = await withBigSnapshot({ outgoingBytes: 8 * 1024 * 1024 })
    await expect
      .poll(async () => {
        // How much of an answer the kernel takes off our hands differs by machine: as many as it needs.
        await askAndSleep()
        return status(snapshot)
      })
      .toBe(503)
    expect(await status(`${address}/livez`)).toBe(200)
    for (const socket of sockets) socket.destroy()
    await expect.poll(() => status(snapshot)).toBe(200)
    await test.app.close()
  })

  it('end with their connections when nothing of them is taken for long', async () => {
    const limits = { outgoingBytes: 1024, outgoingStallMs: 200 }
    const { test, snapshot, askAndSleep } = await withBigSnapshot(limits)
    await expect
      .poll(async () => {
        await askAndSleep()
        return status(snapshot)
      })
      .toBe(503)
    // Nobody leaves by himself.
    await expect.poll(() => status(snapshot)).toBe(200)
    await test.app.close()
  })
})
