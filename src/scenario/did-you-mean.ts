/** The word that was meant, where one is close enough to what was written. */
import { closest, distance } from 'fastest-levenshtein'
import { MSR_BY_NAME } from '../hv/msrs.js'

/** `; did you mean "steps"?`, or nothing: a third of a word may be mistaken, two letters of a short one. */
export function didYouMean(written: string, known: readonly string[]): string {
  if (known.length === 0 || written === '') return ''
  const lower = known.map((each) => each.toLowerCase())
  const near = closest(written.toLowerCase(), lower)
  const best = known[lower.indexOf(near)]
  const isFar = distance(written.toLowerCase(), near) > Math.max(2, written.length / 3)
  return isFar || written === best ? '' : `; did you mean "${best}"?`
}

const REGISTERS = [...MSR_BY_NAME.keys()]

/** What to write in the place of a register that there is not. */
export function registerHint(written: string): string {
  if (/^(?:NESTED[._])?SINT\d+$/i.test(written)) return '; a vCPU has SINT0 to SINT15'
  return didYouMean(written, REGISTERS)
}
