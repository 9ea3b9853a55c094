/** The outcome of a load as one JSON document. */
import type { Latency } from './figures.js'
import type { Outcome } from './run.js'

/** Nothing lost, refused or failed, and it did not break. */
export function isClean({ ending, lost, inDoubt, troubles }: Outcome): boolean {
  const { failed, problems } = troubles
  return ending.ended !== 'broken' && lost + inDoubt + failed + problems.size === 0
}

/** In one line. */
export function reasonOf({ ending }: Outcome): string | undefined {
  if (ending.ended !== 'broken') return undefined
  const { reason } = ending
  return reason instanceof Error ? reason.message : String(reason)
}

export const perSecond = (count: number, seconds: number): number =>
  seconds > 0 ? Math.round(count / seconds) : 0

const latencyDocument = ({ count, p50, p99, p999, max }: Latency) => ({ count, p50, p99, p99_9: p999, max })

export function reportDocument(outcome: Outcome) {
  const { plan, ending, sample, troubles } = outcome
  const { url, durationMs, mix, rate, ...rest } = plan
  const { seconds, counts } = sample
  const rates = Object.entries(counts).map(([name, count]) => [name, perSecond(count, seconds)])
  const error = reasonOf(outcome)
  return {
    url,
    plan: { ...rest, duration_seconds: durationMs / 1000, mix, ...(rate !== undefined && { rate }) },
    ended: ending.ended,
    ...(error !== undefined && { error }),
    warmup_seconds: outcome.warmupSeconds,
    measured_seconds: Math.round(seconds * 1000) / 1000,
    per_second: Object.fromEntries(rates) as Record<keyof typeof counts, number>,
    counts,
    latency_us: { batch: latencyDocument(sample.batch), delivery: latencyDocument(sample.delivery) },
    messages: {
      posted: outcome.posted,
      seen: outcome.seen,
      lost: outcome.lost,
      in_doubt: outcome.inDoubt,
      busy: troubles.busy,
    },
    failed: troubles.failed,
    ...(troubles.firstFailure !== undefined && { first_failure: troubles.firstFailure }),
    gaps: troubles.gaps,
    problems: [...troubles.problems.values()],
    partitions_left: outcome.left,
  }
}
