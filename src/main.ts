/** Listens, turns SIGTERM into drain-then-close, sets the exit code. */
import type { Socket } from 'node:net'
import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.js'
import type { Config } from './config.js'
import { Service } from './engine/service.js'
import { Health } from './telemetry/health.js'
import { createLogger } from './telemetry/logger.js'
import { createMetrics } from './telemetry/metrics.js'

/** Time between failing readiness and refusing connections, so that a load balancer notices. */
const NOTICE_MS = 500

/** What is cut off at the end of that has so long to be gone. */
const CUT_OFF_MS = 5000

/** A page in a snapshot, as hex: what one side writes the other must accept as a body. */
const SNAPSHOT_PAGE_BYTES = 8250

/** A reader that leaves so many send budgets unread is cut off. */
const CUT_BUDGETS = 4

/** Starts the server; resolves once it listens, with its address. It closes on SIGTERM and SIGINT. */
export async function startServer(config: Config): Promise<string> {
  const logger = createLogger(config.logLevel)
  const service = new Service({
    partitionsMax: config.maxPartitions,
    vcpusMax: config.maxVcpus,
    memoryPagesMax: config.maxMemoryPages,
    opsPerBatchMax: config.maxOps,
    logOpsMax: config.logOps,
    logBytesMax: config.logBytes,
    streamRing: config.streamRing,
    snapshotPagesMax: Math.floor((config.maxBodyBytes * 0.97) / SNAPSHOT_PAGE_BYTES),
  })
  const metrics = createMetrics(service)
  const health = new Health()
  const { maxBodyBytes, maxRate, maxStreams, streamBudgetBytes } = config
  const limits = { bodyBytes: maxBodyBytes, requestsPerSecond: maxRate, streamsMax: maxStreams }
  const stream = { budgetBytes: streamBudgetBytes, cutBytes: CUT_BUDGETS * streamBudgetBytes }
  const { allowedHosts: hostNames } = config
  const app = await buildApp({ service, metrics, health, logger, limits, stream, hostNames })
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const drainMs = config.drainSeconds * 1000
  closeWithGrace({ delay: NOTICE_MS + drainMs + CUT_OFF_MS, logger }, async ({ err, signal }) => {
    if (err !== undefined) logger.fatal({ err }, 'unexpected error')
    logger.info({ signal }, 'draining')
    health.drain()
    await new Promise((resolve) => setTimeout(resolve, NOTICE_MS))
    // Node waits for connections that have not sent a byte yet, as browsers and health checks open them.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    const end = setTimeout(() => {
      logger.warn({ connections: sockets.size }, 'cut off what was not done in time')
      for (const socket of sockets) socket.destroy()
    }, drainMs)
    await app.close()
    clearTimeout(end)
    service.close()
    logger.info('closed')
  })
  const address = await app.listen({ host: config.host, port: config.port })
  health.start()
  return address
}
