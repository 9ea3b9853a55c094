/**
 * Edges of resampled GSIs that were taken and ended, and whose end nobody was told; and why, if it is
 * known.
 */
import { testBit } from '../hv/bits.js'
import { SINT_AUTO_EOI, SINT_MASKED, SINT_VECTOR } from '../hv/registers.js'
import { isResampled } from '../synic/gsi-routes.js'
import { APIC_ENABLED, FLAGS, IRR, ISR, SINTS } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import { sintGsi } from '../synic/sint.js'
import type { Edge } from './gsi-book.js'
import { LEDGER_SINTS } from './ledger.js'
import type { Desk } from './rule.js'

/** Has the interrupt behind the edge come and gone without an acknowledgement? */
export function isUnacknowledged(m: Machine, edge: Edge): boolean {
  if (!isResampled(m, edge.gsi)) return false
  const v = m.rowOfFile(edge.f)
  return !testBit(m.w, v + IRR, edge.vector) && !testBit(m.w, v + ISR, edge.vector)
}

/**
 * What KVM's own code does not acknowledge, or '': auto-EOI vectors, SINTs masked or moved since, a GSI that
 * is not the last one routed to its SINT, EOIs that the hardware virtualizes (kvm_hv_synic_send_eoi and
 * callers).
 */
export function knownReason({ m, ledger }: Desk, edge: Edge): string {
  if (!m.profile.kvm) return ''
  const lo = m.w[edge.f + SINTS + 2 * edge.sint]
  // Whom an EOI is meant for is looked up when it is written: unmasking brings nothing back.
  const maskSeq = ledger.disableSeq(edge.f, LEDGER_SINTS + edge.sint)
  if ((lo & SINT_MASKED) !== 0 || maskSeq > edge.seq) return `SINT${edge.sint} was masked before its EOI`
  if ((lo & SINT_VECTOR) !== edge.vector) return `SINT${edge.sint} has another vector by now`
  if ((lo & SINT_AUTO_EOI) !== 0) return 'its vector ends by itself, and only EOM acknowledges it'
  if (sintGsi(m, edge.f, edge.sint) !== edge.gsi) return `SINT${edge.sint} notifies another GSI, or none`
  if (m.options.apicv) return 'its EOI was virtualized by the hardware'
  return (m.w[m.rowOfFile(edge.f) + FLAGS] & APIC_ENABLED) === 0 ? 'its APIC is off' : ''
}
