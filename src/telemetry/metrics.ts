/** Every Prometheus series. The engine counts in plain arrays; they are read when somebody scrapes. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
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

export interface Metrics {
  readonly registry: Registry
  /** One finished request. `route` is the pattern, never the path: labels stay bounded. */
  observeHttp(method: string, route: string, status: number, seconds: number): void
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
          add({ op, outcome }, meter.ops[code * OUTCOMES.length + i])
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
        add({ kind }, meter.interrupts[i])
      })
    },
  )
  mirror(
    registry,
    'synicd_messages_total',
    'Messages for a SINT, by what became of them',
    ['outcome'],
    (add) => {
      MESSAGE_OUTCOMES.forEach((outcome, i) => {
        add({ outcome }, meter.messages[i])
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

const LATENCY = {
  name: 'synicd_delivery_latency_seconds',
  help: 'Time from post to slot, slot to socket, interrupt to its taking, slot filled to slot freed',
} as const

/** The delivery histogram: prom-client asks for values, and they come from the meter; counts are cumulative. */
class LatencyHistogram extends Histogram<'stage' | 'kind'> {
  constructor(
    registry: Registry,
    private readonly meter: Meter,
  ) {
    super({ ...LATENCY, labelNames: ['stage', 'kind'], buckets: [...LATENCY_BUCKETS], registers: [registry] })
  }

  override async get() {
    return this.getForPromString()
  }

  /** The text writer asks by this name. */
  async getForPromString() {
    const values = STAGES.flatMap((stage, s) => KINDS.flatMap((kind, k) => this.#series(stage, s, kind, k)))
    const metric = { ...LATENCY, type: 'histogram', aggregator: 'sum', values }
    return metric as unknown as Awaited<ReturnType<Histogram<'stage' | 'kind'>['get']>>
  }

  #series(stage: string, s: number, kind: string, k: number) {
    const { counts, sum } = this.meter.series(s, k)
    const labels = { stage, kind }
    const bucketName = `${LATENCY.name}_bucket`
    const buckets = counts.map((value, i) => {
      const le = i < LATENCY_BUCKETS.length ? LATENCY_BUCKETS[i] : '+Inf'
      return { metricName: bucketName, labels: { ...labels, le }, value }
    })
    return [
      ...buckets,
      { metricName: `${LATENCY.name}_sum`, labels, value: sum },
      { metricName: `${LATENCY.name}_count`, labels, value: counts[counts.length - 1] },
    ]
  }
}

function registerGauges(registry: Registry, service: Service): void {
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
}

/** All series of one service, on a registry of its own. */
export function createMetrics(service: Service): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  registerCounters(registry, service.meter)
  new LatencyHistogram(registry, service.meter)
  registerGauges(registry, service)
  const http = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from request to reply, by route pattern',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers: [registry],
  })
  return {
    registry,
    observeHttp: (method, route, status, seconds) => http.observe({ method, route, status }, seconds),
  }
}
