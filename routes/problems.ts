/**
 * Errors as problem documents: what handlers throw, what Fastify refuses, paths and methods that do not
 * exist.
 */
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { PROBLEM_TYPE } from '../src/api/openapi.js'
import { bodyTypesOf, type Operation } from '../src/api/operation.js'
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
  if (statusCode >= 400 && statusCode < 500) return { code: 'invalid-request', detail: message }
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

/** A body of a type that is not taken: which are? */
function withBodyTypes(trouble: Trouble, operation: Operation | undefined): Trouble {
  const { code, detail, errors = [] } = trouble
  if (code !== 'unsupported-media-type' || operation === undefined || errors.length > 0) return trouble
  const types = bodyTypesOf(operation)
  return types.length === 0 ? trouble : { code, detail: `${detail}; it must be ${types.join(' or ')}` }
}

/** What a handler threw, or Fastify refused before there was a handler. */
function handleError(meter: HttpMeter, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { operation } = request.routeOptions.config
  const trouble = withBodyTypes(troubleOf(error), operation)
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
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    reason: 'Request Timeout',
    detail: 'The request did not come whole in time.',
  },
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
  const { title } = PROBLEMS['invalid-request']
  const problem = {
    type: problemType('invalid-request'),
    title,
    status,
    detail,
    instance: '',
    request_id: '',
  }
  const body = JSON.stringify(problem)
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
      sendProblem(request, reply, { code: 'not-found', detail: `There is nothing at ${path}.` })
    } else {
      reply.header('allow', methods.join(', '))
      const detail = `${path} has ${methods.join(', ')}, not ${request.method}.`
      sendProblem(request, reply, { code: 'method-not-allowed', detail })
    }
    observe(meter, request, reply, 'unmatched')
  })
}
