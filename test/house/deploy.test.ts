// Holds the deployment files together: they name only ports, files and series that exist.
import { collectDefaultMetrics, Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { filesBelow } from './source.js'

/** What synicd publishes, with the labels of each series. */
const SERIES: Readonly<Record<string, readonly string[]>> = {
  synicd_delivery_latency_seconds: ['stage', 'kind'],
  synicd_ops_total: ['op', 'outcome'],
  synicd_interrupts_total: ['kind'],
  synicd_messages_total: ['outcome'],
  synicd_eom_total: [],
  synicd_violations_total: ['invariant'],
  synicd_stream_clients: [],
  synicd_stream_dropped_total: [],
  synicd_partitions: [],
  synicd_vcpus: [],
  http_request_duration_seconds: ['method', 'route', 'status'],
}
const HISTOGRAMS = ['synicd_delivery_latency_seconds', 'http_request_duration_seconds']

interface Service {
  readonly build?: string
  readonly image?: string
  readonly profiles?: readonly string[]
  readonly command?: readonly string[]
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}
interface Dashboard {
  readonly panels: readonly {
    readonly type: string
    readonly title: string
    readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[]
  }[]
}

const files = filesBelow([''], [])
const read = (path: string): string => files.find((file) => file.path === path)?.text ?? ''
const compose: Compose = parse(read('docker-compose.yml'))
const dashboard: Dashboard = JSON.parse(read('deploy/grafana/dashboards/synicd.json'))
const targets = dashboard.panels.flatMap((panel) => panel.targets ?? [])

function knownSeries(): Map<string, readonly string[]> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const known = new Map<string, readonly string[]>(Object.entries(SERIES))
  for (const name of HISTOGRAMS) {
    const labels = SERIES[name] ?? []
    known.set(`${name}_bucket`, [...labels, 'le'])
    known.set(`${name}_count`, labels).set(`${name}_sum`, labels)
  }
  for (const { name } of registry.getMetricsAsArray()) known.set(name, [])
  registry.clear()
  return known
}

const GROUPING = /\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g
const words = (text: string): string[] => text.match(/[a-z_]\w*/g) ?? []

/** The series an expression reads and the labels it groups or selects by. */
function namesIn(expr: string): { series: string[]; labels: string[] } {
  const groups = [...expr.matchAll(GROUPING)].map((match) => match[1] ?? '')
  const selectors = [...expr.matchAll(/\{([^}]*)\}/g)].map((match) =>
    (match[1] ?? '').replace(/"[^"]*"/g, ''),
  )
  const rest = expr.replace(GROUPING, ' ').replace(/\{[^}]*\}|\[[^\]]*\]/g, ' ')
  return {
    series: rest.match(/\b[a-z][a-z0-9]*_\w+\b(?!\s*\()/g) ?? [],
    labels: [...groups, ...selectors].flatMap(words),
  }
}

const known = knownSeries()

function checkExpression(expr: string): string[] {
  const { series, labels } = namesIn(expr)
  if (series.length === 0) return [`${expr}: reads no series`]
  return series.flatMap((name) => {
    const has = known.get(name)
    if (has === undefined) return [`${name} is not published`]
    return labels.filter((label) => !has.includes(label)).map((label) => `${name} has no label ${label}`)
  })
}

const local = (port: string): boolean => port.startsWith('127.0.0.1:')

describe('docker-compose.yml', () => {
  it('publishes every port on 127.0.0.1 only', () => {
    const ports = Object.values(compose.services).flatMap((service) => service.ports ?? [])
    expect(ports).not.toEqual([])
    expect(ports.filter((port) => !local(port))).toEqual([])
    expect(local('8440:8440')).toBe(false)
  })

  it('mounts only files that exist and volumes it declares', () => {
    const sources = Object.values(compose.services)
      .flatMap((service) => service.volumes ?? [])
      .map((volume) => volume.split(':')[0] ?? '')
    const missing = sources.filter((source) => {
      if (!source.startsWith('./')) return !(source in compose.volumes)
      return !files.some(({ path }) => `./${path}`.startsWith(source))
    })
    expect(missing).toEqual([])
  })

  it('starts the server, its scraper and its dashboard together', () => {
    const byDefault = Object.entries(compose.services).filter(([, service]) => service.profiles === undefined)
    expect(byDefault.map(([name]) => name)).toEqual(['synicd', 'prometheus', 'grafana'])
  })

  it('pins the images it does not build', () => {
    const pulled = Object.values(compose.services).filter((service) => service.build === undefined)
    for (const { image } of pulled) expect(image).toMatch(/:v?\d+\.\d+\.\d+$/)
  })
})

describe('Dockerfile', () => {
  it('runs as an ordinary user and asks /livez', () => {
    const dockerfile = read('Dockerfile')
    expect(dockerfile).toMatch(/^USER node$/m)
    expect(dockerfile).toMatch(/^HEALTHCHECK[\s\S]*127\.0\.0\.1:8440\/livez/m)
    expect(dockerfile).toMatch(/^EXPOSE 8440$/m)
  })

  it('starts what package.json calls synicd', () => {
    const { bin } = JSON.parse(read('package.json'))
    expect(read('Dockerfile')).toContain(`ENTRYPOINT ["node", "${bin.synicd}"]`)
  })
})

describe('prometheus.yml', () => {
  it('scrapes a service of the compose file on the port it listens on', () => {
    const { scrape_configs } = parse(read('deploy/prometheus/prometheus.yml'))
    expect(scrape_configs).toMatchObject([
      { job_name: 'synicd', metrics_path: '/metrics', static_configs: [{ targets: ['synicd:8440'] }] },
    ])
    expect(compose.services).toHaveProperty('synicd')
  })
})

describe('the dashboard', () => {
  it('reads only series that are published, by labels they have', () => {
    expect(targets.flatMap(({ expr }) => checkExpression(expr))).toEqual([])
  })

  it('shows every series of synicd', () => {
    const shown = targets.flatMap(({ expr }) => namesIn(expr).series)
    expect(Object.keys(SERIES).filter((name) => !shown.some((read) => read.startsWith(name)))).toEqual([])
  })

  it('uses the datasource that is provisioned, and no title twice', () => {
    const { datasources } = parse(read('deploy/grafana/provisioning/datasources/prometheus.yml'))
    expect(new Set(targets.map((target) => target.datasource.uid))).toEqual(new Set([datasources[0].uid]))
    const titles = dashboard.panels.map(({ title }) => title)
    expect(new Set(titles).size).toBe(titles.length)
  })

  it('is loaded from the folder the compose file mounts', () => {
    const { providers } = parse(read('deploy/grafana/provisioning/dashboards/synicd.yml'))
    const mounted = `./deploy/grafana/dashboards:${providers[0].options.path}:ro`
    expect(compose.services.grafana?.volumes).toContain(mounted)
  })

  it.each([
    ['rate(synicd_messages_lost_total[5m])', 'synicd_messages_lost_total is not published'],
    ['sum by (partition) (synicd_vcpus)', 'synicd_vcpus has no label partition'],
    ['synicd_ops_total{vcpu="0"}', 'synicd_ops_total has no label vcpu'],
    ['1 + 1', '1 + 1: reads no series'],
  ])('would be caught with %s', (expr, why) => {
    expect(checkExpression(expr)).toEqual([why])
  })
})
