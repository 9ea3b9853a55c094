/** A real server for client tests: on a port, with partitions, and sockets that can be cut. */
import type { AddressInfo, Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../src/app.js'
import type { PartitionHost } from '../../src/engine/partition-host.js'
import { Service } from '../../src/engine/service.js'
import type { SessionLimits } from '../../src/streams/session.js'
import { Health } from '../../src/telemetry/health.js'
import { createMetrics } from '../../src/telemetry/metrics.js'

export interface TestServer {
  readonly url: string
  readonly port: number
  readonly service: Service
  readonly app: FastifyInstance
  /** Cuts every connection without a word. */
  cut(): void
}

interface Setup {
  readonly port?: number
  readonly streamRing?: number
  readonly stream?: Partial<SessionLimits>
  /** What is there before anybody can connect. */
  readonly before?: (service: Service) => void
}

const running = new Set<FastifyInstance>()

export async function startServer({
  port = 0,
  streamRing = 65_536,
  stream = {},
  before = () => {},
}: Setup = {}): Promise<TestServer> {
  const service = new Service({ streamRing })
  before(service)
  const health = new Health()
  health.start()
  const app = await buildApp({ service, metrics: createMetrics(service), health, stream })
  running.add(app)
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const url = await app.listen({ host: '127.0.0.1', port })
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return { url, port: (app.server.address() as AddressInfo).port, service, app, cut }
}

export async function stopServers(): Promise<void> {
  await Promise.all([...running].map((app) => app.close()))
  running.clear()
}

/** A partition whose vCPU 0 takes messages on SINT 2. */
export function partitionWithSynic(service: Service, id = 'p1'): PartitionHost {
  const host = service.create({ id, profile: 'tlfs', vcpus: 2 })
  const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu: 0, msr, value })
  host.applyBatch([write('SIMP', 0x10001), write('SINT2', 0xf3), write('SCONTROL', 1)])
  return host
}

export const post = (hex = '0a') => ({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex }) as const
export const complete = { op: 'message.complete', vcpu: 0, sint: 2 } as const

/** Number of the newest notification. */
export const lastNOf = (host: PartitionHost): number => host.notifications.lastN
