/** A WebSocket client that is only a TCP socket: it can stop anywhere, also in the middle of a frame. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const TEXT = 0x81
const FIRST_OF_TEXT = 0x01
const BINARY = 0x82
const PING = 0x89
const CLOSE = 0x88

/** The upgrade request for a stream. */
export function upgradeRequest(url: string, protocol: string): string {
  const { host, pathname, search } = new URL(url)
  const lines = [
    `GET ${pathname}${search} HTTP/1.1`,
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Protocol: ${protocol}`,
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

export async function rawSocket(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** A socket whose upgrade was accepted, and which reads no further. */
export async function upgraded(url: string, protocol: string): Promise<Socket> {
  const socket = await rawSocket(url)
  socket.write(upgradeRequest(url, protocol))
  await once(socket, 'data')
  socket.pause()
  return socket
}

/** A client's frame; its mask is 0, so that the payload stays what it is. */
function frame(first: number, payload: Uint8Array, announced = payload.length): Buffer {
  const header =
    announced < 126
      ? Buffer.of(first, 0x80 | announced)
      : announced < 0x1_0000
        ? Buffer.of(first, 0xfe, announced >> 8, announced & 0xff)
        : Buffer.concat([Buffer.of(first, 0xff, 0, 0, 0, 0), u32(announced)])
  return Buffer.concat([header, Buffer.alloc(4), payload])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A text frame; `announced` says how long it claims to be. */
export function textFrame(text: string, announced?: number): Buffer {
  return frame(TEXT, Buffer.from(text), announced)
}

/** A text frame that says there is more to come. */
export const firstFragment = (text: string) => frame(FIRST_OF_TEXT, Buffer.from(text))
export const binaryFrame = (bytes: Uint8Array) => frame(BINARY, bytes)
export const pingFrame = (bytes: number) => frame(PING, Buffer.alloc(bytes))

/** Reads to the end of a stream; the code of its close frame, if it has one. */
export async function closeCode(socket: Socket): Promise<number | undefined> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume()
  await once(socket, 'close')
  const bytes = Buffer.concat(chunks)
  const at = bytes.lastIndexOf(CLOSE)
  return at < 0 ? undefined : bytes.readUInt16BE(at + 2)
}
