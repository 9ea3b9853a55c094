/** Streams without sockets: sessions whose frames are read back from the bytes they write. */
import { BinCodec } from '../../src/api/bin-codec.js'
import type { Filter } from '../../src/api/frames.js'
import type { ServerFrame } from '../../src/api/server-frames.js'
import { BinProtocol, BinScratch } from '../../src/streams/bin-protocol.js'
import { Incoming } from '../../src/streams/incoming.js'
import { JsonProtocol } from '../../src/streams/json-protocol.js'
import { Outbox, Spare } from '../../src/streams/outbox.js'
import type { StreamPartition } from '../../src/streams/protocol.js'
import { DEFAULT_SESSION_LIMITS, type SessionLimits, StreamSession } from '../../src/streams/session.js'
import { Turn } from '../../src/streams/turn.js'

/** A turn of the loop that ends when told to. */
export class TestTurn extends Turn {
  readonly #ends: (() => void)[]

  constructor() {
    const ends: (() => void)[] = []
    const later = (run: () => void) => ends.push(run)
    super(later, later)
    this.#ends = ends
  }

  end(): void {
    while (this.#ends.length > 0) this.#ends.shift()?.()
  }
}

/** A message of the server: its opcode's kind, and what it holds. */
export interface Message {
  readonly isBinary: boolean
  readonly payload: Buffer
}

/** Whole, unmasked frames (RFC 6455, section 5.2) in a run of bytes. */
export function messagesIn(bytes: Buffer): Message[] {
  const messages: Message[] = []
  for (let at = 0; at < bytes.length; ) {
    const short = bytes[at + 1] & 0x7f
    const [length, header] =
      short < 126
        ? [short, 2]
        : short === 126
          ? [bytes.readUInt16BE(at + 2), 4]
          : [Number(bytes.readBigUInt64BE(at + 2)), 10]
    messages.push({
      isBinary: bytes[at] === 0x82,
      payload: bytes.subarray(at + header, at + header + length),
    })
    at += header + length
  }
  return messages
}

interface ClientParts {
  readonly partition: StreamPartition
  readonly turn: TestTurn
  readonly protocol?: 'json' | 'bin'
  readonly filter?: Filter
  readonly limits?: Partial<SessionLimits>
  readonly now?: () => number
}

/** One client: sends frames, and keeps what comes back. */
export class TestClient {
  readonly session: StreamSession
  readonly closed: [code: number, reason: string][] = []
  /** What of the last message waits for it to read. */
  rest: Incoming | undefined
  /** Bytes that the reader leaves with the server. */
  unread = 0
  readonly #written: Buffer[] = []
  readonly #codec = new BinCodec()
  readonly isBinary: boolean

  constructor({ partition, turn, protocol = 'json', filter = {}, limits, now = () => 0 }: ClientParts) {
    this.isBinary = protocol === 'bin'
    const self = this
    const pipe = {
      write: (bytes: Uint8Array) => this.#written.push(Buffer.from(bytes)),
      cork() {},
      uncork() {},
      get writableLength() {
        return self.unread
      },
    }
    const close = (code: number, reason: string) => this.closed.push([code, reason])
    const owner = { close, fail: rethrow, written() {} }
    const outbox = new Outbox(pipe, turn, new Spare(), owner)
    const rules = this.isBinary ? new BinProtocol(new BinScratch()) : new JsonProtocol()
    const all = { ...DEFAULT_SESSION_LIMITS, ...limits }
    this.session = new StreamSession(partition, outbox, rules, filter, all, now)
  }

  /** One message. */
  receive(data: Uint8Array, isBinary: boolean): void {
    this.rest = this.session.receive(Incoming.of(Buffer.from(data), isBinary))
  }

  /** A text, words, or a frame as JSON means it. */
  send(frame: string | Int32Array | { id: number; ops?: readonly unknown[]; subscribe?: Filter }): void {
    if (typeof frame === 'string') this.receive(Buffer.from(frame), false)
    else if (frame instanceof Int32Array) this.receive(Buffer.from(frame.buffer), true)
    else if (!this.isBinary) this.receive(Buffer.from(JSON.stringify(frame)), false)
    else if (frame.ops !== undefined) {
      this.receive(this.#codec.encodeOps(frame.id, frame.ops, false), true)
    } else this.receive(this.#codec.encodeSubscribe(frame.id, frame.subscribe ?? {}), true)
  }

  /** Messages written since the last call. */
  messages(): Message[] {
    return messagesIn(Buffer.concat(this.#written.splice(0)))
  }

  /** Frames written since the last call, whatever the protocol. */
  frames(): ServerFrame[] {
    return this.messages().flatMap(({ payload, isBinary }) => {
      if (!isBinary) return JSON.parse(payload.toString()) as ServerFrame
      return this.#codec.decode(new Uint8Array(payload).buffer)
    })
  }
}

/** A session that fails is no matter of most tests: they fail with it. */
export function rethrow(error: unknown): never {
  throw error
}
