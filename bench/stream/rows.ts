// Subject and baseline in turn, round by round, as rows of the table.
import { median, summary } from '../../src/bench/timing.js'
import type { Row } from '../measure.js'

/** Judges a row. */
export type Goal = (row: Row) => Pick<Row, 'goal' | 'met'>

export const ratioAtLeast =
  (least: number): Goal =>
  ({ ratio = 0 }) => ({ goal: `>= ${least}`, met: ratio >= least })

export const ratioAtMost =
  (most: number): Goal =>
  ({ ratio = Number.POSITIVE_INFINITY }) => ({ goal: `<= ${most}`, met: ratio <= most })

export const medianAtLeast =
  (least: number, text: string): Goal =>
  (row) => ({ goal: `>= ${text}`, met: row.median >= least })

export const perSecond = 'k/s'
export const perCpuSecond = 'k/cpu-s'

/** What was measured in each round, of both. */
export interface Pairs<T> {
  readonly subject: T[]
  readonly baseline: T[]
}

/** Runs both in turn, once more than counts: the first round lets the compiler finish. */
export async function inTurn<T>(
  rounds: number,
  subject: () => Promise<T>,
  baseline: () => Promise<T>,
): Promise<Pairs<T>> {
  const pairs: Pairs<T> = { subject: [], baseline: [] }
  for (let round = 0; round <= rounds; round++) {
    pairs.baseline.push(await baseline())
    pairs.subject.push(await subject())
  }
  pairs.baseline.shift()
  pairs.subject.shift()
  return pairs
}

/**
 * The same in slices so short that what the host does to one it does to the other: a round is some of each,
 * put together by `merge`. Who is second in one pair is first in the next.
 */
export function inSlices<T>(
  rounds: number,
  slices: number,
  subject: () => Promise<T>,
  baseline: () => Promise<T>,
  merge: (parts: readonly T[]) => T,
): Promise<Pairs<T>> {
  const parts: Pairs<T> = { subject: [], baseline: [] }
  const both = [
    async () => parts.subject.push(await subject()),
    async () => parts.baseline.push(await baseline()),
  ]
  const round = async () => {
    parts.subject.length = 0
    parts.baseline.length = 0
    for (let slice = 0; slice < slices; slice++) {
      for (const one of slice % 2 === 0 ? both : both.toReversed()) await one()
    }
  }
  return inTurn(
    rounds,
    async () => merge(parts.subject),
    async () => {
      await round()
      return merge(parts.baseline)
    },
  )
}

interface Labels {
  readonly what: string
  readonly unit: string
  readonly subject: string
  readonly baseline: string
}

/** One figure of the pairs: the baseline's row, then the subject's with the ratio and the goal. */
export function pairRows<T>(
  pairs: Pairs<T>,
  figure: (of: T) => number,
  { what, unit, subject, baseline }: Labels,
  goal: Goal = () => ({}),
): Row[] {
  const base = pairs.baseline.map(figure)
  const values = pairs.subject.map(figure)
  const ratio = median(values.map((value, i) => value / base[i]))
  const row: Row = { what: `${subject}, ${what}`, unit, ...summary(values), ratio, baseline }
  return [
    { what: `${baseline}, ${what}`, unit, ...summary(base) },
    { ...row, ...goal(row) },
  ]
}

/** Share `p` of the values is no larger. */
export function percentile(values: ArrayLike<number>, p: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.floor(p * (sorted.length - 1))]
}
