/** Counts and latencies, of the latest interval and of all that is measured. */
import { build, type Histogram } from 'hdr-histogram-js'

/** What is counted, as totals. */
export interface Counts {
  /** Answered, of harnesses and guests. */
  ops: number
  /** Read by their guests. */
  messages: number
  /** Of harnesses, answered: event flags signalled, MSRs written, batches. */
  events: number
  registers: number
  batches: number
  /** Received by watchers. */
  notifications: number
}

/** Microseconds. */
export interface Latency {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface Sample {
  readonly seconds: number
  readonly counts: Readonly<Counts>
  /** From sending a harness's batch to its answer. */
  readonly batch: Latency
  /** From sending a message to its guest's notification. */
  readonly delivery: Latency
}

const noCounts = (): Counts => ({
  ops: 0,
  messages: 0,
  events: 0,
  registers: 0,
  batches: 0,
  notifications: 0,
})

/** A minute; what takes longer is taken for a minute. */
const LATENCY_MAX_US = 60_000_000

const histogram = () =>
  build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_MAX_US,
    numberOfSignificantValueDigits: 3,
  })

function latencyOf(recorded: Histogram): Latency {
  const max = recorded.maxValue
  // A percentile is the upper end of its bucket, which may lie above the largest value.
  const percentile = (share: number) => Math.min(max, recorded.getValueAtPercentile(share))
  const [p50, p99, p999] = [50, 99, 99.9].map(percentile)
  return { count: recorded.totalCount, p50, p99, p999, max }
}

/** One latency: the histogram of the interval is used over and over, and added to that of the whole. */
class Timing {
  readonly #interval = histogram()
  readonly #whole = histogram()

  record(ms: number): void {
    this.#interval.recordValue(Math.min(LATENCY_MAX_US, Math.max(1, Math.round(ms * 1000))))
  }

  endInterval(): Latency {
    const latency = latencyOf(this.#interval)
    this.#whole.add(this.#interval)
    this.#interval.reset()
    return latency
  }

  get whole(): Latency {
    return latencyOf(this.#whole)
  }

  restart(): void {
    this.#interval.reset()
    this.#whole.reset()
  }
}

export class Figures {
  /** Only ever added to. */
  readonly counts = noCounts()
  readonly batch = new Timing()
  readonly delivery = new Timing()
  readonly #now: () => number
  #interval: Mark
  #whole: Mark

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#interval = this.#mark()
    this.#whole = this.#interval
  }

  /** Forgets what was measured so far: from here on it counts. */
  restart(): void {
    this.batch.restart()
    this.delivery.restart()
    this.#interval = this.#mark()
    this.#whole = this.#interval
  }

  /** What came since the last call, or since the restart. */
  endInterval(): Sample {
    const since = this.#interval
    this.#interval = this.#mark()
    return {
      ...difference(since, this.#interval),
      batch: this.batch.endInterval(),
      delivery: this.delivery.endInterval(),
    }
  }

  /** What came since the restart. */
  whole(): Sample {
    this.endInterval()
    return {
      ...difference(this.#whole, this.#interval),
      batch: this.batch.whole,
      delivery: this.delivery.whole,
    }
  }

  #mark(): Mark {
    return { atMs: this.#now(), counts: { ...this.counts } }
  }
}

interface Mark {
  readonly atMs: number
  readonly counts: Readonly<Counts>
}

function difference(from: Mark, to: Mark): Pick<Sample, 'seconds' | 'counts'> {
  const counts = noCounts()
  for (const name of Object.keys(counts) as (keyof Counts)[])
    counts[name] = to.counts[name] - from.counts[name]
  return { seconds: (to.atMs - from.atMs) / 1000, counts }
}
