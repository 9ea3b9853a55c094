/** Timing that can be repeated: rounds after a warm-up, and their median. */

/** Of several rounds. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function summary(values: readonly number[]): Spread {
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
