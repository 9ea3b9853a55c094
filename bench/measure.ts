// Timing that can be repeated: rounds of subject and baseline in turn, medians, and the ratio round by round.

/** One line of the table. */
export interface Row {
  readonly what: string
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  /** Subject against its baseline of the same round; above 1 = the baseline is cheaper, for costs. */
  readonly ratio?: number
  readonly baseline?: string
  readonly goal?: string
  readonly met?: boolean
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function summary(values: readonly number[]): Pick<Row, 'median' | 'min' | 'max'> {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/** Nanoseconds one call of `run` takes for `count` things, a thing. */
export function nsEach(count: number, run: (count: number) => void): number {
  const start = process.hrtime.bigint()
  run(count)
  return Number(process.hrtime.bigint() - start) / count
}

/** Rounds of `run` after a warm-up that lets the compiler finish. */
export function rounds(count: number, run: (count: number) => void, repeats = 9): number[] {
  for (let i = 0; i < 4; i++) run(count)
  return Array.from({ length: repeats }, () => nsEach(count, run))
}

const round = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2))

/** The rows as people read them. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    row.what,
    `${round(row.median)} ${row.unit}`,
    `${round(row.min)} - ${round(row.max)}`,
    row.ratio === undefined ? '' : `${row.ratio.toFixed(2)} of ${row.baseline}`,
    row.goal === undefined ? '' : `${row.goal}: ${row.met === true ? 'met' : 'not met'}`,
  ])
  const all = [['what', 'median', 'min - max', 'ratio', 'goal'], ...lines]
  const widths = all[0].map((_, column) => Math.max(...all.map((line) => line[column].length)))
  return all
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
