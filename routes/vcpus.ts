/** vCPUs: the list, one decoded, and its local APIC as the guest CPU uses it. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { APIC_ACK, APIC_EOI } from '../src/api/op-routes.js'
import { ackInterrupt, endInterrupt, getVcpu, listVcpus } from '../src/api/operations/vcpus.js'
import { vcpuSummaries, vcpuView } from '../src/engine/inspect-vcpu.js'
import { numberOf, type RouteParts } from './parts.js'
import { singleOp } from './single-op.js'
import { Router } from './typed.js'

export default async function vcpuRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service } = parts
  const router = new Router(app, parts.meter)
  const vcpu = (request: FastifyRequest) => ({ vcpu: numberOf(request, 'vp') })

  router.on(listVcpus, ({ params }) => ({ items: vcpuSummaries(service.get(params.pid)) }))
  router.on(getVcpu, ({ params }) => vcpuView(service.get(params.pid), params.vp))
  singleOp(router, parts, ackInterrupt, APIC_ACK, vcpu)
  singleOp(router, parts, endInterrupt, APIC_EOI, vcpu)
}
