/** GSIs: the routing table with its revision, edges, irqfds. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ifMatch, ifNoneMatch } from '../src/api/etag.js'
import { GSI_ASSERT, GSI_ROUTE, IRQFD_BIND } from '../src/api/op-routes.js'
import { assertGsi, bindIrqfd, getRoutes, putRoutes, unbindIrqfd } from '../src/api/operations/devices.js'
import { EngineError } from '../src/engine/errors.js'
import { routesOf } from '../src/engine/inspect.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import { numberOf, type RouteParts } from './parts.js'
import { singleOp } from './single-op.js'
import { Router, sendJson } from './typed.js'

/**
 * Names this table of this partition; a later partition of the same id, here or after a restart, has other
 * tags.
 */
function etagOf(host: PartitionHost): string {
  return `"${host.createdAt.getTime().toString(36)}-${host.serial}-${host.routesRevision}"`
}

export default async function gsiRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)
  const gsi = (request: FastifyRequest) => ({ gsi: numberOf(request, 'gsi') })

  router.on(getRoutes, ({ params, headers }, _request, reply) => {
    const host = service.get(params.pid)
    const etag = etagOf(host)
    reply.header('etag', etag)
    // `no-store` would tell a cache to forget what it is to compare.
    reply.header('cache-control', 'no-cache')
    if (ifNoneMatch(headers['if-none-match'], etag)) return reply.code(304).send()
    return { entries: routesOf(host) }
  })

  router.on(putRoutes, ({ params, headers }, request, reply) => {
    const host = service.get(params.pid)
    const etag = etagOf(host)
    if (!ifMatch(headers['if-match'], etag)) {
      throw new EngineError('revision-mismatch', `The routing table is at ${etag} now.`, [
        { path: 'if-match', message: `must name ${etag}` },
      ])
    }
    const result = host.applyOne(GSI_ROUTE.opOf({}, request.body))
    reply.header('etag', etagOf(host))
    sendJson(reply, result)
    return reply
  })

  singleOp(router, parts, assertGsi, GSI_ASSERT, gsi)
  singleOp(router, parts, bindIrqfd, IRQFD_BIND, gsi)
  router.on(unbindIrqfd, ({ params, query }) =>
    service.get(params.pid).applyOne({ op: 'irqfd.unbind', gsi: params.gsi }, query.actor),
  )
}
