/**
 * I9, pages are their own: no two enabled SynIC pages of a partition share a guest page, with each other or
 * with the hypercall, reference TSC and VP assist pages, none lies beyond memory, and none is enabled at an
 * address 0 that was found there and not chosen (Linux MSHV on L1VH enabled SIRBP with the base it read,
 * which nobody had provided). Every profile has its answer to such writes, so what nobody signed is a note.
 */
import { gpnOf } from '../../hv/bits.js'
import { PAGE_ENABLE } from '../../hv/registers.js'
import type { Machine } from '../../synic/machine.js'
import { isAccessible } from '../../synic/pages.js'
import { isOverlay, OFF, overlayAt, overlays } from '../overlays.js'
import { isOnAt, msrAt, nameOfMsr, PAGE_PLACES, vcpuOf, wordAt } from '../places.js'
import { placeOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/** What follows from the register's own words, and what only who knows the machine's memory can say. */
export const AT_FOUND_ZERO = 'at the base it found there, which is 0'
export const BEYOND_MEMORY = 'beyond memory'

class PageOverlap implements Watcher {
  /** Where the page was whose register is written now, of those beside the SynIC's. */
  #found = OFF

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { op, m } = this.desk
    if (isOverlay(op.msr)) this.#found = overlayAt(m, op.msr, m.rowOf(op.vcpu))
  }

  after(): void {
    const { op, m } = this.desk
    if (!m.effects.ok || (op.newLo & PAGE_ENABLE) === 0) return
    if (op.file < 0) return this.#otherPage()
    const gpn = gpnOf(op.newLo, op.newHi)
    const found = gpnOf(op.oldLo, op.oldHi)
    if ((op.oldLo & PAGE_ENABLE) !== 0 && gpn === found) return
    const register = nameOfMsr(op.msr)
    if (gpn === 0 && found === 0) this.#tell(`enables ${register} ${AT_FOUND_ZERO}`)
    if (!isAccessible(m, gpn))
      this.#tell(`enables ${register} at 0x${(gpn * 4096).toString(16)}, ${BEYOND_MEMORY}`)
    if (mayShare(m, gpn)) this.#judgeShared(gpn, register)
    this.#judgeOthers(gpn, register)
  }

  #otherPage(): void {
    const { op, m } = this.desk
    const gpn = isOverlay(op.msr) ? overlayAt(m, op.msr, m.rowOf(op.vcpu)) : OFF
    if (gpn === OFF || gpn === this.#found) return
    if (gpn === 0 || m.synicPages.has(gpn) || m.profile.microsoftRegisters)
      this.#judgeShared(gpn, nameOfMsr(op.msr))
    this.#judgeOthers(gpn, nameOfMsr(op.msr))
  }

  #judgeOthers(gpn: number, register: string): void {
    const { op, m } = this.desk
    for (const { msr, vcpu } of overlays(m, gpn)) {
      if (msr === op.msr && (vcpu < 0 || vcpu === op.vcpu)) continue
      const theirs = vcpu < 0 ? nameOfMsr(msr) : `${nameOfMsr(msr)} of vCPU ${vcpu}`
      const gpa = (gpn * 4096).toString(16)
      return this.#tell(`enables ${register} at 0x${gpa}, where ${theirs} is enabled already`)
    }
  }

  #judgeShared(gpn: number, register: string): void {
    const { op, m, ledger } = this.desk
    const own = placeOf(op.msr)
    for (const f of m.filesById()) {
      for (const place of PAGE_PLACES) {
        const at = wordAt(f, place)
        if ((f === op.file && place === own) || !isOnAt(m, f, place)) continue
        if (gpnOf(m.w[at], m.w[at + 1]) !== gpn) continue
        const theirs = `${nameOfMsr(msrAt(m, f, place))} of vCPU ${vcpuOf(m, f)}`
        const gpa = (gpn * 4096).toString(16)
        const other = ledger.enabler(f, place)
        const text = `enables ${register} at 0x${gpa}, where ${theirs} is enabled already`
        return this.#tell(text, other, ledger.enableSeq(f, place))
      }
    }
  }

  #tell(what: string, other = 0, otherSeq = 0): void {
    const { op } = this.desk
    const actor = op.byHost ? 'the host' : this.desk.nameOf(op.actor) || 'the guest'
    const severity = op.actor === 0 || op.byHost ? 'note' : 'error'
    this.desk.report({ severity, other, otherSeq, text: `${actor} ${what}` })
  }
}

/** Two message or event-flags pages share an address by the directory; event rings are in none. */
function mayShare(m: Machine, gpn: number): boolean {
  const rings = m.profile.microsoftRegisters && m.config.kind !== 'guest'
  return rings || gpn === 0 || (m.synicPages.get(gpn)?.length ?? 0) > 1
}

export const pageOverlap: Rule = {
  invariant: 'I9',
  rule: 'page_overlap',
  holds:
    'Enabled SynIC pages lie in memory, at an address that was chosen, and share it with no other overlay.',
  ops: [],
  registers: ['SIMP', 'SIEFP', 'SIRBP', 'other'],
  watch: (desk) => new PageOverlap(desk),
}
