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
