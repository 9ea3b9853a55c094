/** Probes: alive, ready. */
import type { FastifyInstance } from 'fastify'
import { livez, readyz } from '../src/api/operations/service.js'
import { sendProblem } from './problems.js'
import { type HttpMeter, Router } from './typed.js'

export interface HealthView {
  readonly ready: boolean
  /** Why not. */
  readonly reason: string
}

export default async function healthRoutes(
  app: FastifyInstance,
  { health, meter }: { health: HealthView; meter: HttpMeter },
) {
  const router = new Router(app, meter)
  router.on(livez, () => ({ status: 'ok' }))
  router.on(readyz, (_input, request, reply) => {
    if (health.ready) return { status: 'ok' }
    sendProblem(request, reply, { code: 'not-ready', detail: health.reason })
    return reply
  })
}
