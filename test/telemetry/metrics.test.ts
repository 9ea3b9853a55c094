/** Every series is there from the start, with bounded labels, in a form Prometheus reads. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Service } from '../../src/engine/service.js'
import { createMetrics } from '../../src/telemetry/metrics.js'

async function scrape(service = new Service()) {
  const text = await createMetrics(service).registry.metrics()
  return text.split('\n')
}

describe('metrics', () => {
  it.each([
    'synicd_ops_total{op="msr.write",outcome="ok"} 0',
    'synicd_ops_total{op="host.step",outcome="errno"} 0',
    'synicd_interrupts_total{kind="timer"} 0',
    'synicd_messages_total{outcome="dropped"} 0',
    'synicd_eom_total 0',
    'synicd_violations_total{invariant="disabled_write"} 0',
    'synicd_delivery_latency_seconds_bucket{stage="slot",kind="message",le="0.001"} 0',
    'synicd_delivery_latency_seconds_count{stage="eom",kind="timer"} 0',
    'synicd_partitions 0',
    'synicd_vcpus 0',
  ])('has %s before anything happened', async (line) => {
    expect(await scrape()).toContain(line)
  })

  it('never carries a partition id', async () => {
    const service = new Service()
    service.create({ id: 'very-own-name' }).applyBatch([{ op: 'apic.ack', vcpu: 0 }])
    expect((await scrape(service)).join('\n')).not.toContain('very-own-name')
  })

  it('is of the same size whatever happened', async () => {
    const service = new Service()
    const before = (await scrape(service)).filter((line) => line.startsWith('synicd'))
    const host = service.create({ profile: 'kvm-synic2', vcpus: 4 })
    host.applyBatch([{ op: 'msr.write', vcpu: 0, msr: '0x12345678', value: 1 }])
    const after = (await scrape(service)).filter((line) => line.startsWith('synicd'))
    expect(after.map((line) => line.split(' ')[0])).toEqual(before.map((line) => line.split(' ')[0]))
    expect(after).toContain('synicd_ops_total{op="msr.write",outcome="fault"} 1')
    expect(after).toContain('synicd_ops_total{op="vcpu.create",outcome="ok"} 4')
    expect(after).toContain('synicd_vcpus 4')
  })

  it('gives cumulative buckets that end in the count', async () => {
    const service = new Service()
    for (const ms of [0.0005, 3, 3, 99_999]) service.meter.observe(0, 0, ms)
    const lines = (await scrape(service)).filter((line) => /latency.*stage="slot",kind="message"/.test(line))
    const values = lines.map((line) => Number(line.split(' ')[1]))
    const counts = values.slice(0, -2)
    expect([...counts].sort((a, b) => a - b)).toEqual(counts)
    expect(lines.find((line) => line.includes('le="0.005"'))?.endsWith(' 3')).toBe(true)
    expect([counts.at(-1), values.at(-1)]).toEqual([4, 4])
    expect(values.at(-2)).toBeCloseTo(100.0050005)
  })

  it('observes requests by route pattern', async () => {
    const metrics = createMetrics(new Service())
    metrics.observeHttp('GET', '/v1/partitions/:pid', 200, 0.003)
    const text = await metrics.registry.metrics()
    expect(text).toContain(
      'http_request_duration_seconds_count{method="GET",route="/v1/partitions/:pid",status="200"} 1',
    )
  })
})

describe('docs/metrics.md', () => {
  const text = readFileSync('docs/metrics.md', 'utf8')
  const { registry } = createMetrics(new Service())
  const own = registry.getMetricsAsArray().filter(({ name }) => /^(?:synicd|http)_/.test(name))

  it.each(own.map(({ name }) => name))('has a row for %s, with its labels', async (name) => {
    const row = text.split('\n').find((line) => line.startsWith('| ') && line.includes(`\`${name}\``))
    const values = (await registry.getSingleMetric(name)?.get())?.values ?? []
    const labels = new Set(
      values.flatMap((value) => Object.keys(value.labels)).filter((label) => label !== 'le'),
    )
    for (const label of labels) expect(row).toContain(`\`${label}\``)
    expect(row).toBeDefined()
  })

  it('asks for nothing that does not exist', () => {
    const names = new Set(registry.getMetricsAsArray().map(({ name }) => name))
    const asked = text.match(/\b(?:synicd|http|nodejs|process)_[a-z0-9_]+/g) ?? []
    const unknown = asked.filter((name) => !names.has(name.replace(/_(?:bucket|count|sum)$/, '')))
    expect(unknown).toEqual([])
  })
})
