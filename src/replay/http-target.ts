// A partition on a running server, made for this replay and deleted after it.
import { z } from 'zod'
import type { WireOp } from '../api/op-decode.js'
import { Result } from '../api/result.js'
import { ReplayInputError, reasonOf } from './input-error.js'
import { RefusedOpError, type ReplayTarget, type TargetConfig } from './target.js'

/** A batch is small, so an answer that takes longer is not coming. */
const TIMEOUT_MS = 60_000
/** The first answer tells whether there is a server at all. */
const FIRST_TIMEOUT_MS = 10_000

const Created = z.object({ id: z.string().min(1) })
const Applied = z.object({ results: z.array(Result) })
/** RFC 9457, as far as a person is told. */
const Problem = z.object({
  title: z.string().optional(),
  detail: z.string().optional(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
})

interface Answer {
  readonly status: number
  readonly body: unknown
}

export class HttpTarget implements ReplayTarget {
  readonly name: string
  readonly #base: string
  readonly #headers: Record<string, string>
  #partition = ''
  /** Has the server answered yet? */
  #greeted = false

  /** @param url where the server listens: `http://host:8440`, with or without `/v1` */
  constructor(url: string, token?: string) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new ReplayInputError(`--url: "${url}" is no http:// or https:// address`)
    }
    this.#base = `${url.replace(/\/+$/, '').replace(/\/v1$/, '')}/v1`
    this.name = this.#base
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  async create(config: TargetConfig): Promise<void> {
    const { profile, kind, gpaLimit, vcpus, options, snapshot } = config
    const body =
      snapshot === undefined
        ? { profile, kind, gpa_limit: gpaLimit, vcpus, options, clock: 'virtual' }
        : { snapshot, clock: 'virtual' }
    const answer = await this.#request('POST', '/partitions', body)
    if (answer.status !== 201) throw new ReplayInputError(this.#refusal('no partition was made', answer))
    this.#partition = `/partitions/${encodeURIComponent(this.#read(Created, answer).id)}`
  }

  async apply(ops: readonly WireOp[]): Promise<Result[]> {
    if (ops.length === 0) return []
    const answer = await this.#request('POST', `${this.#partition}/ops`, { ops })
    if (answer.status !== 200) {
      const index = refusedIndex(answer)
      if (index !== undefined && index < ops.length) {
        throw new RefusedOpError(index, this.#refusal('refused', answer))
      }
      throw new ReplayInputError(this.#refusal('ops were refused', answer))
    }
    const { results } = this.#read(Applied, answer)
    if (results.length !== ops.length) {
      throw new ReplayInputError(`${this.name} answered ${ops.length} ops with ${results.length} results`)
    }
    return results
  }

  async close(): Promise<void> {
    const partition = this.#partition
    this.#partition = ''
    if (partition !== '') await this.#request('DELETE', partition)
  }

  async #request(method: string, path: string, body?: object): Promise<Answer> {
    const headers =
      body === undefined ? this.#headers : { ...this.#headers, 'content-type': 'application/json' }
    try {
      const response = await fetch(this.#base + path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(this.#greeted ? TIMEOUT_MS : FIRST_TIMEOUT_MS),
      })
      const text = await response.text()
      this.#greeted = true
      return { status: response.status, body: jsonOf(text) }
    } catch (error) {
      throw new ReplayInputError(`cannot reach ${this.name}: ${reasonOf(error)}`)
    }
  }

  #read<T>(schema: z.ZodType<T>, { status, body }: Answer): T {
    const parsed = schema.safeParse(body)
    if (parsed.success) return parsed.data
    throw new ReplayInputError(`${this.name} gave an answer (status ${status}) that is not synicd's`)
  }

  #refusal(what: string, { status, body }: Answer): string {
    const problem = Problem.safeParse(body)
    const { title, detail, errors = [] } = problem.success ? problem.data : {}
    const reason = detail ?? title ?? 'no reason given'
    const fields = errors.filter(({ message }) => !reason.includes(message))
    const list = fields.map(({ path, message }) => `${path}: ${message}`).join('; ')
    return `${this.name}: ${what} (status ${status}): ${reason}${list === '' ? '' : ` [${list}]`}`
  }
}

/** Which op of the batch a problem speaks of: paths begin with `ops/7/`. */
function refusedIndex({ body }: Answer): number | undefined {
  const problem = Problem.safeParse(body)
  const path = problem.success ? problem.data.errors?.[0]?.path : undefined
  const digits = /^\/?ops\/(\d+)(?:\/|$)/.exec(path ?? '')?.[1]
  return digits === undefined ? undefined : Number(digits)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
