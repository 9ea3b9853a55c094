/** Streams on real sockets: a server in this process, clients of either protocol that keep all frames. */
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import { BinCodec } from '../../src/api/bin-codec.js'
import { BIN_PROTOCOL, type Filter, JSON_PROTOCOL } from '../../src/api/frames.js'
import type { Result } from '../../src/api/result.js'
import { type AppLimits, buildApp } from '../../src/app.js'
import type { PartitionHost } from '../../src/engine/partition-host.js'
import { Service } from '../../src/engine/service.js'
import type { SessionLimits } from '../../src/streams/session.js'
import type { ProfileName } from '../../src/synic/profile.js'
import { Health } from '../../src/telemetry/health.js'
import { createMetrics } from '../../src/telemetry/metrics.js'

export const PROTOCOLS = [JSON_PROTOCOL, BIN_PROTOCOL] as const
export type ProtocolName = (typeof PROTOCOLS)[number]

/** A frame of the server: the members of all kinds together. */
export interface Frame {
  readonly hello?: {
    readonly partition: string
    readonly created_at: string
    readonly n: number
    readonly protocol: string
  }
  readonly id?: number
  readonly seq?: number
  readonly results?: readonly Result[]
  readonly problem?: { readonly status: number; readonly errors?: readonly { readonly path: string }[] }
  readonly gap?: { readonly from: number; readonly to: number }
  readonly n?: number
  readonly kind?: string
  readonly vcpu?: number
  readonly sint?: number
  readonly vector?: number
  readonly hex?: string
  readonly event?: string
}

export type WireOp = { readonly op: string } & Readonly<Record<string, unknown>>

export interface Request {
  readonly id: number
  readonly ops?: readonly WireOp[]
  readonly stop_on_fault?: boolean
  readonly subscribe?: Filter
}

/** One client. It numbers what it asks, and answers come back to who asked. */
export class SocketClient {
  readonly frames: Frame[] = []
  readonly socket: WebSocket
  /** How the socket ended. */
  readonly closed: Promise<readonly [code: number, reason: string]>
  readonly #codec = new BinCodec()
  readonly #waiting = new Set<{ fits: (frame: Frame) => boolean; found: (frame: Frame) => void }>()
  #lastId = 0

  /** @param onFrame told each frame as it comes */
  constructor(
    url: string,
    readonly protocol: ProtocolName = JSON_PROTOCOL,
    private readonly onFrame: (frame: Frame) => void = () => {},
  ) {
    this.socket = new WebSocket(url, protocol)
    this.socket.on('error', () => {})
    this.closed = once(this.socket, 'close').then(([code, reason]) => [code, String(reason)])
    this.socket.on('message', (data: Buffer, isBinary) => {
      for (const frame of this.#read(data, isBinary)) this.#take(frame)
    })
  }

  /** A client that has been greeted. */
  static async connected(url: string, protocol?: ProtocolName, onFrame?: (frame: Frame) => void) {
    const client = new SocketClient(url, protocol, onFrame)
    await client.until((frame) => frame.hello !== undefined)
    return client
  }

  send(request: Request): void {
    this.socket.send(this.encode(request))
  }

  /** What `send` would send. */
  encode({ id, ops, stop_on_fault = false, subscribe = {} }: Request): string | Uint8Array {
    if (this.protocol === JSON_PROTOCOL) {
      return JSON.stringify(ops === undefined ? { id, subscribe } : { id, ops, stop_on_fault })
    }
    const bytes =
      ops === undefined
        ? this.#codec.encodeSubscribe(id, subscribe)
        : this.#codec.encodeOps(id, ops, stop_on_fault)
    // The codec's bytes hold until its next call, the socket's until they are sent.
    return bytes.slice()
  }

  /** The answer to a batch. */
  async ask(...ops: WireOp[]): Promise<Frame> {
    const id = ++this.#lastId
    this.send({ id, ops })
    return this.next((frame) => frame.id === id)
  }

  /** The first frame that fits, of those that came or will come. */
  async until(fits: (frame: Frame) => boolean): Promise<Frame> {
    const here = this.frames.find(fits)
    return here ?? this.next(fits)
  }

  /** The first that fits of those to come. */
  next(fits: (frame: Frame) => boolean): Promise<Frame> {
    return new Promise((found) => this.#waiting.add({ fits, found }))
  }

  /** Numbers of all notifications told. */
  get numbers(): number[] {
    return this.frames.flatMap(({ n, kind }) => (kind === undefined || n === undefined ? [] : n))
  }

  #read(data: Buffer, isBinary: boolean): Frame[] {
    if (!isBinary) return [JSON.parse(data.toString())]
    return this.#codec.decode(new Uint8Array(data).buffer) as Frame[]
  }

  #take(frame: Frame): void {
    this.frames.push(frame)
    for (const waiter of this.#waiting) {
      if (!waiter.fits(frame)) continue
      this.#waiting.delete(waiter)
      waiter.found(frame)
    }
    this.onFrame(frame)
  }
}

export interface StreamServer {
  readonly app: FastifyInstance
  readonly service: Service
  readonly host: PartitionHost
  readonly meter: { readonly clients: number; readonly dropped: number }
  /** Address of a partition's stream, up to its id. */
  readonly partitions: string
  /** Address of the stream of `p1`. */
  readonly url: string
}

export interface ServerSetup {
  readonly profile?: ProfileName
  readonly limits?: Partial<SessionLimits>
  readonly streamRing?: number
  readonly app?: Partial<AppLimits>
}

export const SINTS = [2, 3] as const
export const VECTORS = [0x42, 0x53] as const
/** Where each of the two vCPUs has its message page. */
export const pageOf = (vcpu: number) => (0x10 + vcpu) * 4096

/** A server with partition `p1`, whose two vCPUs listen on two SINTs each. */
export async function streamServer(setup: ServerSetup = {}): Promise<StreamServer> {
  const { profile = 'tlfs', limits = {}, streamRing = 65_536 } = setup
  const service = new Service({ streamRing })
  const metrics = createMetrics(service)
  const app = await buildApp({
    service,
    metrics,
    health: new Health(),
    limits: setup.app ?? {},
    stream: limits,
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const host = service.create({ id: 'p1', profile, vcpus: 2 })
  host.applyBatch([0, 1].flatMap(enableSynic))
  const partitions = `${address.replace('http', 'ws')}/v1/partitions`
  return { app, service, host, meter: metrics.streamMeter, partitions, url: `${partitions}/p1/stream` }
}

/** Ops with which a guest takes its SynIC into use. */
export function enableSynic(vcpu: number): WireOp[] {
  const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu, msr, value })
  return [
    write('SIMP', pageOf(vcpu) | 1),
    ...SINTS.map((sint, i) => write(`SINT${sint}`, VECTORS[i])),
    write('SCONTROL', 1),
  ]
}

export const post = (vcpu = 0, hex = '0a', sint = 2): WireOp => ({
  op: 'message.post',
  vcpu,
  sint,
  type: 1,
  hex,
})
export const complete = (vcpu = 0, sint = 2): WireOp => ({ op: 'message.complete', vcpu, sint })
