// One server in a process of its own: `synicd` as it ships, or bare `ws`.
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { buildApp } from '../../src/app.js'
import { tuneV8 } from '../../src/cli/tune-v8.js'
import { Service } from '../../src/engine/service.js'
import { Health } from '../../src/telemetry/health.js'
import { createMetrics } from '../../src/telemetry/metrics.js'
import type { ServerKind } from './server.js'

const HOST = '127.0.0.1'
const VCPUS = 4

/** Each vCPU has SINT2 open and a message page. */
function enlighten(vcpu: number) {
  const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu, msr, value })
  return [write('SIMP', 0x10_0001 + vcpu * 0x2000), write('SINT2', 0xf3), write('SCONTROL', 1)]
}

const service = new Service()

async function synicd(): Promise<number> {
  tuneV8()
  // What watching costs is measured by itself: `npm run bench -- audit`.
  const host = service.create({ id: 'bench', profile: 'kvm-synic2', vcpus: VCPUS, audit: 'off' })
  host.applyBatch(Array.from({ length: VCPUS }, (_, vcpu) => enlighten(vcpu)).flat())
  const health = new Health()
  health.start()
  const app = await buildApp({ service, metrics: createMetrics(service), health })
  await app.listen({ host: HOST, port: 0 })
  return (app.server.address() as AddressInfo).port
}

const starts: Readonly<Record<ServerKind, () => Promise<number>>> = { synicd, plain }

/**
 * `/answer?bytes=` answers each message, `/listen` is told what `/tell?bytes=&times=&answer=` asks for with
 * each of its messages, which then has its answer, too. One `send` for each message and socket, as anybody
 * would write it.
 */
async function plain(): Promise<number> {
  const listeners = new Map<WebSocket, { binary: boolean }>()
  const server = new WebSocketServer({ host: HOST, port: 0, perMessageDeflate: false })
  server.on('connection', (socket, request) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'ws://bench')
    const bytes = Buffer.alloc(Number(searchParams.get('bytes')), 'x')
    const times = Number(searchParams.get('times'))
    const options = { binary: socket.protocol.endsWith('.bin') }
    socket.send('hello')
    if (pathname === '/answer') socket.on('message', () => socket.send(bytes, options))
    if (pathname === '/listen') {
      listeners.set(socket, options)
      socket.on('close', () => listeners.delete(socket))
    }
    if (pathname === '/tell') {
      const answer = Buffer.alloc(Number(searchParams.get('answer')), 'x')
      socket.on('message', () => {
        for (let i = 0; i < times; i++) for (const [each, kind] of listeners) each.send(bytes, kind)
        socket.send(answer, options)
      })
    }
  })
  await new Promise<void>((resolve) => server.on('listening', resolve))
  return (server.address() as AddressInfo).port
}

const questions = {
  metered() {
    service.meter.isOn = true
    return 0
  },
  unmetered() {
    service.meter.isOn = false
    return 0
  },
  cpu() {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  rss() {
    globalThis.gc?.()
    globalThis.gc?.()
    return process.memoryUsage().rss
  },
}

process.on('message', (question: keyof typeof questions) => process.send?.(questions[question]()))
process.on('disconnect', () => process.exit(0))
process.send?.(await starts[process.argv[2] as ServerKind]())
