/** The typed REST client: one method an operation, with deadlines, signals and typed errors. */
import type * as operation from '../api/operation.js'
import type { CallOptions, Calls, ReplyHeaders } from './calls.js'
import { ENDPOINTS } from './endpoints.js'
import {
  isProblem,
  SynicdProblem,
  SynicdTimeout,
  SynicdUnexpectedReply,
  SynicdUnreachable,
} from './errors.js'
import { Partition } from './partition.js'
import { SynicdStream } from './stream.js'
import type { StreamOptions } from './stream-options.js'

/** As much of `fetch` as is needed; the one of browsers and Node fits. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>

interface FetchInit {
  method: string
  headers: Record<string, string>
  body?: string | Uint8Array<ArrayBuffer>
  signal: AbortSignal
}

interface FetchResponse {
  readonly status: number
  readonly headers: ReplyHeaders
  arrayBuffer(): Promise<ArrayBuffer>
  text(): Promise<string>
}

export interface ClientOptions {
  /** Instead of the global one. Connections are kept alive as it does by default. */
  readonly fetch?: Fetch
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>
  /** Bearer token. */
  readonly token?: string
  /** Milliseconds a call may take unless it says otherwise; 60,000 unless given, 0 = no limit. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 60_000
const EXCERPT_LENGTH = 120
// Typed by the contract's own constants: their module would bring zod along.
const JSON_TYPE: typeof operation.JSON_TYPE = 'application/json'
const BYTES_TYPE: typeof operation.BYTES_TYPE = 'application/octet-stream'

/** All that any operation takes, untyped. */
interface Input {
  readonly params?: Readonly<Record<string, unknown>>
  readonly query?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
}

interface Answer {
  readonly status: number
  readonly headers: ReplyHeaders
  readonly body: unknown
}

/**
 * A synicd server. `client.call` has a method for every operation of the contract:
 *
 * ```ts
 * const client = new SynicdClient('http://127.0.0.1:8440')
 * const params = { pid: 'p1', vp: 0, msr: 'SIMP' }
 * const { body } = await client.call.writeMsr({ params, body: { value: '0x1001' } })
 * ```
 *
 * Every call can be rejected with `SynicdProblem` (refused, nothing changed), `SynicdUnreachable`,
 * `SynicdTimeout`, `SynicdUnexpectedReply`, or the reason of its signal. A fault of the simulated machine is
 * no error: it is a result with `ok: false`.
 */
export class SynicdClient {
  /** Where the server is: no slash at the end, no `/v1`. */
  readonly url: string
  /** One method an operation, by its id in openapi.yaml. */
  readonly call: Calls
  readonly #fetch: Fetch
  readonly #headers: Readonly<Record<string, string>>
  readonly #token: string | undefined
  readonly #timeoutMs: number

  /**
   * @param url `http://host:8440`, with or without `/v1`; in a browser it may be relative
   * @throws TypeError if it is no http(s) address
   */
  constructor(url: string | URL, options: ClientOptions = {}) {
    this.url = baseOf(url)
    const { token } = options
    this.#token = token
    this.#fetch = options.fetch ?? ((target, init) => fetch(target, init))
    this.#headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...options.headers,
    }
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    this.call = Object.fromEntries(
      Object.entries(ENDPOINTS).map(([id, endpoint]) => [
        id,
        (input?: Input, callOptions?: CallOptions) => this.#send(endpoint, input, callOptions),
      ]),
    ) as unknown as Calls
  }

  /** Shorthand for what is done with one partition. Asks nothing of the server. */
  partition(pid: string): Partition {
    return new Partition(this, pid)
  }

  /**
   * Opens the stream of a partition; it connects and reconnects by itself.
   * @throws TypeError if the id cannot stand in a path
   */
  stream(pid: string, options: StreamOptions = {}): SynicdStream {
    const path = pathOf('/v1/partitions/{pid}/stream', { pid })
    const headers = this.#token === undefined ? options.headers : { ...this.#headers, ...options.headers }
    const url = this.url.replace(/^http/, 'ws') + path
    return new SynicdStream(url, headers === undefined ? options : { ...options, headers })
  }

  async #send(endpoint: string, input: Input = {}, options: CallOptions = {}): Promise<Answer> {
    const [method = '', template = '', type = JSON_TYPE] = endpoint.split(' ')
    const url = this.url + pathOf(template, input.params ?? {}) + queryOf(input.query ?? {})
    const content = contentOf(input, this.#headers)
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs
    const limit = new Limit(options.signal, timeoutMs)
    try {
      const response = await this.#fetch(url, { method, ...content, signal: limit.signal })
      return await readAnswer(url, response, type)
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      if (limit.expired) throw new SynicdTimeout(url, timeoutMs)
      if (error instanceof SynicdProblem || error instanceof SynicdUnexpectedReply) throw error
      throw new SynicdUnreachable(url, error)
    } finally {
      limit.release()
    }
  }
}

/** The caller's signal and a deadline as one signal. `AbortSignal.any` is not in the oldest Node 20. */
class Limit {
  readonly #controller = new AbortController()
  readonly #abort = () => this.#controller.abort(this.caller?.reason)
  readonly #timer: ReturnType<typeof setTimeout> | undefined
  expired = false

  constructor(
    private readonly caller: AbortSignal | undefined,
    timeoutMs: number,
  ) {
    if (caller?.aborted) this.#abort()
    caller?.addEventListener('abort', this.#abort)
    if (timeoutMs > 0) this.#timer = setTimeout(() => this.#expire(), timeoutMs)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  release(): void {
    clearTimeout(this.#timer)
    this.caller?.removeEventListener('abort', this.#abort)
  }

  #expire(): void {
    this.expired = true
    this.#controller.abort()
  }
}

function baseOf(url: string | URL): string {
  const page = (globalThis as { location?: { href: string } }).location?.href
  if (!URL.canParse(String(url), page)) throw new TypeError(`"${url}" is no http:// or https:// address`)
  const { protocol, origin, pathname } = new URL(url, page)
  if (!/^https?:$/.test(protocol)) throw new TypeError(`"${url}" is no http:// or https:// address`)
  return origin + pathname.replace(/\/+$/, '').replace(/\/v1$/, '')
}

/** Dots alone would be taken for steps in the path, and an empty part would name another resource. */
function pathOf(template: string, params: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = params[name]
    const text = value === undefined ? '' : String(value)
    if (/^\.{0,2}$/.test(text)) throw new TypeError(`params.${name}: "${text}" cannot stand in a path`)
    return encodeURIComponent(text)
  })
}

function queryOf(query: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    const values = value === undefined ? [] : Array.isArray(value) ? value : [value]
    return values.map((item) => `${encodeURIComponent(name)}=${encodeURIComponent(String(item))}`)
  })
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

function contentOf(
  { headers = {}, body }: Input,
  common: Readonly<Record<string, string>>,
): Pick<FetchInit, 'headers' | 'body'> {
  const all: Record<string, string> = { ...common }
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) all[name] = value
  if (body === undefined) return { headers: all }
  if (body instanceof Uint8Array) {
    // The cast: fetch refuses only shared memory, which it tells itself.
    const bytes = body as Uint8Array<ArrayBuffer>
    return { headers: { ...all, 'content-type': BYTES_TYPE }, body: bytes }
  }
  return { headers: { ...all, 'content-type': JSON_TYPE }, body: JSON.stringify(body) }
}

/** @param expected content type of the reply the contract promises; replies without content have none */
async function readAnswer(url: string, response: FetchResponse, expected: string): Promise<Answer> {
  const { status, headers } = response
  const type = headers.get('content-type') ?? ''
  const isGood = status < 300 && type.startsWith(expected)
  if (isGood && expected === BYTES_TYPE) {
    return { status, headers, body: new Uint8Array(await response.arrayBuffer()) }
  }
  const text = await response.text()
  const isEmpty = (status === 204 || status === 304) && text === ''
  if (isEmpty) return { status, headers, body: undefined }
  if (isGood && expected !== JSON_TYPE) return { status, headers, body: text }
  const body = parsed(text)
  if (status >= 400 && isProblem(body)) throw new SynicdProblem(body)
  if (isGood && body !== undefined) return { status, headers, body }
  throw new SynicdUnexpectedReply(url, status, text.slice(0, EXCERPT_LENGTH))
}

/** Undefined if it is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
