/** Requests a second and client address, where a limit is set. */
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import { InputError } from '../src/api/problem.js'

/** Addresses remembered; the one unused for longest is forgotten first and then begins anew. */
const CLIENTS_MAX = 10_000

/** Probes and metrics stay reachable: only the API counts. */
export async function limitRate(app: FastifyInstance, perSecond: number): Promise<void> {
  if (perSecond === 0) return
  await app.register(rateLimit, {
    max: perSecond,
    timeWindow: 1000,
    cache: CLIENTS_MAX,
    allowList: (request) => !request.url.startsWith('/v1/'),
    errorResponseBuilder: () =>
      new InputError([], 'too-many-requests', `At most ${perSecond} requests a second from one address.`),
  })
}
