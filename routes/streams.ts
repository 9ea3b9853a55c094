/** The socket around a StreamSession: upgrade, pings, slow readers, close codes. */
import type { Socket } from 'node:net'
import websocket from '@fastify/websocket'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { z } from 'zod'
import {
  BIN_PROTOCOL,
  CLOSE_BAD_FRAME,
  CLOSE_DELETED,
  CLOSE_GOING_AWAY,
  CLOSE_NO_PARTITION,
  CLOSE_TOO_SLOW,
  JSON_PROTOCOL,
  StreamQuery,
} from '../src/api/frames.js'
import { openStream } from '../src/api/operations/streams.js'
import { fieldProblems, InputError } from '../src/api/problem.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import type { Service } from '../src/engine/service.js'
import { BinProtocol, BinScratch } from '../src/streams/bin-protocol.js'
import { PartitionHub } from '../src/streams/hub.js'
import { Inbox } from '../src/streams/inbox.js'
import { Incoming } from '../src/streams/incoming.js'
import { JsonProtocol } from '../src/streams/json-protocol.js'
import { Outbox, Spare } from '../src/streams/outbox.js'
import {
  DEFAULT_SESSION_LIMITS,
  type Deliveries,
  type SessionLimits,
  StreamSession,
} from '../src/streams/session.js'
import { Turn } from '../src/streams/turn.js'
import type { StreamMeter } from '../src/telemetry/metrics.js'
import { streamPartition } from './stream-partition.js'
import { checkQuery, fastifyPath } from './typed.js'

const PING_MS = 15_000
/** Pings that may lie unread. */
const SLOW_PINGS = 2
const TICK_MS = 250
const REASON_BYTES_MAX = 123
/** RFC 6455, section 7.4.1. */
const CLOSE_INTERNAL_ERROR = 1011
/** A client that does not take the end of a stream either is not waited for. */
const CLOSE_MS = 2000

export interface StreamParts {
  readonly service: Service
  readonly streamMeter: StreamMeter
  readonly frameBytes: number
  readonly sessionLimits?: Partial<SessionLimits>
}

/** What all sockets of a server share. */
class Streams {
  readonly clients = new Set<Client>()
  readonly limits: SessionLimits
  readonly turn = new Turn(setImmediate, process.nextTick)
  readonly spare = new Spare()
  readonly scratch = new BinScratch()
  /** The message at hand that was read ahead, of whichever client. */
  readonly message = new Incoming()
  readonly #hubs = new Map<PartitionHost, { hub: PartitionHub; stop: () => void }>()

  constructor(readonly parts: StreamParts) {
    this.limits = { ...DEFAULT_SESSION_LIMITS, ...parts.sessionLimits }
  }

  join(client: Client): void {
    this.clients.add(client)
    this.parts.streamMeter.clients = this.clients.size
    const { host } = client
    let entry = this.#hubs.get(host)
    if (entry === undefined) {
      const hub = new PartitionHub(streamPartition(host, undefined), this.turn)
      entry = { hub, stop: host.notifications.listen(hub.news) }
      this.#hubs.set(host, entry)
    }
    entry.hub.add(client.session, (error) => client.fail(error))
  }

  leave(client: Client): void {
    this.clients.delete(client)
    this.parts.streamMeter.clients = this.clients.size
    this.parts.streamMeter.dropped += client.session.takeDropped()
    const entry = this.#hubs.get(client.host)
    entry?.hub.delete(client.session)
    if (entry === undefined || entry.hub.size > 0) return
    entry.stop()
    this.#hubs.delete(client.host)
  }

  observe(deliveries: readonly Deliveries[]): void {
    const now = performance.now()
    for (const { source, timeMs, count } of deliveries) {
      this.parts.service.meter.observeSocket(source, now - timeMs, count)
    }
  }
}

/** One client that is connected. */
class Client {
  readonly session: StreamSession
  readonly #outbox: Outbox
  readonly #budgetBytes: number
  readonly #inbox: Inbox
  /** Messages that the library had already read when the client was to be read from no more. */
  #held: Incoming[] = []
  /** The stream has ended on this side: what still comes is not looked at. */
  #closing = false
  /** Pings since it last gave a sign of life. */
  #unanswered = 0
  /** Bytes that have moved when it was looked after last. */
  #movedBytes = 0
  #pingedAtMs = performance.now()

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
    this.#outbox = new Outbox(raw, turn, spare, (code, reason) => this.close(code, reason))
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
    streams.join(this)
    this.session.begin(since, created_at === undefined ? undefined : Number(new Date(created_at)))
    // What it asks while it is told what it missed is read behind that.
    this.#mayRead()
  }

  /** Reads the socket ahead of the library, which listens to it and is told what it needs to know. */
  #readAhead(raw: Socket, { message, parts }: Streams): Inbox {
    const [library] = raw.listeners('data') as ((bytes: Buffer) => void)[]
    const inbox = new Inbox(message, parts.frameBytes, {
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
    })
    const read = (chunk: Buffer) => inbox.read(chunk)
    raw.off('data', library).on('data', read)
    // The library looks through what is left when a socket breaks, but not from where a frame begins.
    raw.prependListener('close', () => {
      this.#closing = true
    })
    return inbox
  }

  close(code: number, reason: string): void {
    this.#closing = true
    this.#held = []
    hangUp(this.socket, code, reason)
  }

  /** A message that the library has read. Those that came in one piece with it arrive after a pause, too. */
  #receive(message: Incoming): void {
    if (this.#held.length > 0 || !this.#mayRead()) this.#held.push(message)
    else this.#ask(message)
  }

  #ask(message: Incoming): void {
    if (this.#closing || this.socket.readyState !== this.socket.OPEN) return
    try {
      this.session.receive(message)
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
    if (this.#outbox.buffered() <= this.#budgetBytes && !this.session.hasBacklog) return true
    if (!this.socket.isPaused) this.socket.pause()
    return false
  }

  /** Pings, gaps and the end of patience. */
  lookAfter(nowMs: number): void {
    this.#tick()
    this.#lookForLife()
    if (nowMs - this.#pingedAtMs < PING_MS) return
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
    const movedBytes = bytesRead + (this.socket.isPaused ? bytesWritten - writableLength : 0)
    if (movedBytes !== this.#movedBytes) this.#unanswered = 0
    this.#movedBytes = movedBytes
  }

  #resume(): void {
    if (!this.socket.isPaused || this.session.hasBacklog) return
    if (this.#outbox.buffered() > this.#budgetBytes / 2) return
    this.#inbox.resume()
    const held = this.#held
    this.#held = []
    for (const message of held) this.#receive(message)
    if (!this.#inbox.isStopped && this.#held.length === 0 && this.#mayRead()) this.socket.resume()
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
function hangUp(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, fitting(reason))
}

/** A frame that breaks the protocol, or a connection that broke: nothing the server could mend. */
function isClients(error: Error & { code?: string }): boolean {
  const { code = '' } = error
  return code.startsWith('WS_ERR_') || code === 'ECONNRESET' || code === 'EPIPE'
}

/** The server, or the connection, has no time for that. */
function giveUpSoon(socket: WebSocket): void {
  setTimeout(() => socket.terminate(), CLOSE_MS).unref()
}

function open(socket: WebSocket, request: FastifyRequest, streams: Streams): void {
  const { pid } = request.params as { pid: string }
  const query = StreamQuery.safeParse(request.query)
  if (!query.success) {
    const [{ path, message }] = fieldProblems(query.error.issues)
    return hangUp(socket, CLOSE_BAD_FRAME, `${path} ${message}`)
  }
  const host = streams.parts.service.find(pid)
  if (host === undefined) return hangUp(socket, CLOSE_NO_PARTITION, 'no such partition')
  new Client(socket, request.raw.socket, host, streams, query.data, request.log)
}

/** Who asks for no WebSocket is told what a WebSocket would be closed for, or that it takes one. */
function refusePlain(request: FastifyRequest, reply: FastifyReply, { service }: StreamParts): never {
  checkQuery(openStream, request)
  service.get((request.params as { pid: string }).pid)
  reply.header('upgrade', 'websocket').header('connection', 'upgrade')
  throw new InputError([], 'upgrade-required', 'This is a WebSocket: ask for it with `Upgrade: websocket`.')
}

export default async function streamRoutes(app: FastifyInstance, parts: StreamParts) {
  const streams = new Streams(parts)
  await app.register(websocket, {
    // The library's own would cut the connection before the reason is through.
    errorHandler(error, socket, request) {
      if (isClients(error)) return request.log.info({ err: error }, 'a stream broke')
      request.log.error({ err: error }, 'a stream failed')
      hangUp(socket, CLOSE_INTERNAL_ERROR, 'the server failed')
      giveUpSoon(socket)
    },
    preClose(done) {
      for (const client of streams.clients) client.goAway()
      for (const socket of app.websocketServer.clients) {
        hangUp(socket, CLOSE_GOING_AWAY, 'the server is going away')
        giveUpSoon(socket)
      }
      app.websocketServer.close(() => done())
    },
    options: {
      maxPayload: parts.frameBytes,
      perMessageDeflate: false,
      // The library hangs up on who sends sixty in one piece.
      autoPong: false,
      handleProtocols: (offered: Set<string>) =>
        [JSON_PROTOCOL, BIN_PROTOCOL].find((protocol) => offered.has(protocol)) ?? false,
    },
  })
  const timer = setInterval(() => {
    const nowMs = performance.now()
    for (const client of streams.clients) {
      client.lookAfter(nowMs)
      parts.streamMeter.dropped += client.session.takeDropped()
    }
  }, TICK_MS)
  timer.unref()
  app.addHook('onClose', async () => clearInterval(timer))
  app.route({
    method: 'GET',
    url: fastifyPath(openStream.path),
    config: { operation: openStream },
    wsHandler(socket, request) {
      // A broken frame ends the connection. The library has told the client why, which takes its time.
      socket.on('error', () => giveUpSoon(socket))
      open(socket, request, streams)
    },
    handler: (request, reply) => refusePlain(request, reply, parts),
  })
}
