/** Batches of ops: checked by hand, applied, and answered as the text their results already are. */
import type { FastifyInstance } from 'fastify'
import { readBatch } from '../src/api/batch.js'
import { postOps } from '../src/api/operations/partitions.js'
import { answerOnce } from './idempotency.js'
import { hostOf, type RouteParts } from './parts.js'
import { checkQuery, Router } from './typed.js'

export default async function opRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service, idempotency, outgoing } = parts
  new Router(app, parts.meter).raw(postOps, (request, reply) => {
    checkQuery(postOps, request)
    outgoing.admit()
    const host = hostOf(service, request)
    const { ops, actor, stopOnFault } = readBatch(request.body)
    const answer = answerOnce(idempotency, reply, `ops ${host.serial}`, request.body, () => {
      const { seq, results } = host.applyBatch(ops, { actor, stopOnFault })
      return { status: 200, text: `{"seq":${seq},"results":[${results.join(',')}]}` }
    })
    outgoing.track(reply.raw, answer.text)
  })
}
