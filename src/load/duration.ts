/** Lengths of time as people write them: `500ms`, `10s`, `1.5m`, `1h`. */

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const MIN_MS = 100
const MAX_MS = 24 * 3_600_000

/**
 * Milliseconds.
 * @throws RangeError with the rule that is broken
 */
export function parseDuration(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text.trim()) ?? []
  const ms = Math.round(Number(count) * UNIT_MS[unit])
  if (!(ms >= MIN_MS && ms <= MAX_MS)) throw new RangeError('give 100ms to 24h, as in 500ms, 10s or 5m')
  return ms
}
