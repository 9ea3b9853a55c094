/** In-process requests, checked with their replies against openapi.yaml: what is not in it fails the test. */
import { readFileSync } from 'node:fs'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormatsModule from 'ajv-formats'
import type { FastifyInstance, HTTPMethods, InjectOptions } from 'fastify'
import { parse } from 'yaml'

type Json = Record<string, unknown>
interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required: boolean
  readonly schema: Json
}
interface Content {
  readonly schema: Json
}
interface Responses {
  readonly description: string
  readonly headers?: Readonly<Record<string, unknown>>
  readonly content?: Readonly<Record<string, Content>>
}
interface DocumentOperation {
  readonly parameters: readonly Parameter[]
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, Content>> }
  readonly responses: Readonly<Record<string, Responses>>
}

const document = parse(readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8')) as {
  paths: Record<string, Record<string, DocumentOperation>>
  components: Json
}

const addFormats = addFormatsModule.default
const ajv = new Ajv2020({ strict: false, allErrors: false, discriminator: true })
addFormats(ajv)
// ajv knows `discriminator`, but not its `mapping`.
const checkable = JSON.parse(JSON.stringify(document), (key, value) =>
  key === 'mapping' ? undefined : value,
)
ajv.addSchema({ ...checkable, $id: 'openapi' })

const validators = new Map<string, ValidateFunction>()

function validator(schema: Json): ValidateFunction {
  const key = JSON.stringify(schema)
  const known = validators.get(key)
  if (known !== undefined) return known
  const text = key.replaceAll('"#/components/', '"openapi#/components/')
  const made = ajv.compile(JSON.parse(text))
  validators.set(key, made)
  return made
}

/** What is wrong with a value; empty if nothing is. */
function misfits(schema: Json, value: unknown, where: string): string[] {
  const validate = validator(schema)
  if (validate(value)) return []
  return (validate.errors ?? []).map((error) => `${where}${error.instancePath}: ${error.message}`)
}

/** `#/components/...` followed once; references here never lead to references. */
function resolve<T extends object>(value: T): T {
  if (!('$ref' in value)) return value
  const path = String(value.$ref).slice(2).split('/')
  return path.reduce<unknown>((node, key) => (node as Json)[key], document) as T
}

interface Found {
  readonly operation: DocumentOperation
  readonly params: Readonly<Record<string, string>>
}

function find(method: string, path: string): Found | undefined {
  const verb = method === 'HEAD' ? 'get' : method.toLowerCase()
  for (const [template, operations] of Object.entries(document.paths)) {
    const operation = operations[verb]
    if (operation === undefined) continue
    const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    const pattern = new RegExp(`^${template.replaceAll('.', '\\.').replace(/\{\w+\}/g, '([^/]+)')}$`)
    const values = pattern.exec(path)
    if (values === null) continue
    const params = names.map((name, i) => [name, decodeURIComponent(values[i + 1])])
    return { operation, params: Object.fromEntries(params) }
  }
  return undefined
}

/** Text from a path or query as the type its schema asks for, where it is written as one. */
function typed(schema: Json, text: string): unknown {
  if (schema.type === 'integer') return /^\d+$/.test(text) ? Number(text) : text
  if (schema.type === 'boolean') return text === 'true' || text === 'false' ? text === 'true' : text
  return text
}

function checkParameters(found: Found, query: URLSearchParams, headers: Json): string[] {
  const known = new Set<string>()
  const wrong = found.operation.parameters.map(resolve).flatMap((parameter) => {
    const { name, schema, required } = parameter
    const where = `${parameter.in} ${name}`
    if (parameter.in === 'query') known.add(name)
    const given =
      parameter.in === 'path'
        ? found.params[name]
        : parameter.in === 'query'
          ? query.get(name)
          : headers[name]
    if (given === undefined || given === null) return required ? [`${where}: missing`] : []
    if (schema.type === 'array') return misfits(schema, query.getAll(name), where)
    return misfits(schema, typed(schema, String(given)), where)
  })
  const strangers = [...query.keys()].filter((name) => !known.has(name))
  return [...wrong, ...strangers.map((name) => `query ${name}: not in the document`)]
}

function checkRequestBody({ operation }: Found, payload: unknown, type: string | undefined): string[] {
  const { requestBody } = operation
  if (payload === undefined || payload === '') return requestBody?.required === true ? ['body: missing'] : []
  const content = requestBody?.content[(type ?? 'application/json').split(';')[0]]
  if (content === undefined) return [`body: ${type} is not in the document`]
  if (content.schema.type === 'string') return []
  if (typeof payload !== 'string') return misfits(content.schema, payload, 'body')
  try {
    return misfits(content.schema, JSON.parse(payload), 'body')
  } catch {
    return ['body: not JSON']
  }
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Parsed JSON; undefined for other content. */
  readonly body: Json
  readonly text: string
  readonly bytes: Buffer
}

function checkReply({ operation }: Found, reply: Reply, head: boolean): string[] {
  const listed = operation.responses[reply.status]
  if (listed === undefined)
    return [`status ${reply.status} is not in the document: ${reply.text.slice(0, 300)}`]
  const { content, headers = {} } = resolve(listed)
  const missing = Object.keys(headers)
    .filter((name) => name !== 'idempotency-replayed' && reply.headers[name] === undefined)
    .map((name) => `reply without ${name}`)
  if (head) return missing
  if (content === undefined)
    return reply.text === '' ? missing : [...missing, 'a body that is not in the document']
  const type = (reply.headers['content-type'] ?? '').split(';')[0]
  const listedContent = content[type]
  if (listedContent === undefined) return [...missing, `content type "${type}" is not in the document`]
  const isJson = type.endsWith('json') && type !== 'application/x-ndjson'
  return isJson ? [...missing, ...misfits(listedContent.schema, reply.body, 'reply')] : missing
}

export interface Request {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends a request; throws unless both it and its reply are as documented. A bad request must be refused. */
export async function send(
  app: FastifyInstance,
  method: HTTPMethods,
  url: string,
  { body, headers = {} }: Request = {},
): Promise<Reply> {
  const { pathname, searchParams } = new URL(url, 'http://test')
  const found = find(method, pathname)
  if (found === undefined) throw new Error(`${method} ${pathname} is not in openapi.yaml`)
  const wrong = [
    ...checkParameters(found, searchParams, headers),
    ...checkRequestBody(found, body, headers['content-type']),
  ]
  const reply = await inject(app, method, url, { body, headers })
  const wrongReply = checkReply(found, reply, method === 'HEAD')
  if (wrongReply.length > 0) throw new Error(`${method} ${url}: ${wrongReply.join('; ')}`)
  if (wrong.length > 0 && reply.status < 400) {
    throw new Error(
      `${method} ${url} was answered ${reply.status}, but the document refuses it: ${wrong.join('; ')}`,
    )
  }
  return reply
}

/** The same without the document, for paths and methods that it does not have. */
export async function inject(
  app: FastifyInstance,
  method: HTTPMethods,
  url: string,
  { body, headers = {} }: Request = {},
): Promise<Reply> {
  const payload = body as NonNullable<InjectOptions['payload']>
  const answer = await app.inject({ method, url, headers, ...(body === undefined ? {} : { payload }) })
  const type = String(answer.headers['content-type'] ?? '')
  const isJson = /^application\/(?:problem\+)?json/.test(type) && answer.body !== ''
  return {
    status: answer.statusCode,
    headers: answer.headers as Record<string, string>,
    body: isJson ? answer.json() : {},
    text: answer.body,
    bytes: answer.rawPayload,
  }
}
