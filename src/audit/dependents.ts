/** Who else counts on a SynIC: an unmasked SINT or an event ring of its own (Linux mshv_synic.c, hv.c). */

import type { Eras } from './eras.js'
import { LEDGER_SIRBP } from './ledger.js'
import { isOnAt, PLACE_COUNT } from './places.js'
import type { Desk } from './rule.js'

export interface Dependent {
  readonly actor: number
  /** The register it holds, and when it enabled it. */
  readonly place: number
  readonly seq: number
}

/** Each other actor that is still here and has something enabled in this file; the first register of each. */
export function dependentsOn(desk: Desk, eras: Eras, f: number, actor: number): Dependent[] {
  const { m, ledger } = desk
  const dependents: Dependent[] = []
  for (let place = LEDGER_SIRBP; place < PLACE_COUNT; place++) {
    const other = ledger.enabler(f, place)
    if (other === 0 || other === actor || !isOnAt(m, f, place)) continue
    const seq = ledger.enableSeq(f, place)
    if (seq <= eras.bootSeq || eras.hasLeft(other)) continue
    if (!dependents.some((known) => known.actor === other)) dependents.push({ actor: other, place, seq })
  }
  return dependents
}
