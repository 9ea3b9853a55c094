/** Ports and the connections to them. */
import type { FastifyInstance } from 'fastify'
import { CONNECTION_CREATE, PORT_CREATE } from '../src/api/op-routes.js'
import * as ops from '../src/api/operations/devices.js'
import { connectionsOf, portsOf } from '../src/engine/inspect.js'
import type { RouteParts } from './parts.js'
import { singleOp } from './single-op.js'
import { Router } from './typed.js'

export default async function portRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)
  const nothing = () => ({})

  router.on(ops.listPorts, ({ params }) => ({ items: portsOf(service.get(params.pid)) }))
  singleOp(router, parts, ops.createPort, PORT_CREATE, nothing)
  router.on(ops.deletePort, ({ params, query }) =>
    service.get(params.pid).applyOne({ op: 'port.delete', port: params.port }, query.actor),
  )

  router.on(ops.listConnections, ({ params }) => ({ items: connectionsOf(service.get(params.pid)) }))
  singleOp(router, parts, ops.createConnection, CONNECTION_CREATE, nothing)
  router.on(ops.deleteConnection, ({ params, query }) => {
    const op = { op: 'connection.delete', connection: params.connection }
    return service.get(params.pid).applyOne(op, query.actor)
  })
}
