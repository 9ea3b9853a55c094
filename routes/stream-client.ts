/** One client's socket around its StreamSession: reading ahead, pings, slow readers, the end. */
import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { z } from 'zod'
import {
  BIN_PROTOCOL,
  CLOSE_DELETED,
  CLOSE_GOING_AWAY,
  CLOSE_TOO_SLOW,
  type StreamQuery,
} from '../src/api/frames.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import { BinProtocol } from '../src/streams/bin-protocol.js'
import { Inbox, type InboxReader } from '../src/streams/inbox.js'
import { Incoming } from '../src/streams/incoming.js'
import { JsonProtocol } from '../src/streams/json-protocol.js'
import { Outbox } from '../src/streams/outbox.js'
import { StreamSession } from '../src/streams/session.js'
import { streamPartition } from './stream-partition.js'
import type { Streams } from './stream-server.js'

const PING_MS = 15_000
/** Pings that may lie unread. */
const SLOW_PINGS = 2
const REASON_BYTES_MAX = 123
/** RFC 6455, section 7.4.1. */
export const CLOSE_INTERNAL_ERROR = 1011

/** One client that is connected. */
export class StreamClient {
  readonly session: StreamSession
  readonly #outbox: Outbox
  readonly #budgetBytes: number
  readonly #inbox: Inbox
  /** Messages, or the rest of one, that had already been read when the client was to be read from no more. */
  #held: Incoming[] = []
  /** The stream has ended on this side: what still comes is not looked at. */
  #closing = false
  /** Pings since it last gave a sign of life. */
  #unanswered = 0
  /** Bytes that have moved when it was looked after last. */
  #movedBytes = 0
  #pingedAtMs = performance.now()
  /** Lets the library end it: the client will send no more, and what it sent is not all answered yet. */
  #finish: (() => void) | null = null
  /** The client will send no more, and gets no more than what is on its way. */
  #isFinished = false
  /** It is looked after once more in this turn. */
  #goesOn = false

  constructor(
    private readonly socket: WebSocket,
    private readonly raw: Socket,
    readonly host: PartitionHost,
    streams: Streams,
    query: z.infer<typeof StreamQuery>,
    private readonly log: FastifyBaseLogger,
  ) {
    const { limits, turn, spare, scratch } = streams
    const { kinds, vcpus, since, created_at, actor } = query
    this.#budgetBytes = limits.budgetBytes
    this.#outbox = new Outbox(raw, turn, spare, this)
    const protocol = socket.protocol === BIN_PROTOCOL ? new BinProtocol(scratch) : new JsonProtocol()
    const now = () => performance.now()
    const observe = streams.observe.bind(streams)
    const view = streamPartition(host, actor)
    this.session = new StreamSession(view, this.#outbox, protocol, { kinds, vcpus }, limits, now, observe)
    const deleted = () => {
      this.session.catchUp()
      this.#outbox.close(CLOSE_DELETED, 'partition deleted')
    }
    host.onDelete.add(deleted)
    socket.on('message', (data, isBinary) => this.#receive(Incoming.of(data as Buffer, isBinary)))
    socket.on('pong', () => {
      this.#unanswered = 0
    })
    answerPings(socket)
    raw.on('drain', () => this.#tick())
    socket.on('close', () => {
      this.#outbox.discard()
      this.session.end()
      host.onDelete.delete(deleted)
      streams.leave(this)
    })
    this.#inbox = this.#readAhead(raw, streams)
    this.#awaitEnd(raw)
    streams.join(this)
    this.session.begin(since, created_at === undefined ? undefined : Number(new Date(created_at)))
    // What it asks while it is told what it missed is read behind that.
    this.#mayRead()
  }

  /** Reads the socket ahead of the library, which listens to it and is told what it needs to know. */
  #readAhead(raw: Socket, { message, parts, spareFrames }: Streams): Inbox {
    const [library] = raw.listeners('data') as ((bytes: Buffer) => void)[]
    const reader: InboxReader = {
      message: (one) => {
        this.#ask(one)
        return this.#mayRead()
      },
      control: (frame) => library.call(raw, frame),
      leave: (rest) => {
        // What was asked before a close frame is answered before the library closes.
        this.#outbox.flush()
        raw.off('data', read).on('data', library)
        library.call(raw, rest)
      },
    }
    const inbox = new Inbox(message, parts.frameBytes, reader, spareFrames)
    const read = (chunk: Buffer) => inbox.read(chunk)
    raw.off('data', library).on('data', read)
    // The library looks through what is left when a socket breaks, but not from where a frame begins.
    raw.prependListener('close', () => {
      this.#closing = true
      this.#finish = null
    })
    return inbox
  }

  /**
   * A client may send its last request and then no more (a FIN without a close frame): what it asked before
   * is answered, however much that is. The socket finds out that nothing follows while it is paused, too.
   */
  #awaitEnd(raw: Socket): void {
    const [library] = raw.listeners('end').slice(-1) as (() => void)[]
    const finish = (): void => {
      this.#finish = null
      this.#isFinished = true
      // The library ends the other direction: what is said afterwards would break what is on its way.
      this.#outbox.flush()
      this.#outbox.discard()
      library.call(raw)
    }
    raw.off('end', library).on('end', () => {
      if (this.#closing || (!this.#inbox.isStopped && this.#mayRead())) finish()
      else this.#finish = finish
    })
  }

  close(code: number, reason: string): void {
    this.#closing = true
    this.#held = []
    hangUp(this.socket, code, reason)
  }

  /** A socket that takes everything at once never says `drain`. Others have their turn before it goes on. */
  written(): void {
    if (this.#goesOn || !(this.session.isBehind || this.socket.isPaused)) return
    this.#goesOn = true
    setImmediate(() => {
      this.#goesOn = false
      if (!this.#closing) this.#tick()
    })
  }

  /** A message that the library has read. Those that came in one piece with it arrive after a pause, too. */
  #receive(message: Incoming): void {
    if (!this.#mayRead()) this.#held.push(message)
    else this.#ask(message)
  }

  #ask(message: Incoming): void {
    if (this.#closing || this.socket.readyState !== this.socket.OPEN) return
    try {
      const rest = this.session.receive(message)
      if (rest !== undefined) this.#held.push(rest)
    } catch (error) {
      this.fail(error)
    }
  }

  /** A mistake of this server ends the stream that met it, and no other. */
  fail(error: unknown): void {
    this.log.error({ err: error }, 'a stream failed')
    this.#outbox.close(CLOSE_INTERNAL_ERROR, 'the server failed')
  }

  /** The server is going away. */
  goAway(): void {
    this.#outbox.close(CLOSE_GOING_AWAY, 'the server is going away')
  }

  /** A client that does not read its answers is not read from either. */
  #mayRead(): boolean {
    const isBehind = this.#outbox.buffered() > this.#budgetBytes || this.session.hasBacklog
    if (!isBehind && this.#held.length === 0) return true
    if (!this.socket.isPaused) this.socket.pause()
    return false
  }

  /** Pings, gaps and the end of patience. */
  lookAfter(nowMs: number): void {
    this.#tick()
    this.#lookForLife()
    if (nowMs - this.#pingedAtMs < PING_MS) return
    if (this.#isFinished && this.#unanswered >= SLOW_PINGS) return this.socket.terminate()
    // A ping stands behind what is unread: who still has that to read is slow, and not gone.
    if (this.#unanswered > 0 && this.#outbox.buffered() === 0) return this.socket.terminate()
    if (this.#unanswered >= SLOW_PINGS) return this.#outbox.close(CLOSE_TOO_SLOW, 'the reader is too slow')
    this.#unanswered++
    this.#pingedAtMs = nowMs
    this.socket.ping()
  }

  #tick(): void {
    try {
      this.session.tick()
    } catch (error) {
      this.fail(error)
    }
    this.#resume()
  }

  /** Whatever it sends is one; from who is not read from, that it reads. Its pongs may stand far behind. */
  #lookForLife(): void {
    const { bytesRead, bytesWritten, writableLength } = this.raw
    const isOnlyWritten = this.socket.isPaused || this.#isFinished
    const movedBytes = bytesRead + (isOnlyWritten ? bytesWritten - writableLength : 0)
    if (movedBytes !== this.#movedBytes) this.#unanswered = 0
    this.#movedBytes = movedBytes
  }

  #resume(): void {
    if (!this.socket.isPaused || this.session.hasBacklog) return
    if (this.#outbox.buffered() > this.#budgetBytes / 2) return
    const held = this.#held
    this.#held = []
    for (const message of held) this.#receive(message)
    if (this.#mayRead()) this.#inbox.resume()
    if (this.#inbox.isStopped || !this.#mayRead()) return
    if (this.#finish === null) this.socket.resume()
    else this.#finish()
  }
}

/**
 * Answers one ping at a time, of those that come meanwhile the last (RFC 6455, section 5.5.3): a flood of
 * them piles up no answers, and a burst is no reason to hang up, as it is to the library.
 */
function answerPings(socket: WebSocket): void {
  let isAnswering = false
  let next: Buffer | null = null
  const answer = (data: Buffer): void => {
    isAnswering = true
    socket.pong(data, false, () => {
      isAnswering = false
      const waiting = next
      next = null
      if (waiting !== null && socket.readyState === socket.OPEN) answer(waiting)
    })
  }
  socket.on('ping', (data) => {
    if (isAnswering) next = data
    else if (socket.readyState === socket.OPEN) answer(data)
  })
}

/**
 * A close frame has room for 123 bytes of reason (RFC 6455, section 5.5), and a letter cut in two is no
 * text.
 */
function fitting(reason: string): string {
  return reason.replace(/[^ -~]/g, '?').slice(0, REASON_BYTES_MAX)
}

/**
 * Says goodbye. Who does not take what is still on its way to it, the goodbye last, is given up by the
 * library after 30 seconds.
 */
export function hangUp(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, fitting(reason))
}
