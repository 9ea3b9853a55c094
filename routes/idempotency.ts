/**
 * Idempotency-Key: the answer to a request is kept for a while and given again, so that a retry does nothing
 * twice.
 */
import { createHash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { IDEMPOTENCY_KEY, IdempotencyKey, KEY_RULE } from '../src/api/idempotency-key.js'
import { InputError } from '../src/api/problem.js'
import { sendJson } from './typed.js'

export interface Answer {
  readonly status: number
  readonly text: string
  readonly location?: string
}

interface Kept {
  readonly digest: string
  readonly answer: Answer
}

export class IdempotencyStore {
  /** Least recently used first. */
  readonly #kept = new Map<string, Kept>()
  #bytes = 0

  constructor(
    private readonly entriesMax: number,
    private readonly bytesMax: number,
  ) {}

  get size(): number {
    return this.#kept.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * The kept answer of a key; undefined if there is none.
   * @throws InputError if it belongs to another body
   */
  find(key: string, digest: string): Answer | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined) return undefined
    if (kept.digest !== digest) {
      const message = 'must be new, or come with the body it came with before'
      throw new InputError([{ path: IDEMPOTENCY_KEY, message }], 'idempotency-conflict')
    }
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    return kept.answer
  }

  /** Keeps an answer; the least recently used ones make room. The newest always stays, whatever its size. */
  keep(key: string, digest: string, answer: Answer): void {
    this.#kept.set(key, { digest, answer })
    this.#bytes += sizeOf(key, answer)
    for (const [oldest, { answer: given }] of this.#kept) {
      const fits = this.#kept.size <= this.entriesMax && this.#bytes <= this.bytesMax
      if (fits || oldest === key) return
      this.#kept.delete(oldest)
      this.#bytes -= sizeOf(oldest, given)
    }
  }
}

/** Digest and bookkeeping of an entry take about as much as a short answer. */
const sizeOf = (key: string, { text }: Answer) => key.length + text.length + 256

/**
 * Requests that failed changed nothing, so only answers are kept.
 * @param scope operation and resource: elsewhere the same key is another one
 */
export function answerOnce(
  store: IdempotencyStore,
  reply: FastifyReply,
  scope: string,
  body: unknown,
  make: () => Answer,
): Answer {
  const key = reply.request.headers[IDEMPOTENCY_KEY]
  if (key === undefined) return send(reply, make())
  if (!IdempotencyKey.safeParse({ [IDEMPOTENCY_KEY]: key }).success) {
    throw new InputError([{ path: IDEMPOTENCY_KEY, message: `must be ${KEY_RULE}` }])
  }
  const place = `${scope} ${key}`
  const digest = createHash('sha256')
    .update(JSON.stringify(body) ?? '')
    .digest('base64')
  const kept = store.find(place, digest)
  const answer = kept ?? make()
  if (kept === undefined) store.keep(place, digest, answer)
  else reply.header('idempotency-replayed', 'true')
  return send(reply, answer)
}

function send(reply: FastifyReply, answer: Answer): Answer {
  reply.code(answer.status)
  if (answer.location !== undefined) reply.header('location', answer.location)
  sendJson(reply, answer.text)
  return answer
}
