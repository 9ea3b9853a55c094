/** The socket around a StreamSession: upgrade, pings, slow readers, close codes. */
import type { Socket } from 'node:net'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import {
  CLOSE_BAD_FRAME,
  CLOSE_DELETED,
  CLOSE_GOING_AWAY,
  CLOSE_NO_PARTITION,
  JSON_PROTOCOL,
  StreamQuery,
} from '../src/api/frames.js'
import { fieldProblems, problemType } from '../src/api/problem.js'
import { EngineError } from '../src/engine/errors.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import type { Service } from '../src/engine/service.js'
import {
  DEFAULT_SESSION_LIMITS,
  type SessionLimits,
  type StreamPartition,
  StreamSession,
} from '../src/streams/session.js'
import type { StreamMeter } from '../src/telemetry/metrics.js'

const PING_MS = 15_000
const TICK_MS = 250

export interface StreamParts {
  readonly service: Service
  readonly streamMeter: StreamMeter
  readonly frameBytes: number
  readonly sessionLimits?: Partial<SessionLimits>
}

/** One client that is connected. */
interface Client {
  readonly socket: WebSocket
  readonly session: StreamSession
  /** Has it answered the last ping? */
  alive: boolean
  pingedAtMs: number
}

/** The engine, as a session sees it. */
function viewOf(host: PartitionHost, actor: string | undefined): StreamPartition {
  const { notifications } = host
  return {
    id: host.id,
    get lastN() {
      return notifications.lastN
    },
    get firstN() {
      return notifications.firstN
    },
    after: (n) => notifications.after(n),
    applyBatch: (ops, stopOnFault) => host.applyBatch(ops, { actor, stopOnFault }),
    describe: (error) =>
      error instanceof EngineError
        ? { type: problemType(error.code), detail: error.message, errors: error.errors }
        : undefined,
  }
}

/**
 * Frames of one turn of the loop leave together, in pieces of this size: a write each would cost ten times as
 * much.
 */
const CORK_BYTES = 64 * 1024

function corked(socket: WebSocket, raw: Socket): (text: string) => void {
  let holds = false
  const release = () => {
    if (!holds) return
    holds = false
    raw.uncork()
  }
  return (text) => {
    if (!holds) {
      holds = true
      raw.cork()
      setImmediate(release)
    }
    socket.send(text)
    // What is held back here must not look like a reader that does not read.
    if (raw.writableLength > CORK_BYTES) release()
  }
}

function open(socket: WebSocket, request: FastifyRequest, parts: StreamParts): Client | undefined {
  const { pid } = request.params as { pid: string }
  const query = StreamQuery.safeParse(request.query)
  if (!query.success) {
    const [{ path, message }] = fieldProblems(query.error.issues)
    socket.close(CLOSE_BAD_FRAME, `${path} ${message}`.slice(0, 120))
    return undefined
  }
  const host = parts.service.find(pid)
  if (host === undefined) {
    socket.close(CLOSE_NO_PARTITION, 'no such partition')
    return undefined
  }
  const { kinds, vcpus, since, actor } = query.data
  const sink = {
    send: corked(socket, request.raw.socket),
    buffered: () => socket.bufferedAmount,
    close: (code: number, reason: string) => socket.close(code, reason),
  }
  const limits = { ...DEFAULT_SESSION_LIMITS, ...parts.sessionLimits }
  const session = new StreamSession(viewOf(host, actor), sink, { kinds, vcpus }, limits, () =>
    performance.now(),
  )
  const { meter } = parts.service
  const stop = host.notifications.listen((news, batchMs) => {
    session.notify(news)
    const ms = performance.now() - batchMs
    for (const { source } of news) if (source >= 0) meter.observeSocket(source, ms)
  })
  const deleted = () => socket.close(CLOSE_DELETED, 'partition deleted')
  host.onDelete.add(deleted)
  socket.on('close', () => {
    stop()
    host.onDelete.delete(deleted)
    parts.streamMeter.dropped += session.dropped
  })
  session.begin(since)
  return { socket, session, alive: true, pingedAtMs: performance.now() }
}

/** Frames are read one after the other; a client that does not read its answers is not read from either. */
function serve(client: Client, budgetBytes: number): void {
  const { socket, session } = client
  socket.on('message', (data, isBinary) => {
    if (isBinary) return socket.close(CLOSE_BAD_FRAME, 'this protocol has text frames')
    session.receive(data.toString())
    if (socket.bufferedAmount > budgetBytes) socket.pause()
  })
  socket.on('pong', () => {
    client.alive = true
  })
}

/** Pings, gaps and the end of patience, for all clients at once. */
function lookAfter(clients: Set<Client>, budgetBytes: number): void {
  const now = performance.now()
  for (const client of clients) {
    const { socket, session } = client
    session.tick()
    if (socket.isPaused && socket.bufferedAmount <= budgetBytes / 2) socket.resume()
    if (now - client.pingedAtMs < PING_MS) continue
    if (!client.alive) socket.terminate()
    else {
      client.alive = false
      client.pingedAtMs = now
      socket.ping()
    }
  }
}

export default async function streamRoutes(app: FastifyInstance, parts: StreamParts) {
  const budgetBytes = parts.sessionLimits?.budgetBytes ?? DEFAULT_SESSION_LIMITS.budgetBytes
  const clients = new Set<Client>()
  await app.register(websocket, {
    preClose(done) {
      for (const socket of app.websocketServer.clients)
        socket.close(CLOSE_GOING_AWAY, 'the server is going away')
      app.websocketServer.close(() => done())
    },
    options: {
      maxPayload: parts.frameBytes,
      perMessageDeflate: false,
      handleProtocols: (offered: Set<string>) => (offered.has(JSON_PROTOCOL) ? JSON_PROTOCOL : false),
    },
  })
  const timer = setInterval(() => lookAfter(clients, budgetBytes), TICK_MS)
  timer.unref()
  app.addHook('onClose', async () => clearInterval(timer))
  app.get('/v1/partitions/:pid/stream', { websocket: true }, (socket, request) => {
    // A broken frame ends the connection; the library has told the client why.
    socket.on('error', () => socket.terminate())
    const client = open(socket, request, parts)
    if (client === undefined) return
    clients.add(client)
    parts.streamMeter.clients = clients.size
    serve(client, budgetBytes)
    socket.on('close', () => {
      clients.delete(client)
      parts.streamMeter.clients = clients.size
    })
  })
}
