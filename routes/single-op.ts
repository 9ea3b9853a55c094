/** Routes that are one op: path and body become the op, its result text is the answer. */
import type { FastifyRequest } from 'fastify'
import { IDEMPOTENCY_KEY } from '../src/api/idempotency-key.js'
import type { OpRoute } from '../src/api/op-route.js'
import type { Operation } from '../src/api/operation.js'
import { answerOnce } from './idempotency.js'
import { hostOf, type RouteParts } from './parts.js'
import { checkQuery, type Router, sendJson } from './typed.js'

/** @param pathOf the op's fields that stand in the path */
export function singleOp(
  router: Router,
  { service, idempotency }: RouteParts,
  operation: Operation,
  route: OpRoute,
  pathOf: (request: FastifyRequest) => Readonly<Record<string, number>>,
): void {
  router.raw(operation, (request, reply) => {
    checkQuery(operation, request)
    const host = hostOf(service, request)
    const path = pathOf(request)
    const op = route.opOf(path, request.body)
    // Most come without a key, and need no more than this.
    if (request.headers[IDEMPOTENCY_KEY] === undefined) return sendJson(reply, host.applyOne(op))
    const scope = `${operation.id} ${host.serial} ${Object.values(path).join(' ')}`
    answerOnce(idempotency, reply, scope, request.body, () => ({ status: 200, text: host.applyOne(op) }))
  })
}
