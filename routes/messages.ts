/** Message slots: decoded, posted to as the host, acknowledged as a guest driver does. */
import type { FastifyInstance } from 'fastify'
import { MESSAGE_COMPLETE, MESSAGE_POST } from '../src/api/op-routes.js'
import { completeMessage, getMessages, postMessage } from '../src/api/operations/vcpus.js'
import { messagesView } from '../src/engine/inspect-vcpu.js'
import { numberOf, type RouteParts } from './parts.js'
import { singleOp } from './single-op.js'
import { Router } from './typed.js'

const SINT_MAX = 15

export default async function messageRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)

  router.on(getMessages, ({ params, query }) =>
    messagesView(service.get(params.pid), params.vp, query.nested ?? false),
  )
  singleOp(router, parts, postMessage, MESSAGE_POST, (request) => ({ vcpu: numberOf(request, 'vp') }))
  singleOp(router, parts, completeMessage, MESSAGE_COMPLETE, (request) => ({
    vcpu: numberOf(request, 'vp'),
    sint: numberOf(request, 'sint', SINT_MAX),
  }))
}
