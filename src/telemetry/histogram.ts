/**
 * Histograms whose buckets are plain arrays, shown by prom-client: an observation costs nanoseconds, not a
 * lookup.
 */
import { Histogram, type Registry } from 'prom-client'

/** One series as it is shown: cumulative counts, +Inf last, and the sum. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly counts: readonly number[]
  readonly sum: number
}

interface Description {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
  /** Upper bounds, ascending, +Inf left out. */
  readonly buckets: readonly number[]
}

/** Asks `read` for its series whenever somebody scrapes. */
export class ReadHistogram extends Histogram<string> {
  readonly #description: Description
  readonly #read: () => Series[]

  constructor(registry: Registry, description: Description, read: () => Series[]) {
    const { name, help, labelNames, buckets } = description
    super({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers: [registry] })
    this.#description = description
    this.#read = read
  }

  override async get() {
    return this.getForPromString()
  }

  /** The text writer asks by this name. */
  async getForPromString() {
    const { name, help } = this.#description
    const values = this.#read().flatMap((series) => this.#valuesOf(series))
    const metric = { name, help, type: 'histogram', aggregator: 'sum', values }
    return metric as unknown as Awaited<ReturnType<Histogram<string>['get']>>
  }

  #valuesOf({ labels, counts, sum }: Series) {
    const { name, buckets } = this.#description
    const rows = counts.map((value, i) => {
      const le = i < buckets.length ? buckets[i] : '+Inf'
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value }
    })
    return [
      ...rows,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: counts[counts.length - 1] },
    ]
  }
}

/** Counts of one series that is observed here. */
export class Buckets {
  readonly #counts: Float64Array
  #sum = 0

  constructor(private readonly bounds: readonly number[]) {
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let bucket = 0
    while (bucket < this.bounds.length && value > this.bounds[bucket]) bucket++
    this.#counts[bucket]++
    this.#sum += value
  }

  series(labels: Series['labels']): Series {
    let total = 0
    const counts = Array.from(this.#counts, (count) => {
      total += count
      return total
    })
    return { labels, counts, sum: this.#sum }
  }
}
