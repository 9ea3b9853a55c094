/** The word that was meant, where one is close enough to what was written. */
import { closest, distance } from 'fastest-levenshtein'
import { MSR_BY_NAME } from '../hv/msrs.js'

/** Letters that may be mistaken: a third of a word, two of a short one, one of a very short one. */
const farthest = ({ length }: string) => (length < 4 ? 1 : Math.max(2, length / 3))

/** Anybody may send megabytes for a name: what is longer than this was none, and to look would take long. */
const WRITTEN_MAX = 100

/** `; did you mean "steps"?`, or nothing. */
export function didYouMean(written: string, known: readonly string[]): string {
  if (known.length === 0 || written === '' || written.length > WRITTEN_MAX) return ''
  const lower = known.map((each) => each.toLowerCase())
  const near = closest(written.toLowerCase(), lower)
  const best = known[lower.indexOf(near)]
  const isFar = distance(written.toLowerCase(), near) > farthest(written)
  return isFar || written === best ? '' : `; did you mean "${best}"?`
}

const REGISTERS = [...MSR_BY_NAME.keys()]

/** What to write in the place of a register that there is not. */
export function registerHint(written: string): string {
  if (/^(?:NESTED[._])?SINT\d+$/i.test(written)) return '; a vCPU has SINT0 to SINT15'
  return didYouMean(written, REGISTERS)
}
