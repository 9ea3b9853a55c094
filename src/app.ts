/** Composition root: engine, telemetry and routes into one Fastify app. */
import { isUtf8 } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  LogController,
} from 'fastify'
import type { HealthView } from '../routes/health.js'
import { HostNames } from '../routes/host-name.js'
import { IdempotencyStore } from '../routes/idempotency.js'
import routes from '../routes/index.js'
import type { MetricsText } from '../routes/metrics.js'
import { originRefusal } from '../routes/origin.js'
import { Outgoing } from '../routes/outgoing.js'
import { answerBrokenHttp, answerExpectation, handleUnknown, handleUnroutable } from '../routes/problems.js'
import { limitRate } from '../routes/rate-limit.js'
import streamRoutes from '../routes/streams.js'
import { hasTooManyParts, JSON_PARTS_RULE } from './api/json-text.js'
import { JSON_TYPE } from './api/operation.js'
import { InputError, UTF8_RULE } from './api/problem.js'
import type { Service } from './engine/service.js'
import type { SessionLimits } from './streams/session.js'
import type { StreamMeter } from './telemetry/metrics.js'

export interface AppLimits {
  /** Largest request body. */
  readonly bodyBytes: number
  /** Requests a second and client; 0 = no limit. */
  readonly requestsPerSecond: number
  /** Answers kept for Idempotency-Key: how many, and their bytes together. */
  readonly idempotencyEntries: number
  readonly idempotencyBytes: number
  /** Large answers that clients have not taken yet. */
  readonly outgoingBytes: number
  /** Streams that are open at a time. */
  readonly streamsMax: number
  /** How long a client may take nothing of a large answer, in milliseconds. */
  readonly outgoingStallMs: number
}

export interface AppParts {
  readonly service: Service
  readonly metrics: MetricsText & { readonly streamMeter?: StreamMeter }
  readonly health: HealthView
  readonly logger?: FastifyBaseLogger
  readonly limits?: Partial<AppLimits>
  /** How patient streams are with slow readers. */
  readonly stream?: Partial<SessionLimits>
  /** Names with a dot that clients may call the server by; `*` means any, and is the default. */
  readonly hostNames?: readonly string[]
}

const DEFAULT_LIMITS: AppLimits = {
  bodyBytes: 16 * 1024 * 1024,
  requestsPerSecond: 0,
  idempotencyEntries: 10_000,
  idempotencyBytes: 64 * 1024 * 1024,
  outgoingBytes: 256 * 1024 * 1024,
  outgoingStallMs: 30_000,
  streamsMax: 16_384,
}

/** Longest path parameter looked at; longer ones are no resource. */
const PARAM_LENGTH_MAX = 128
/** A request that has not come whole by then is cut off. */
const REQUEST_TIMEOUT_MS = 60_000
const REQUEST_ID = /^[A-Za-z0-9._:-]{1,64}$/

/** The client's name for a request if it fits a log line, else one of our own. */
function requestIds(): (request: IncomingMessage) => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return (request) => {
    const given = request.headers['x-request-id']
    if (typeof given === 'string' && REQUEST_ID.test(given)) return given
    return `${prefix}-${(++count).toString(36)}`
  }
}

/** Why a body was refused: the parser's own words with the place, or the names that no object may have. */
function malformed(body: string): InputError {
  let message = 'must not have a member "__proto__", nor "constructor" with "prototype"'
  try {
    JSON.parse(body)
  } catch (error) {
    message = `must be JSON: ${(error as Error).message}`
  }
  return new InputError([{ path: '', message }], 'malformed-json', `The body ${message}.`)
}

/** A body that would hold everybody else while it is read. */
function overgrown(): InputError {
  const message = `must ${JSON_PARTS_RULE}`
  return new InputError([{ path: '', message }], 'body-too-large', `The body ${message}.`)
}

/** JSON bodies and nothing else; a route that takes bytes says so itself. An empty body is none. */
function parseJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>(JSON_TYPE, { parseAs: 'buffer' }, (request, bytes, done) => {
    if (bytes.length === 0) return done(null, undefined)
    if (!isUtf8(bytes)) return done(new InputError([{ path: '', message: UTF8_RULE }], 'malformed-json'))
    const body = bytes.toString()
    if (hasTooManyParts(body)) return done(overgrown())
    parse(request, body, (error, value) => done(error === null ? null : malformed(body), value))
  })
}

/** Bodies come as they are, in UTF-8. */
function encodingRefusal(headers: IncomingMessage['headers']): InputError | undefined {
  const encoding = headers['content-encoding'] ?? 'identity'
  const [, charset = 'utf-8'] = /charset="?([^\s;"]+)/i.exec(headers['content-type'] ?? '') ?? []
  if (encoding === 'identity' && /^utf-?8$/i.test(charset)) return undefined
  const [path, message] =
    encoding === 'identity'
      ? ['content-type', 'must have no charset but utf-8']
      : ['content-encoding', 'must be absent']
  return new InputError([{ path, message }], 'unsupported-media-type')
}

/**
 * Node reads nothing more from a connection that asked for an upgrade: unless it becomes a stream, it is over
 * with its answer, and nobody else would close it.
 */
function endWithAnswer(socket: Socket, reply: FastifyReply): void {
  reply.header('connection', 'close')
  reply.raw.once('finish', () => socket.destroySoon())
}

/** Headers of every answer, and the time it began. */
function beginAnswers(app: FastifyInstance, health: HealthView, hosts: HostNames): void {
  app.decorateReply('beganAtMs', 0)
  app.addHook('onRequest', (request, reply, done) => {
    reply.beganAtMs = performance.now()
    reply.header('x-request-id', request.id)
    // Nobody caches what other methods answer.
    if (request.method === 'GET' || request.method === 'HEAD') reply.header('cache-control', 'no-store')
    if (request.headers.upgrade !== undefined) endWithAnswer(request.raw.socket, reply)
    const { headers, raw } = request
    const refusal = hosts.refusal(raw) ?? encodingRefusal(headers) ?? originRefusal(raw)
    if (refusal !== undefined) return done(refusal)
    // A client that keeps its connection would go on asking a server that is about to leave.
    if (!health.ready) reply.header('connection', 'close')
    done()
  })
}

export async function buildApp({
  service,
  metrics,
  health,
  logger,
  limits,
  stream,
  hostNames = ['*'],
}: AppParts): Promise<FastifyInstance> {
  const {
    bodyBytes,
    requestsPerSecond,
    idempotencyEntries,
    idempotencyBytes,
    outgoingBytes,
    outgoingStallMs,
    streamsMax,
  } = {
    ...DEFAULT_LIMITS,
    ...limits,
  }
  const app: FastifyInstance = Fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    // Control-plane routes log one line of their own; the data plane logs none.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyBytes,
    genReqId: requestIds(),
    requestIdHeader: false,
    // Requests that come while the server closes are still served, with `connection: close`.
    return503OnClosing: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    clientErrorHandler: answerBrokenHttp,
    // Node would answer a request without one by itself, in a response without a body.
    http: { requireHostHeader: false },
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    frameworkErrors: (error, request, reply) => handleUnroutable(metrics, error, request, reply),
  })
  app.server.on('checkExpectation', answerExpectation)
  parseJsonOnly(app)
  beginAnswers(app, health, new HostNames(hostNames))
  await limitRate(app, requestsPerSecond)
  handleUnknown(app, metrics)
  const idempotency = new IdempotencyStore(idempotencyEntries, idempotencyBytes)
  const streamMeter = metrics.streamMeter ?? { clients: 0, dropped: 0 }
  await app.register(streamRoutes, {
    service,
    streamMeter,
    frameBytes: bodyBytes,
    streamsMax,
    ...(stream === undefined ? {} : { sessionLimits: stream }),
  })
  const outgoing = new Outgoing(outgoingBytes, outgoingStallMs)
  await app.register(routes, { service, meter: metrics, metrics, health, idempotency, outgoing })
  return app
}
