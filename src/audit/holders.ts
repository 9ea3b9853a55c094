/**
 * Who holds a register that nobody owns: whoever enabled it, with or without a word, until it leaves or its
 * kernel hands the machine on. A page or vector that is not the holder's takes the register from it (iPXE:
 * an enabled SIMP is the token of ownership). To switch it off may be the last to leave who cleans up.
 */
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import { SINT_VECTOR } from '../hv/registers.js'
import type { Eras } from './eras.js'
import { LEDGER_SINTS } from './ledger.js'
import { isOnAt, isOnValue, wordAt } from './places.js'
import type { Desk } from './rule.js'

/** Behind the write at hand: does it leave the register enabled, but with another page or vector? */
export function isMoved({ m, op }: Desk, place: number): boolean {
  if (!isOnValue(place, op.oldLo) || !isOnAt(m, op.file, place)) return false
  const word = wordAt(op.file, place)
  const kept = place >= LEDGER_SINTS ? SINT_VECTOR : ~(GPA_PAGE_BYTES - 1)
  return ((op.oldLo ^ m.w[word]) & kept) !== 0 || op.oldHi !== m.w[word + 1]
}

/** Was the page at address 0? Nobody brought that one: who moves off it takes nothing from anybody. */
const wasAtZero = ({ op }: Desk, place: number) =>
  place < LEDGER_SINTS && op.oldLo >>> 0 < GPA_PAGE_BYTES && op.oldHi === 0

/**
 * Of a register that nobody owns: from whom does the write at hand take it? 0: from nobody. Who takes back
 * what was its own before takes nothing.
 * @param handedOverSeq what was enabled before it is left behind
 */
export function robbedHolder(desk: Desk, eras: Eras, place: number, handedOverSeq: number): number {
  const { m, op, ledger } = desk
  if (op.actor === 0 || op.byHost || !m.effects.ok || !isMoved(desk, place)) return 0
  const holder = ledger.enabler(op.file, place)
  if (holder === 0 || holder === op.actor || eras.hasLeft(holder) || wasAtZero(desk, place)) return 0
  const since = Math.max(eras.since(m.rowOfFile(op.file)), handedOverSeq)
  if (ledger.enableSeq(op.file, place) <= since) return 0
  return ledger.enabledBy(op.file, place, op.actor) > since ? 0 : holder
}
