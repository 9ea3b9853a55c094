/** Routes that are one op: path and body become the op, its result text is the answer. */
import type { FastifyRequest } from 'fastify'
import type { OpRoute } from '../src/api/op-route.js'
import type { Operation } from '../src/api/operation.js'
import type { Service } from '../src/engine/service.js'
import { hostOf } from './parts.js'
import { checkQuery, type Router, sendJson } from './typed.js'

/** @param pathOf the op's fields that stand in the path */
export function singleOp(
  router: Router,
  service: Service,
  operation: Operation,
  route: OpRoute,
  pathOf: (request: FastifyRequest) => Readonly<Record<string, number>>,
): void {
  router.raw(operation, (request, reply) => {
    checkQuery(operation, request)
    const host = hostOf(service, request)
    sendJson(reply, host.applyOne(route.opOf(pathOf(request), request.body)))
  })
}
