/** Every Prometheus series. The engine counts in plain arrays; they are read when somebody scrapes. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import {
  INTERRUPT_KINDS,
  INVARIANTS,
  KINDS,
  LATENCY_BUCKETS,
  MESSAGE_OUTCOMES,
  METERED_OPS,
  type Meter,
  OUTCOMES,
  STAGES,
} from '../engine/meter.js'
import type { Service } from '../engine/service.js'
import { Buckets, ReadHistogram, type Series } from './histogram.js'

export interface Metrics {
  readonly registry: Registry
  readonly streamMeter: StreamMeter
  /** One finished request. `route` is the pattern, never the path: labels stay bounded. */
  observeHttp(method: string, route: string, status: number, seconds: number): void
}

/** What the stream's sockets count themselves. */
export interface StreamMeter {
  clients: number
  dropped: number
}

/** A counter whose values are taken from the engine at each scrape; every series exists from the start. */
function mirror<L extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly L[],
  read: (add: (labels: Record<L, string>, value: number) => void) => void,
): void {
  new Counter({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      this.reset()
      read((labels, value) => this.inc(labels, value))
    },
  })
}

function registerCounters(registry: Registry, meter: Meter): void {
  mirror(
    registry,
    'synicd_ops_total',
    'Ops applied, by kind and what became of them',
    ['op', 'outcome'],
    (add) => {
      METERED_OPS.forEach((op, code) => {
        if (code === 0) return
        OUTCOMES.forEach((outcome, i) => {
          add({ op, outcome }, meter.ops(code, i))
        })
      })
    },
  )
  mirror(
    registry,
    'synicd_interrupts_total',
    'Interrupts local APICs accepted, by what raised them',
    ['kind'],
    (add) => {
      INTERRUPT_KINDS.forEach((kind, i) => {
        add({ kind }, meter.interrupts(i))
      })
    },
  )
  mirror(
    registry,
    'synicd_messages_total',
    'Messages for a SINT, by what became of them',
    ['outcome'],
    (add) => {
      const { messages } = meter
      MESSAGE_OUTCOMES.forEach((outcome, i) => {
        add({ outcome }, messages[i])
      })
    },
  )
  mirror(registry, 'synicd_eom_total', 'End-of-message writes that reached a SynIC', [], (add) =>
    add({}, meter.eom),
  )
  mirror(registry, 'synicd_violations_total', 'Violations found, by invariant', ['invariant'], (add) => {
    INVARIANTS.forEach((invariant, i) => {
      add({ invariant }, meter.violations[i])
    })
  })
}

const STAGES_HELP =
  'Deliveries by stage: slot = posted to in the slot, socket = in the slot to written to a stream, ' +
  'ack = interrupt raised to taken, eom = in the slot to slot freed'

/** Delivery latencies come from the engine's meter. */
function registerLatency(registry: Registry, meter: Meter): void {
  const description = {
    name: 'synicd_delivery_latency_seconds',
    help: STAGES_HELP,
    labelNames: ['stage', 'kind'],
    buckets: LATENCY_BUCKETS,
  }
  new ReadHistogram(registry, description, () =>
    STAGES.flatMap((stage, s) =>
      KINDS.map((kind, k) => ({ labels: { stage, kind }, ...meter.series(s, k) })),
    ),
  )
}

const HTTP_BUCKETS = [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 5]

/** Requests by route pattern, then by method and status: two lookups by number or interned text. */
function registerHttp(registry: Registry): Metrics['observeHttp'] {
  const routes = new Map<string, Map<string, Map<number, Buckets>>>()
  const description = {
    name: 'http_request_duration_seconds',
    help: 'Time from request to reply, by route pattern',
    labelNames: ['method', 'route', 'status'],
    buckets: HTTP_BUCKETS,
  }
  new ReadHistogram(registry, description, () => {
    const all: Series[] = []
    for (const [route, methods] of routes) {
      for (const [method, statuses] of methods) {
        for (const [status, buckets] of statuses)
          all.push(buckets.series({ method, route, status: `${status}` }))
      }
    }
    return all
  })
  return (method, route, status, seconds) => {
    const methods = routes.get(route) ?? added(routes, route, new Map<string, Map<number, Buckets>>())
    const statuses = methods.get(method) ?? added(methods, method, new Map<number, Buckets>())
    const buckets = statuses.get(status) ?? added(statuses, status, new Buckets(HTTP_BUCKETS))
    buckets.observe(seconds)
  }
}

function added<K, V>(map: Map<K, V>, key: K, value: V): V {
  map.set(key, value)
  return value
}

function registerGauges(registry: Registry, service: Service, stream: StreamMeter): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  gauge('synicd_partitions', 'Partitions hosted now', () => service.partitionCount)
  gauge('synicd_vcpus', 'vCPUs of all partitions', () => service.vcpuCount)
  gauge('synicd_stream_clients', 'Stream sockets open now', () => stream.clients)
}

/** All series of one service, on a registry of its own. */
export function createMetrics(service: Service): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  registerCounters(registry, service.meter)
  registerLatency(registry, service.meter)
  const streamMeter: StreamMeter = { clients: 0, dropped: 0 }
  registerGauges(registry, service, streamMeter)
  mirror(registry, 'synicd_stream_dropped_total', 'Notifications left out for slow readers', [], (add) =>
    add({}, streamMeter.dropped),
  )
  return { registry, streamMeter, observeHttp: registerHttp(registry) }
}
