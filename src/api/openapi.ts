/**
 * Schemas and operations to one OpenAPI 3.1 document: what `npm run openapi` writes and the server serves.
 */
import type { z } from 'zod'
import { Components, type Json } from './components.js'
import { takesKey } from './idempotency-key.js'
import { bodyTypesOf, JSON_TYPE, type Operation, problemsOf, type Reply, TAGS } from './operation.js'
import { OPERATIONS } from './operations/all.js'
import { PROBLEMS, Problem, type ProblemCode, problemType } from './problem.js'

export const PROBLEM_TYPE = 'application/problem+json'

const REQUEST_ID = '#/components/parameters/RequestId'
const REQUEST_ID_HEADER = '#/components/headers/RequestId'
const isOptional = (schema: z.ZodType) => schema.safeParse(undefined).success

function parameters(components: Components, schema: z.ZodObject | undefined, where: string): Json[] {
  return Object.entries(schema?.shape ?? {}).map(([name, field]) => {
    const { description, examples, ...rest } = components.json(field as z.ZodType, 'output')
    return {
      name,
      in: where,
      required: !isOptional(field as z.ZodType),
      // Lists are written with commas.
      ...(where === 'query' && rest.type === 'array' ? { style: 'form', explode: false } : {}),
      ...(description === undefined ? {} : { description }),
      schema: { ...rest, ...(examples === undefined ? {} : { examples }) },
    }
  })
}

function contentOf(components: Components, schema: z.ZodType, type: string, io: 'input' | 'output'): Json {
  const plain = type === JSON_TYPE ? components.json(schema, io) : { type: 'string' }
  return { [type]: { schema: plain } }
}

/** What answers a 101 is no longer this server's HTTP. */
const SWITCHING = '101'

const KEPT = {
  'idempotency-replayed': '`true` when this is the kept answer of an earlier request with the same key.',
}

function replyOf(
  components: Components,
  status: string,
  { description, schema, type = JSON_TYPE, headers = {} }: Reply,
  isKept: boolean,
): Json {
  const own = Object.entries({ ...headers, ...(isKept ? KEPT : {}) }).map(([name, text]) => [
    name,
    { description: text, schema: { type: 'string' } },
  ])
  return {
    description,
    headers: {
      ...(status === SWITCHING ? {} : { 'x-request-id': { $ref: REQUEST_ID_HEADER } }),
      ...Object.fromEntries(own),
    },
    ...(schema === undefined ? {} : { content: contentOf(components, schema, type, 'output') }),
  }
}

/** All problems look alike; which ones a status may mean stands beside the reference. */
function problemReply(codes: readonly ProblemCode[]): Json {
  const list = codes.map((code) => `\`${problemType(code)}\`: ${PROBLEMS[code].title}.`)
  return { $ref: '#/components/responses/Problem', description: list.join(' ') }
}

const PROBLEM_REPLY = {
  description: 'A problem document.',
  headers: { 'x-request-id': { $ref: REQUEST_ID_HEADER } },
  content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
}

function repliesOf(components: Components, operation: Operation): Json {
  const replies = Object.entries(operation.replies).map(([status, reply]) => [
    status,
    replyOf(components, status, reply, takesKey(operation)),
  ])
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of problemsOf(operation)) {
    const { status } = PROBLEMS[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const problems = [...byStatus].sort(([a], [b]) => a - b)
  return {
    ...Object.fromEntries(replies),
    ...Object.fromEntries(problems.map(([status, codes]) => [status, problemReply(codes)])),
  }
}

function operationOf(components: Components, operation: Operation): Json {
  const { id, tag, summary, description, params, query, headers, body } = operation
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    parameters: [
      ...parameters(components, params, 'path'),
      ...parameters(components, query, 'query'),
      ...parameters(components, headers, 'header'),
      { $ref: REQUEST_ID },
    ],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: body.required,
            content: Object.assign(
              {},
              ...bodyTypesOf(operation).map((type) => contentOf(components, body.schema, type, 'input')),
            ),
          },
        }),
    responses: repliesOf(components, operation),
  }
}

/** Generators want to know which schema an `op` stands for. */
function discriminate(schemas: Record<string, Json>): void {
  const branches = schemas.Op?.oneOf as readonly { $ref: string }[]
  const mapping = branches.map(({ $ref }) => {
    const name = $ref.replace('#/components/schemas/', '')
    const { op } = schemas[name].properties as { op: { const: string } }
    return [op.const, $ref]
  })
  schemas.Op = { ...schemas.Op, discriminator: { propertyName: 'op', mapping: Object.fromEntries(mapping) } }
}

const requestId = { schema: { type: 'string', pattern: '^[A-Za-z0-9._:-]{1,64}$' } }

export function openapiDocument(): Json {
  const components = new Components()
  const paths: Record<string, Json> = {}
  for (const operation of OPERATIONS) {
    const path = paths[operation.path] ?? {}
    paths[operation.path] = { ...path, [operation.method.toLowerCase()]: operationOf(components, operation) }
  }
  components.json(Problem, 'output')
  discriminate(components.schemas)
  return {
    openapi: '3.1.0',
    info: {
      title: 'synicd',
      version: '1.0.0',
      summary: 'Simulates Hyper-V partitions and their per-vCPU SynICs.',
      description:
        'u64 values are `"0x1f"`; input also takes JSON integers up to 2^53-1. Time is in 100 ns ticks. ' +
        'Errors are RFC 9457 problem documents, and a request that fails changes nothing; a fault or errno ' +
        'of the simulated machine is a result with `ok: false`, not an error. Every GET also answers HEAD.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: components.sorted(),
      parameters: {
        RequestId: {
          name: 'x-request-id',
          in: 'header',
          required: false,
          description: "The client's name for this request, echoed; one that does not fit is replaced.",
          schema: { type: 'string' },
        },
      },
      responses: { Problem: PROBLEM_REPLY },
      headers: { RequestId: { description: 'Name of this request.', ...requestId } },
    },
  }
}
