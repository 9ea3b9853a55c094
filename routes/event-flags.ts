/** Event flags: which are set, signal one as the host, clear one as the guest. */
import type { FastifyInstance } from 'fastify'
import { EVENT_SIGNAL } from '../src/api/op-routes.js'
import { clearEvent, getEvents, signalEvent } from '../src/api/operations/vcpus.js'
import { clearFlag } from '../src/engine/guest-steps.js'
import { eventsView } from '../src/engine/inspect-vcpu.js'
import { numberOf, type RouteParts } from './parts.js'
import { singleOp } from './single-op.js'
import { Router } from './typed.js'

export default async function eventFlagRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)

  router.on(getEvents, ({ params, query }) =>
    eventsView(service.get(params.pid), params.vp, query.nested ?? false),
  )
  singleOp(router, parts, signalEvent, EVENT_SIGNAL, (request) => ({ vcpu: numberOf(request, 'vp') }))
  router.on(clearEvent, ({ params, query }) => {
    const { vp: vcpu, sint, flag } = params
    const place = { vcpu, sint, flag, nested: query.nested ?? false }
    return clearFlag(service.get(params.pid), place, query.actor)
  })
}
