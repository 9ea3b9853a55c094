/** Reference time: read it, move it on. */
import type { FastifyInstance } from 'fastify'
import { CLOCK_ADVANCE } from '../src/api/op-routes.js'
import { advanceClock, getClock } from '../src/api/operations/devices.js'
import { clockOf } from '../src/engine/inspect.js'
import type { RouteParts } from './parts.js'
import { singleOp } from './single-op.js'
import { Router } from './typed.js'

export default async function clockRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)

  router.on(getClock, ({ params }) => clockOf(service.get(params.pid)))
  singleOp(router, parts, advanceClock, CLOCK_ADVANCE, () => ({}))
}
