/** What never becomes a request, and answers that nobody reads: on real sockets. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
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

describe('answers that nobody reads', () => {
  it('hold back further large ones, and nothing else, until their clients are gone', async () => {
    const { test, port, address, service } = await listening({ app: { outgoingBytes: 8 * 1024 * 1024 } })
    const p = await test.create({ id: 'big' })
    const hex = 'a5'.repeat(4096)
    const ops = Array.from({ length: 500 }, (_, i) => ({ op: 'mem.write', gpa: i * 4096, hex }))
    service.get('big').applyBatch(ops)
    for (let i = 0; i < 5; i++) {
      const socket = await opened(port)
      socket.pause()
      socket.write(`GET ${p}/snapshot HTTP/1.1\r\nhost: x\r\n\r\n`)
    }
    await expect.poll(async () => (await fetch(`${address}${p}/snapshot`)).status).toBe(503)
    expect((await fetch(`${address}/livez`)).status).toBe(200)
    for (const socket of sockets) socket.destroy()
    await expect.poll(async () => (await fetch(`${address}${p}/snapshot`)).status).toBe(200)
    await test.app.close()
  })
})
