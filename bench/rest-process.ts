// One server in a process of its own: synicd, or the bare Fastify routes it is measured against.
import Fastify, { type FastifyInstance } from 'fastify'
import { buildApp } from '../src/app.js'
import { tuneV8 } from '../src/cli/tune-v8.js'
import { Service } from '../src/engine/service.js'
import { Health } from '../src/telemetry/health.js'
import { createMetrics } from '../src/telemetry/metrics.js'

const BODY_BYTES = 16 * 1024 * 1024

/** What no server can do without: a route, the parsed body, a small reply. */
function bare(): FastifyInstance {
  const app = Fastify({ bodyLimit: BODY_BYTES })
  app.put('/v1/partitions/:pid/vcpus/:vp/msrs/:msr', async () => ({ ok: true }))
  app.post('/v1/partitions/:pid/ops', async (request) => ({
    seq: (request.body as { ops: unknown[] }).ops.length,
  }))
  return app
}

async function synicd(): Promise<FastifyInstance> {
  tuneV8()
  const service = new Service()
  service.create({ id: 'bench', profile: 'kvm-synic2', vcpus: 4 })
  const health = new Health()
  health.start()
  return buildApp({
    service,
    metrics: createMetrics(service),
    health,
    limits: { bodyBytes: BODY_BYTES, requestsPerSecond: 0 },
  })
}

const app = process.argv[2] === 'bare' ? bare() : await synicd()
const address = await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.({ address })
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuMicros: user + system })
})
process.on('disconnect', () => process.exit(0))
