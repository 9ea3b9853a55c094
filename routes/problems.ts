/**
 * Errors as problem documents: what handlers throw, what Fastify refuses, paths and methods that do not
 * exist.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { PROBLEM_TYPE } from '../src/api/openapi.js'
import { bodyTypesOf } from '../src/api/operation.js'
import { OPERATIONS } from '../src/api/operations/all.js'
import {
  type FieldProblem,
  InputError,
  PROBLEMS,
  type Problem,
  type ProblemCode,
  problemType,
} from '../src/api/problem.js'
import { EngineError } from '../src/engine/errors.js'
import { TEXT_BYTES_MAX } from '../src/scenario/limits.js'
import { type HttpMeter, observe } from './typed.js'

interface Trouble {
  readonly code: ProblemCode
  readonly detail: string
  readonly errors?: readonly FieldProblem[]
}

/** Fastify's own refusals, by its error codes. */
const REFUSALS: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed-json',
}

/** What some of them say, in words of our own. */
const DETAILS: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'The path must be percent-encoded UTF-8.',
}

interface Refusal {
  readonly code: string
  readonly statusCode: number
  readonly message: string
}

function troubleOf(error: unknown): Trouble {
  // That every engine code has an entry in PROBLEMS, the compiler sees here.
  if (error instanceof EngineError || error instanceof InputError) {
    return { code: error.code, detail: error.message, errors: error.errors }
  }
  const { code = '', statusCode = 500, message = '' } = error as Partial<Refusal>
  // Longer than any name can be, so nothing has it.
  if (code === 'FST_ERR_MAX_PARAM_LENGTH')
    return { code: 'not-found', detail: 'A part of the path is too long.' }
  const known = REFUSALS[code]
  if (known !== undefined) return { code: known, detail: message }
  if (error instanceof SyntaxError && statusCode === 400) return { code: 'malformed-json', detail: message }
  // A file outside of the folder that is served.
  if (statusCode === 403) return { code: 'not-found', detail: 'There is no such file.' }
  if (statusCode >= 400 && statusCode < 500) {
    return { code: 'invalid-request', detail: DETAILS[code] ?? message }
  }
  return {
    code: 'internal-error',
    detail: 'Something went wrong here; the log has more under this request id.',
  }
}

export function sendProblem(request: FastifyRequest, reply: FastifyReply, trouble: Trouble): void {
  const { status, title } = PROBLEMS[trouble.code]
  const { errors = [] } = trouble
  const problem: Problem = {
    type: problemType(trouble.code),
    title,
    status,
    detail: trouble.detail,
    instance: request.url.split('?', 1)[0],
    request_id: request.id,
    ...(errors.length === 0 ? {} : { errors: [...errors] }),
  }
  reply.code(status)
  reply.header('x-request-id', request.id)
  // Caches may keep a 404 or a 410 unless told not to.
  reply.header('cache-control', 'no-store')
  reply.header('content-type', PROBLEM_TYPE)
  reply.send(JSON.stringify(problem))
}

const refusal = (code: ProblemCode, path: string, message: string): Trouble => ({
  code,
  detail: [path, message].filter((part) => part !== '').join(' '),
  errors: [{ path, message }],
})

/** What Fastify refuses in words that name no field: which is it, and what does it take? */
function withRule(trouble: Trouble, request: FastifyRequest): Trouble {
  const { operation } = request.routeOptions.config
  const { code, errors = [] } = trouble
  if (operation === undefined || errors.length > 0) return trouble
  if (code === 'unsupported-media-type') {
    const types = bodyTypesOf(operation)
    const rule = types.length === 0 ? 'absent: no body is taken here' : types.join(' or ')
    return refusal(code, 'content-type', `must be ${rule}`)
  }
  if (code !== 'body-too-large') return trouble
  const isText = operation.body?.texts?.some((type) => request.headers['content-type']?.startsWith(type))
  const limit = isText ? TEXT_BYTES_MAX : `${request.routeOptions.bodyLimit} (--max-body-bytes)`
  return refusal(code, '', `must have no more bytes than ${limit}`)
}

/** What a handler threw, or Fastify refused before there was a handler. */
function handleError(meter: HttpMeter, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { operation } = request.routeOptions.config
  const trouble = withRule(troubleOf(error), request)
  if (trouble.code === 'internal-error') request.log.error({ err: error }, 'request failed')
  sendProblem(request, reply, trouble)
  // Control-plane routes have a hook of their own.
  if (operation?.plane === 'data') observe(meter, request, reply, operation.path)
}

const BROKEN: Readonly<Record<string, { status: number; reason: string; detail: string }>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    reason: 'Request Header Fields Too Large',
    detail: 'The request line and headers are longer than 16 KiB.',
  },
  HPE_INVALID_EOF_STATE: {
    status: 400,
    reason: 'Bad Request',
    detail: 'The connection ended in the midst of the request.',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    reason: 'Request Timeout',
    detail: 'The request did not come whole in time.',
  },
}

/** Of what never becomes a request: nobody has given it an id. */
function wireProblem(status: number, detail: string, errors?: FieldProblem[]): Problem {
  const { title } = PROBLEMS['invalid-request']
  const problem = {
    type: problemType('invalid-request'),
    title,
    status,
    detail,
    instance: '',
    request_id: '',
  }
  return errors === undefined ? problem : { ...problem, errors }
}

/** A client that waits for anything but 100 Continue before it sends its body. */
export function answerExpectation(_request: IncomingMessage, response: ServerResponse): void {
  const { detail, errors } = refusal('invalid-request', 'expect', 'must be 100-continue')
  response.writeHead(417, { 'content-type': PROBLEM_TYPE, connection: 'close' })
  response.end(JSON.stringify(wireProblem(417, detail, [...(errors ?? [])])))
}

/**
 * What Node's parser refuses has no request yet, only a socket: the problem is written on it, and it is
 * closed.
 */
export function answerBrokenHttp(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const { status, reason, detail } = BROKEN[error.code ?? ''] ?? {
    status: 400,
    reason: 'Bad Request',
    detail: `This is not HTTP as it should be: ${error.message}.`,
  }
  const body = JSON.stringify(wireProblem(status, detail))
  const head = `HTTP/1.1 ${status} ${reason}\r\ncontent-type: ${PROBLEM_TYPE}\r\nconnection: close\r\n`
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}

/** A request that Fastify cannot even route: no hook has run for it. */
export function handleUnroutable(
  meter: HttpMeter,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  sendProblem(request, reply, troubleOf(error))
  meter.observeHttp(request.method, 'unmatched', reply.statusCode, 0)
}

const PATHS = OPERATIONS.map(({ method, path }) => ({
  method,
  pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
}))

/** Methods that a path has; none if there is no such path. */
function methodsOf(path: string): string[] {
  const own = PATHS.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method as string)
  return own.includes('GET') ? [...own, 'HEAD'] : own
}

export function handleUnknown(app: FastifyInstance, meter: HttpMeter): void {
  app.setErrorHandler((error, request, reply) => handleError(meter, error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]
    const methods = methodsOf(path)
    if (methods.length === 0) {
      const bare = path.replace(/\/+$/, '')
      const hint = bare !== path && methodsOf(bare).length > 0 ? `; did you mean ${bare}?` : '.'
      sendProblem(request, reply, { code: 'not-found', detail: `There is nothing at ${path}${hint}` })
    } else {
      reply.header('allow', methods.join(', '))
      const detail = `${path} has ${methods.join(', ')}, not ${request.method}.`
      sendProblem(request, reply, { code: 'method-not-allowed', detail })
    }
    observe(meter, request, reply, 'unmatched')
  })
}
