/** Registers every route file. */
import type { FastifyInstance } from 'fastify'
import clockRoutes from './clock.js'
import contractRoutes from './contract.js'
import eventFlagRoutes from './event-flags.js'
import gsiRoutes from './gsi-routes.js'
import healthRoutes, { type HealthView } from './health.js'
import logRoutes from './log.js'
import memoryRoutes from './memory.js'
import messageRoutes from './messages.js'
import metricsRoutes, { type MetricsText } from './metrics.js'
import msrRoutes from './msrs.js'
import opRoutes from './ops.js'
import partitionRoutes from './partitions.js'
import type { RouteParts } from './parts.js'
import portRoutes from './ports.js'
import scenarioRoutes from './scenarios.js'
import vcpuRoutes from './vcpus.js'
import violationRoutes from './violations.js'

export interface AllParts extends RouteParts {
  readonly metrics: MetricsText
  readonly health: HealthView
}

export default async function routes(app: FastifyInstance, parts: AllParts) {
  for (const plugin of [
    partitionRoutes,
    opRoutes,
    vcpuRoutes,
    msrRoutes,
    messageRoutes,
    eventFlagRoutes,
    gsiRoutes,
    portRoutes,
    memoryRoutes,
    clockRoutes,
    logRoutes,
    violationRoutes,
    scenarioRoutes,
  ]) {
    await app.register(plugin, parts)
  }
  await app.register(healthRoutes, parts)
  await app.register(metricsRoutes, parts)
  await app.register(contractRoutes, parts)
}
