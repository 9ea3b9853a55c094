/**
 * I9, what a freshly enabled page holds: an overlay is zero at first and takes its content along (TLFS,
 * "SIM Page"), KVM_CAP_HYPERV_SYNIC zeroes what the guest enables, KVM_CAP_HYPERV_SYNIC2 leaves RAM as it
 * is. There a type that is not 0 makes a slot look full before any message came, and a set flag swallows
 * its first signal: a note.
 */
import { gpnOf } from '../../hv/bits.js'
import { HV_X64_MSR_SIMP, NESTED_MSR_OFFSET } from '../../hv/msrs.js'
import { PAGE_ENABLE } from '../../hv/registers.js'
import { DONT_ZERO_PAGES, EVENT_FRAME, FILE_FLAGS, MESSAGE_FRAME } from '../../synic/layout.js'
import { visibleFrame } from '../../synic/pages.js'
import { nameOfMsr } from '../places.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { digestOf, isZeroPage, lowestOf, occupiedSlots } from '../slot-view.js'

class FreshOverlay implements Watcher {
  #frame = 0
  #digest = 0

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { m } = this.desk
    if (m.profile.pages === 'ram') return
    this.#frame = m.w[this.#frameWord()]
    this.#digest = this.#frame === 0 ? 0 : digestOf(m, this.#frame)
  }

  after(): void {
    const { op, m } = this.desk
    if (!m.effects.ok || (op.newLo & PAGE_ENABLE) === 0) return
    const moved = (op.oldLo & PAGE_ENABLE) === 0 || gpnOf(op.oldLo, op.oldHi) !== gpnOf(op.newLo, op.newHi)
    const gpn = gpnOf(op.newLo, op.newHi)
    if (m.profile.pages === 'ram') this.#judgeRam(gpn, moved)
    else if (moved) this.#judgeOverlay(gpn)
  }

  #judgeOverlay(gpn: number): void {
    const { op, m } = this.desk
    const frame = m.w[this.#frameWord()]
    // A message may have been waiting for just this page.
    const mayFill = m.effects.length > 0
    const kept = this.#frame === 0 ? isZeroPage(m, frame) : digestOf(m, frame) === this.#digest
    const register = nameOfMsr(op.msr)
    if (!kept && !mayFill)
      this.#tell('error', `the overlay of ${register} changed its content when it was laid`)
    const key = op.file * 2 + (isMessagePage(op.msr) ? 0 : 1)
    const isTop = m.synicPages.get(gpn)?.at(-1) === key
    if (isTop && visibleFrame(m, gpn) !== frame)
      this.#tell('error', `the guest does not see the overlay of ${register}`)
  }

  #judgeRam(gpn: number, moved: boolean): void {
    const { op, m } = this.desk
    const frame = m.memory.frameAt(gpn)
    if (op.byHost || isZeroPage(m, frame)) return
    const register = nameOfMsr(op.msr)
    const zeroes = (m.w[op.file + FILE_FLAGS] & DONT_ZERO_PAGES) === 0
    const slots = isMessagePage(op.msr) ? occupiedSlots(m, frame) : 0
    if (zeroes && m.effects.length <= EXIT_WORDS)
      this.#tell('error', `the page of ${register} was not zeroed`)
    else if (!moved || zeroes) return
    else if (slots !== 0) {
      const sint = `SINT${lowestOf(slots)}`
      this.#tell(
        'note',
        `${register} is enabled over old data: the slot of ${sint} looks full before any message came`,
      )
    } else if (!isMessagePage(op.msr)) {
      this.#tell('note', `${register} is enabled over old data: flags look set before any signal came`)
    }
  }

  #frameWord(): number {
    const { op } = this.desk
    return op.file + (isMessagePage(op.msr) ? MESSAGE_FRAME : EVENT_FRAME)
  }

  #tell(severity: 'error' | 'note', text: string): void {
    this.desk.report({ severity, text })
  }
}

/** The exit that KVM makes of the write itself; more means that something was delivered. */
const EXIT_WORDS = 9

function isMessagePage(msr: number): boolean {
  return (msr & ~NESTED_MSR_OFFSET) === HV_X64_MSR_SIMP
}

export const freshOverlay: Rule = {
  invariant: 'I9',
  rule: 'fresh_overlay',
  holds: 'A freshly enabled page holds zeros, or what it held before it moved.',
  ops: [],
  registers: ['SIMP', 'SIEFP'],
  watch: (desk) => new FreshOverlay(desk),
}
