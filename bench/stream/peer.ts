// A WebSocket client as cheap as can be, so that the server is the bottleneck: it sends frames made
// beforehand, reads into one buffer, and only counts what comes.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { FrameWalker } from './frame-walker.js'

const READ_BYTES = 256 * 1024
/** All peers read into it in turn: nobody keeps what is in it. */
const shared = Buffer.allocUnsafe(READ_BYTES)

const OPCODE_CLOSE = 8
const OPCODE_PING = 9
const MASK = Buffer.from([0x5a, 0xa5, 0x3c, 0xc3])
const PONG = Buffer.from([0x8a, 0x80, ...MASK])

export type ProtocolName = 'synic.v1.json' | 'synic.v1.bin'

/** A client's message as the bytes of one masked frame. */
export function frameOf(payload: Uint8Array, protocol: ProtocolName): Buffer {
  const { length } = payload
  const header = Buffer.alloc(length < 126 ? 2 : length < 0x1_0000 ? 4 : 10)
  header[0] = protocol === 'synic.v1.bin' ? 0x82 : 0x81
  header[1] = 0x80 | (length < 126 ? length : header.length === 4 ? 126 : 127)
  if (header.length === 4) header.writeUInt16BE(length, 2)
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, MASK, payload.map((byte, i) => byte ^ MASK[i & 3])])
}

/** What comes: how many payload bytes each message has, and when a piece of the stream has been read. */
export interface Reader {
  message(payloadBytes: number): void
  chunkRead?(): void
}

const IGNORED: Reader = { message() {} }

export class Peer {
  reader: Reader = IGNORED
  readonly #socket: Socket
  readonly #walker = new FrameWalker((opcode, payloadBytes) => this.#frame(opcode, payloadBytes))
  #upgraded = false
  #ready: (() => void) | null = null
  #ended = false

  private constructor(port: number) {
    const callback = (bytes: number, buffer: Uint8Array) => this.#read(buffer, bytes)
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: shared, callback } })
    this.#socket.on('error', (error) => this.#lost(error.message))
    this.#socket.on('close', () => this.#lost('closed'))
  }

  /** Resolves once the server's first message is there. */
  static async connect(port: number, path: string, protocol: ProtocolName): Promise<Peer> {
    const peer = new Peer(port)
    await once(peer.#socket, 'connect')
    const key = randomBytes(16).toString('base64')
    const head = `GET ${path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
    const sec = `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`
    peer.#socket.write(`${head}${sec}Sec-WebSocket-Protocol: ${protocol}\r\n\r\n`)
    await new Promise<void>((resolve) => {
      peer.#ready = resolve
    })
    return peer
  }

  /** @param frames whole frames; must not change later */
  send(frames: Uint8Array): void {
    this.#socket.write(frames)
  }

  /** Reads nothing more. */
  stopReading(): void {
    this.#socket.pause()
  }

  end(): void {
    this.#ended = true
    this.#socket.destroy()
  }

  #read(chunk: Uint8Array, bytes: number): boolean {
    const from = this.#upgraded ? 0 : this.#readAnswer(chunk, bytes)
    this.#walker.push(chunk.subarray(from, bytes), bytes - from)
    this.reader.chunkRead?.()
    return true
  }

  /** The answer to the upgrade is short and comes in one piece. */
  #readAnswer(chunk: Uint8Array, bytes: number): number {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, bytes).toString('latin1')
    const end = text.indexOf('\r\n\r\n')
    if (!text.startsWith('HTTP/1.1 101 ') || end < 0) throw new Error(`no upgrade: ${text}`)
    this.#upgraded = true
    return end + 4
  }

  #frame(opcode: number, payloadBytes: number): void {
    if (opcode === OPCODE_CLOSE) this.#lost('closed by the server')
    else if (opcode === OPCODE_PING) this.#socket.write(PONG)
    else if (this.#ready === null) this.reader.message(payloadBytes)
    else {
      this.#ready()
      this.#ready = null
    }
  }

  #lost(why: string): void {
    if (!this.#ended) throw new Error(`a stream was lost: ${why}`)
  }
}
