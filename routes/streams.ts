/** The WebSocket of a partition: the upgrade, and what becomes of who asks for none. */
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import {
  BIN_PROTOCOL,
  CLOSE_BAD_FRAME,
  CLOSE_GOING_AWAY,
  CLOSE_NO_PARTITION,
  JSON_PROTOCOL,
  StreamQuery,
} from '../src/api/frames.js'
import { openStream } from '../src/api/operations/streams.js'
import { fieldProblems, InputError } from '../src/api/problem.js'
import { CLOSE_INTERNAL_ERROR, hangUp, StreamClient } from './stream-client.js'
import { type StreamParts, Streams } from './stream-server.js'
import { checkQuery, fastifyPath } from './typed.js'

const TICK_MS = 250
/** A client that does not take the end of a stream either is not waited for. */
const CLOSE_MS = 2000

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
    const [{ path, message }] = fieldProblems(query.error.issues, {
      schema: StreamQuery,
      value: request.query,
    })
    return hangUp(socket, CLOSE_BAD_FRAME, `${path} ${message}`)
  }
  const host = streams.parts.service.find(pid)
  if (host === undefined) return hangUp(socket, CLOSE_NO_PARTITION, 'no such partition')
  new StreamClient(socket, request.raw.socket, host, streams, query.data, request.log)
}

/** Who asks for no WebSocket is told what a WebSocket would be closed for, or that it takes one. */
function refusePlain(request: FastifyRequest, reply: FastifyReply, { service }: StreamParts): never {
  checkQuery(openStream, request)
  service.get((request.params as { pid: string }).pid)
  reply.header('upgrade', 'websocket').header('connection', 'upgrade')
  throw new InputError([], 'upgrade-required', 'This is a WebSocket: ask for it with `Upgrade: websocket`.')
}

/** The next stream would be one too many; whoever asks is told so before the upgrade. */
function admit({ ws }: FastifyRequest, { clients, parts }: Streams): void {
  if (!ws || clients.size < parts.streamsMax) return
  throw new InputError([], 'too-busy', `This server has room for ${parts.streamsMax} streams, and no more.`)
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
    onRequest: async (request) => admit(request, streams),
    wsHandler(socket, request) {
      // A broken frame ends the connection. The library has told the client why, which takes its time.
      socket.on('error', () => giveUpSoon(socket))
      open(socket, request, streams)
    },
    handler: (request, reply) => refusePlain(request, reply, parts),
  })
}
