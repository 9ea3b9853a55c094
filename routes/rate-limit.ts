/** Requests a second and client: one bucket an address, a bounded number of buckets. */
import type { FastifyInstance } from 'fastify'
import { sendProblem } from './problems.js'
import { type HttpMeter, observe } from './typed.js'

/** Addresses remembered; the one unused for longest is forgotten first and then begins with a full bucket. */
const CLIENTS_MAX = 10_000

interface Bucket {
  tokens: number
  at: number
}

export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>()

  /** @param now monotonic milliseconds */
  constructor(
    private readonly perSecond: number,
    private readonly now: () => number,
  ) {}

  /** Takes one token of a client; false if there is none. */
  take(client: string): boolean {
    const now = this.now()
    const known = this.#buckets.get(client)
    const refill = known === undefined ? 0 : ((now - known.at) / 1000) * this.perSecond
    const tokens = known === undefined ? this.perSecond : Math.min(this.perSecond, known.tokens + refill)
    const allowed = tokens >= 1
    this.#buckets.delete(client)
    this.#buckets.set(client, { tokens: allowed ? tokens - 1 : tokens, at: now })
    if (this.#buckets.size > CLIENTS_MAX) this.#buckets.delete(this.#buckets.keys().next().value as string)
    return allowed
  }
}

/** Probes and metrics stay reachable: only the API counts. */
export function limitRate(app: FastifyInstance, meter: HttpMeter, perSecond: number): void {
  if (perSecond === 0) return
  const limiter = new RateLimiter(perSecond, () => performance.now())
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.url.startsWith('/v1/') || limiter.take(request.ip)) return done()
    reply.header('retry-after', '1')
    const detail = `At most ${perSecond} requests a second from one address.`
    sendProblem(request, reply, { code: 'too-many-requests', detail })
    const { operation } = request.routeOptions.config
    if (operation?.plane === 'data') observe(meter, request, reply, operation.path)
  })
}
