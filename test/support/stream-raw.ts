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

export interface FrameParts {
  /** FIN, three reserved bits and the opcode. */
  readonly first: number
  readonly payload: Uint8Array
  readonly mask?: readonly number[]
  /** How long it claims to be. */
  readonly announced?: number | undefined
  /** Bytes that the length is written in, behind the second byte: 0, 2 or 8. As few as do, if not given. */
  readonly lengthBytes?: 0 | 2 | 8
}

/** A frame as its bytes, right or wrong (RFC 6455, section 5.2). */
export function frameBytes(parts: FrameParts): Buffer {
  const { first, payload, mask, announced = payload.length } = parts
  const { lengthBytes = announced < 126 ? 0 : announced < 0x1_0000 ? 2 : 8 } = parts
  const header = Buffer.alloc(2 + lengthBytes)
  header[0] = first
  header[1] =
    (mask === undefined ? 0 : 0x80) | (lengthBytes === 0 ? announced : lengthBytes === 2 ? 126 : 127)
  if (lengthBytes === 2) header.writeUInt16BE(announced, 2)
  if (lengthBytes === 8) header.writeBigUInt64BE(BigInt(announced), 2)
  if (mask === undefined) return Buffer.concat([header, payload])
  return Buffer.concat([header, Buffer.from(mask), payload.map((byte, i) => byte ^ mask[i & 3])])
}

/** A client's frame; its mask is 0, so that the payload stays what it is. */
function frame(first: number, payload: Uint8Array, announced?: number): Buffer {
  return frameBytes({ first, payload, mask: [0, 0, 0, 0], announced })
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
