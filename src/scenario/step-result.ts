/** What a step must give: `v0 SINT4=0x0f -> gp`. */
import type { Result } from '../api/result.js'
import { DELIVERIES } from '../synic/effects.js'

/** A line without what its step must give, and that. */
export function splitResult(line: string): { body: string; expected: string | undefined } {
  const at = line.indexOf(' -> ')
  if (at < 0) return { body: line, expected: undefined }
  return { body: line.slice(0, at), expected: line.slice(at + ' -> '.length) }
}

const DELIVERY_WORDS: readonly string[] = DELIVERIES
const PATTERN = new RegExp(
  `^(?:ok|gp|ud|vector -?(?:0x[0-9a-f]+|\\d+)|status \\d+|-\\d+|0x[0-9a-f]+|${DELIVERIES.join('|')})$`,
)

/** Is it something that a step can give? */
export function isResult(expected: string): boolean {
  return PATTERN.test(expected)
}

export const RESULTS = `ok, gp, ud, an errno such as -22, ${DELIVERIES.join(', ')}, vector N, status N, 0x...`

export function isAsExpected(result: Result, expected: string): boolean {
  const [word, argument] = expected.split(' ')
  if (DELIVERY_WORDS.includes(word)) return result.delivery === word
  switch (word) {
    case 'ok':
      return result.ok
    case 'gp':
    case 'ud':
      return result.fault === word
    case 'vector':
      return result.vector === Number(argument)
    case 'status':
      return result.status === Number(argument)
  }
  if (word.startsWith('-')) return result.errno === Number(word)
  return result.value !== undefined && BigInt(result.value) === BigInt(word)
}
