/**
 * A server as it ships, in a process of its own (`node --expose-gc`): tells its parent where it listens,
 * and how many bytes it holds after a collection each time it is asked.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { buildApp } from '../../src/app.js'
import { Service } from '../../src/engine/service.js'
import { Health } from '../../src/telemetry/health.js'
import { createMetrics } from '../../src/telemetry/metrics.js'

const service = new Service()
const health = new Health()
const stream = { budgetBytes: 1024 * 1024, cutMs: 4000 }
const app = await buildApp({ service, metrics: createMetrics(service), health, stream })
const address = await app.listen({ host: '127.0.0.1', port: 0 })
health.start()
process.send?.({ address })

process.on('message', async () => {
  for (let i = 0; i < 3; i++) {
    await turn()
    globalThis.gc?.()
  }
  const { heapUsed, external } = process.memoryUsage()
  process.send?.({ bytes: heapUsed + external })
})
process.on('disconnect', () => process.exit())
