/** A server that answers with whatever a test wants, and keeps what it was asked. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** What to send for the request, the n-th from 0; '' sends nothing. It may write to the socket itself. */
type Answer = (request: string, n: number, socket: Socket) => string | Promise<void>

export interface Stub {
  readonly url: string
  readonly requests: readonly string[]
  /** How many were opened. */
  connections(): number
  close(): void
}

/** Behind the first request of `text`, or -1 while it is not whole. */
function requestEnd(text: string): number {
  const head = text.indexOf('\r\n\r\n')
  if (head < 0) return -1
  const [, length = '0'] = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, head)) ?? []
  const end = head + 4 + Number(length)
  return text.length < end ? -1 : end
}

export async function stubServer(answer: Answer): Promise<Stub> {
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let text = ''
    socket.on('error', () => socket.destroy())
    socket.on('data', async (chunk) => {
      text += chunk.toString('latin1')
      const end = requestEnd(text)
      if (end < 0) return
      const request = text.slice(0, end)
      text = text.slice(end)
      const reply = await answer(request, requests.push(request) - 1, socket)
      if (typeof reply !== 'string' || reply === '') return
      socket.write(reply, 'latin1')
      if (reply.includes('connection: close')) socket.end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  const connections = () => sockets.size
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, connections, close }
}

export const result = (text: string) => `{"seq":1,"results":[${text}]}`

export function reply(body: string, headers = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`
}

/** The same in chunks of `size` bytes. */
export function chunked(body: string, size: number): string {
  const chunks = body.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
  const parts = [...chunks, ''].map((part) => `${part.length.toString(16).toUpperCase()};x=y\r\n${part}\r\n`)
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n${parts.join('')}`
}
