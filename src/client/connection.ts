/** One connection of a stream: it opens, carries messages, and ends, if need be by itself. */
import type { StreamCodec } from './codec.js'
import { SynicdTimeout } from './errors.js'
import type { Connect, WebSocketLike } from './web-socket.js'

/** How a connection ended. `cause` is what the network said, if it said anything. */
export interface Ending {
  readonly code: number
  readonly reason: string
  readonly cause: unknown
}

export interface ConnectionParts {
  readonly connect: Connect
  readonly url: string
  readonly codec: StreamCodec
  /** Milliseconds up to the hello. */
  readonly connectTimeoutMs: number
  /** Milliseconds of silence after which the other side is asked, and after as many again given up. */
  readonly idleMs: number
  readonly onMessage: (data: string | ArrayBuffer) => void
  /** Nothing was heard for long: ask something. */
  readonly onIdle: () => void
}

const OPEN = 1
const CLOSED_ABNORMALLY = 1006

export class Connection {
  /** Never rejected. */
  readonly ended: Promise<Ending>
  /** Has the server said hello? */
  greeted = false
  #greetedAtMs = 0
  /** Has it said more than that? */
  #isUsed = false
  readonly #parts: ConnectionParts
  readonly #socket: WebSocketLike
  #end: (ending: Ending) => void = () => {}
  #timer: ReturnType<typeof setTimeout> | undefined
  #heard = false
  #cause: unknown

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    this.#socket = parts.connect(parts.url, parts.codec.protocol)
    this.#socket.binaryType = parts.codec.binaryType
    this.ended = new Promise((resolve) => {
      this.#end = (ending) => {
        clearTimeout(this.#timer)
        resolve(ending)
      }
    })
    this.#listen()
    this.#timer = setTimeout(() => this.#giveUp(parts.connectTimeoutMs), parts.connectTimeoutMs)
  }

  get isOpen(): boolean {
    return this.#socket.readyState === OPEN
  }

  /** The server has said hello; from now on silence is watched. */
  greet(): void {
    this.greeted = true
    this.#greetedAtMs = performance.now()
    this.#watch(false)
  }

  /** Was it of use: brought it more than a hello, or held for so long behind that? */
  hasServed(ms: number): boolean {
    return this.#isUsed || (this.greeted && performance.now() - this.#greetedAtMs >= ms)
  }

  send(data: string | Uint8Array): void {
    // The cast: a WebSocket refuses only shared memory, which no codec makes.
    this.#socket.send(data as string | Uint8Array<ArrayBuffer>)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#socket.close(1000)
  }

  /** Ends it without waiting for the other side, which does not answer: it would keep a process alive. */
  abandon(): void {
    this.#socket.terminate?.()
  }

  #listen(): void {
    const on = <Event>(type: string, listener: (event: Event) => void) =>
      this.#socket.addEventListener(type, (event) => listener(event as Event))
    on<{ data: string | ArrayBuffer }>('message', ({ data }) => {
      this.#heard = true
      this.#isUsed ||= this.greeted
      this.#parts.onMessage(data)
    })
    on<{ error?: unknown; message?: string }>('error', ({ error, message }) => {
      this.#cause ??= error ?? (message === undefined ? undefined : new Error(message))
    })
    on<{ code: number; reason: string }>('close', ({ code, reason }) =>
      this.#end({ code, reason, cause: this.#cause }),
    )
  }

  /** A network that is gone closes nothing: only an answer shows that somebody is there. */
  #watch(asked: boolean): void {
    clearTimeout(this.#timer)
    this.#heard = false
    this.#timer = setTimeout(() => {
      if (this.#heard) this.#watch(false)
      else if (asked) this.#giveUp(2 * this.#parts.idleMs)
      else {
        this.#watch(true)
        this.#parts.onIdle()
      }
    }, this.#parts.idleMs)
  }

  /** Not waiting for the close frame's answer, which would not come either. */
  #giveUp(ms: number): void {
    this.#socket.close()
    this.abandon()
    const cause = new SynicdTimeout(this.#parts.url, ms)
    this.#end({ code: CLOSED_ABNORMALLY, reason: '', cause })
  }
}
