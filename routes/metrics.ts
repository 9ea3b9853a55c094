/** What Prometheus scrapes. */
import type { FastifyInstance } from 'fastify'
import { getMetrics } from '../src/api/operations/service.js'
import { type HttpMeter, Router } from './typed.js'

export interface MetricsText extends HttpMeter {
  readonly registry: { readonly contentType: string; metrics(): Promise<string> }
}

export default async function metricsRoutes(app: FastifyInstance, { metrics }: { metrics: MetricsText }) {
  new Router(app, metrics).raw(getMetrics, async (_request, reply) => {
    const text = await metrics.registry.metrics()
    return reply.header('content-type', metrics.registry.contentType).send(text)
  })
}
