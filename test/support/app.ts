/** A whole service in this process, and shorthand for what most route tests do with it. */
import type { FastifyInstance, HTTPMethods } from 'fastify'
import { type AppLimits, buildApp } from '../../src/app.js'
import type { ServiceLimits } from '../../src/engine/limits.js'
import { Service } from '../../src/engine/service.js'
import { Health } from '../../src/telemetry/health.js'
import { createMetrics } from '../../src/telemetry/metrics.js'
import { type Reply, type Request, send } from './contract.js'

export class TestApp {
  constructor(
    readonly app: FastifyInstance,
    readonly service: Service,
    readonly health: Health,
  ) {}

  send(method: HTTPMethods, url: string, request: Request = {}): Promise<Reply> {
    return send(this.app, method, url, request)
  }

  get(url: string, headers: Record<string, string> = {}): Promise<Reply> {
    return this.send('GET', url, { headers })
  }

  post(url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    return this.send('POST', url, { body, headers })
  }

  put(url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    return this.send('PUT', url, { body, headers })
  }

  delete(url: string): Promise<Reply> {
    return this.send('DELETE', url)
  }

  /** A new partition's path. */
  async create(body: Record<string, unknown> = {}): Promise<string> {
    const reply = await this.post('/v1/partitions', body)
    if (reply.status !== 201) throw new Error(`no partition: ${reply.text}`)
    return reply.headers.location
  }

  /** Results of a batch. */
  async ops(partition: string, ...ops: unknown[]): Promise<unknown> {
    return (await this.post(`${partition}/ops`, { ops })).body.results
  }

  async snapshot(partition: string): Promise<Record<string, unknown>> {
    return (await this.get(`${partition}/snapshot`)).body
  }
}

export interface Setup {
  readonly service?: Partial<ServiceLimits>
  readonly app?: Partial<AppLimits>
  /** Monotonic milliseconds, for realtime clocks. */
  readonly now?: () => number
}

export async function testApp(setup: Setup = {}): Promise<TestApp> {
  const service = new Service(setup.service, setup.now)
  const health = new Health()
  health.start()
  const metrics = createMetrics(service)
  const app = await buildApp({ service, metrics, health, limits: setup.app ?? {}, hostNames: [] })
  return new TestApp(app, service, health)
}
