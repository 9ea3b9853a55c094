/** What all streams of a server share: who is connected, each partition's hub, buffers, the turn. */
import type { PartitionHost } from '../src/engine/partition-host.js'
import type { Service } from '../src/engine/service.js'
import { BinScratch } from '../src/streams/bin-protocol.js'
import { PartitionHub } from '../src/streams/hub.js'
import { SpareFrames } from '../src/streams/inbox.js'
import { Incoming } from '../src/streams/incoming.js'
import { Spare } from '../src/streams/outbox.js'
import { DEFAULT_SESSION_LIMITS, type Deliveries, type SessionLimits } from '../src/streams/session.js'
import { Turn } from '../src/streams/turn.js'
import type { StreamMeter } from '../src/telemetry/metrics.js'
import type { StreamClient } from './stream-client.js'
import { streamPartition } from './stream-partition.js'

export interface StreamParts {
  readonly service: Service
  readonly streamMeter: StreamMeter
  readonly frameBytes: number
  /** Streams that are open at a time. */
  readonly streamsMax: number
  readonly sessionLimits?: Partial<SessionLimits>
}

/** What all sockets of a server share. */
export class Streams {
  readonly clients = new Set<StreamClient>()
  readonly limits: SessionLimits
  readonly turn = new Turn(setImmediate, process.nextTick)
  readonly spare = new Spare()
  readonly scratch = new BinScratch()
  /** The message at hand that was read ahead, of whichever client, and where others are put together. */
  readonly message = new Incoming()
  readonly spareFrames = new SpareFrames()
  readonly #hubs = new Map<PartitionHost, { hub: PartitionHub; stop: () => void }>()

  constructor(readonly parts: StreamParts) {
    this.limits = { ...DEFAULT_SESSION_LIMITS, ...parts.sessionLimits }
  }

  join(client: StreamClient): void {
    this.clients.add(client)
    this.parts.streamMeter.clients = this.clients.size
    const { host } = client
    let entry = this.#hubs.get(host)
    if (entry === undefined) {
      const hub = new PartitionHub(streamPartition(host, undefined), this.turn)
      entry = { hub, stop: host.notifications.listen(hub.news) }
      this.#hubs.set(host, entry)
    }
    entry.hub.add(client.session, (error) => client.fail(error))
  }

  leave(client: StreamClient): void {
    this.clients.delete(client)
    this.parts.streamMeter.clients = this.clients.size
    this.parts.streamMeter.dropped += client.session.takeDropped()
    const entry = this.#hubs.get(client.host)
    entry?.hub.delete(client.session)
    if (entry === undefined || entry.hub.size > 0) return
    entry.stop()
    this.#hubs.delete(client.host)
  }

  observe(deliveries: readonly Deliveries[]): void {
    const now = performance.now()
    for (const { source, timeMs, count } of deliveries) {
      this.parts.service.meter.observeSocket(source, now - timeMs, count)
    }
  }
}
