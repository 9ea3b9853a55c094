/** Operations as Fastify routes: zod checks what comes in, handlers get it typed, one metric a request. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import { z } from 'zod'
import type { Operation } from '../src/api/operation.js'
import { fieldProblems, InputError } from '../src/api/problem.js'

type Output<S> = S extends z.ZodType ? z.output<S> : undefined

/** What a handler gets: each part as its schema turns it out. */
export interface Input<O extends Operation> {
  readonly params: O extends { params: infer P } ? Output<P> : undefined
  readonly query: O extends { query: infer Q } ? Output<Q> : undefined
  readonly headers: O extends { headers: infer H } ? Output<H> : undefined
  readonly body: O extends { body: { schema: infer B } } ? Output<B> : undefined
}

declare module 'fastify' {
  interface FastifyReply {
    /** Monotonic milliseconds, set when the request came. */
    beganAtMs: number
  }
  interface FastifyContextConfig {
    operation?: Operation
  }
}

export interface HttpMeter {
  /** One finished request. `route` is the pattern, never the path: labels stay bounded. */
  observeHttp(method: string, route: string, status: number, seconds: number): void
}

export function observe(meter: HttpMeter, request: FastifyRequest, reply: FastifyReply, route: string): void {
  meter.observeHttp(request.method, route, reply.statusCode, (performance.now() - reply.beganAtMs) / 1000)
}

/** `/v1/partitions/{pid}` as Fastify writes it. */
export const fastifyPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1')

function check(schema: z.ZodType, value: unknown): unknown {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const errors = fieldProblems(parsed.error.issues, { schema, value })
  const inSnapshot = errors.every(({ path }) => path.split('/', 1)[0] === 'snapshot')
  throw new InputError(errors, inSnapshot ? 'invalid-snapshot' : 'invalid-request')
}

function isList(schema: unknown): boolean {
  return schema instanceof z.ZodOptional ? isList(schema.unwrap()) : schema instanceof z.ZodArray
}

/** A parameter that may come more than once is a list also when it comes once. */
function withLists(schema: z.ZodObject, query: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(query).map(([name, value]) => {
    if (isList(schema.shape[name])) return [name, Array.isArray(value) ? value : [value]]
    if (!Array.isArray(value) || schema.shape[name] === undefined) return [name, value]
    throw new InputError([{ path: name, message: 'must be given once' }])
  })
  return Object.fromEntries(entries)
}

const NO_QUERY = z.strictObject({})

/** Unknown query parameters are mistakes; without any there is nothing to look at. */
export function checkQuery(operation: Operation, request: FastifyRequest): unknown {
  const { query: schema = NO_QUERY } = operation
  if (operation.query === undefined && !request.url.includes('?')) return undefined
  return check(schema, withLists(schema, request.query as Record<string, unknown>))
}

function checkHeaders(schema: z.ZodObject, request: FastifyRequest): unknown {
  const named = Object.keys(schema.shape).map((name) => [name, request.headers[name]])
  return check(schema, Object.fromEntries(named.filter(([, value]) => value !== undefined)))
}

function checkBody(operation: Operation, request: FastifyRequest): unknown {
  const { body } = operation
  if (body === undefined) return undefined
  if (body.type !== undefined) return request.body
  // Where every field may be left out, so may the body; but null is one, and a mistake.
  const isLeftOut = request.body === undefined && !body.required
  return check(body.schema, isLeftOut ? {} : request.body)
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

export class Router {
  constructor(
    private readonly app: FastifyInstance,
    private readonly meter: HttpMeter,
  ) {}

  /** A route whose input zod checks. What the handler returns is sent; a string is JSON text already. */
  on<const O extends Operation>(
    operation: O,
    handler: (input: Input<O>, request: FastifyRequest, reply: FastifyReply) => unknown,
  ): void {
    this.raw(operation, (request, reply) => {
      const { params, headers } = operation as Operation
      const input = {
        params: params === undefined ? undefined : check(params, request.params),
        query: checkQuery(operation, request),
        headers: headers === undefined ? undefined : checkHeaders(headers, request),
        body: checkBody(operation, request),
      } as Input<O>
      const answer = handler(input, request, reply)
      if (answer !== reply) sendJson(reply, answer)
    })
  }

  /** A route that checks its input by hand: the hot ones. */
  raw(operation: Operation, handler: Handler): void {
    const { method, path, plane } = operation
    const { meter } = this
    const route = { method, url: fastifyPath(path), config: { operation } }
    if (plane === 'control') {
      this.app.route({
        ...route,
        handler: handler as RouteHandlerMethod,
        onResponse: (request, reply, done) => {
          observe(meter, request, reply, path)
          const { url } = request
          request.log.info({ method: request.method, url, status: reply.statusCode }, 'request')
          done()
        },
      })
      return
    }
    // An onResponse hook costs a tenth of a small request. Here the answer is sent before the handler
    // returns; what it throws instead is observed where the problem is sent.
    this.app.route({
      ...route,
      handler: (request, reply) => {
        handler(request, reply)
        observe(meter, request, reply, path)
      },
    })
  }
}

const JSON_UTF8 = 'application/json; charset=utf-8'

/** Sends JSON: a string is the text itself. */
export function sendJson(reply: FastifyReply, answer: unknown): void {
  reply.header('content-type', JSON_UTF8)
  reply.send(typeof answer === 'string' ? answer : JSON.stringify(answer))
}
