/**
 * I9, the host writes through enabled pages only: a message or flag goes to an enabled SIMP or SIEFP in
 * memory (KVM synic_deliver_msg, Xen XSA-472), and to a page that still is its driver's: not one that was
 * freed, given to somebody else, or left behind by a kernel that is gone. OpenVMM's hidden overlay takes
 * messages while disabled.
 */
import { gpnOf } from '../../hv/bits.js'
import { PAGE_ENABLE } from '../../hv/registers.js'
import { EFFECT_EVENT, EFFECT_MESSAGE, EFFECT_WORDS } from '../../synic/effects.js'
import { SIEFP, SIMP } from '../../synic/layout.js'
import * as o from '../../synic/op.js'
import { isAccessible } from '../../synic/pages.js'
import { fileIn } from '../effect-words.js'
import { LEDGER_SIEFP, LEDGER_SIMP } from '../ledger.js'
import { msrAt, nameAt, PLACE_COUNT, vcpuOf } from '../places.js'
import type { Desk, Rule, Watcher } from '../rule.js'

const CAUSE_KEXEC = o.BOOT_CAUSES.indexOf('kexec')

class PageWrite implements Watcher {
  /** When each page that nobody holds was freed. */
  readonly #freed = new Map<number, number>()
  #bootSeq = 0
  /** Register to the seq of the write that was complained of. */
  readonly #told = new Map<number, number>()

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m } = this.desk
    if (op.code >= o.OP_PAGE_CLAIM) this.#noteOwner()
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      const kind = words[at]
      if (kind === EFFECT_MESSAGE) this.#judge(at, SIMP, LEDGER_SIMP)
      else if (kind === EFFECT_EVENT) this.#judge(at, SIEFP, LEDGER_SIEFP)
    }
  }

  #noteOwner(): void {
    const { op, m } = this.desk
    const gpn = gpnOf(op.words[op.at + o.OP_ARGS], op.words[op.at + o.OP_ARGS + 1])
    if (op.code === o.OP_PAGE_FREE) this.#freed.set(gpn, op.seq)
    else if (op.code === o.OP_PAGE_CLAIM && m.effects.ok) this.#freed.delete(gpn)
    else if (op.code === o.OP_KERNEL_BOOT) {
      this.#freed.clear()
      // Who comes up after a crash has memory of its own and reads what the old kernel still gets.
      this.#bootSeq = op.words[op.at + o.OP_ARGS + 1] === CAUSE_KEXEC ? op.seq : 0
    }
  }

  #judge(at: number, register: number, place: number): void {
    const { m } = this.desk
    const f = fileIn(m, m.effects.words[at + 1], m.effects.words[at + 2])
    if (f < 0) return
    const lo = m.w[f + register]
    const gpn = gpnOf(lo, m.w[f + register + 1])
    if ((lo & PAGE_ENABLE) === 0) {
      if (m.profile.pages !== 'overwriting-overlay') this.#tell(f, place, gpn, 'disabled', 0)
    } else if (m.profile.pages === 'ram' && gpn >= m.config.gpaPages && !isAccessible(m, gpn)) {
      this.#tell(f, place, gpn, 'beyond memory', 0)
    } else if (this.#bootSeq !== 0 || this.#freed.size > 0 || m.pageHolders.size > 0) {
      this.#judgeOwner(f, place, gpn)
    }
  }

  #judgeOwner(f: number, place: number, gpn: number): void {
    const { m, ledger } = this.desk
    const writeSeq = ledger.writeSeq(f, place)
    const enabler = this.desk.nameOf(ledger.enabler(f, place))
    const freed = this.#freed.get(gpn) ?? 0
    const holder = m.pageHolders.get(gpn)
    const isOld = writeSeq > 0 && writeSeq < this.#bootSeq
    const isTaken = holder !== undefined && enabler !== '' && holder !== enabler && holder !== ''
    if (freed <= writeSeq && !isOld && !isTaken) return
    const key = f * PLACE_COUNT + place
    if (this.#told.get(key) === writeSeq) return
    this.#told.set(key, writeSeq)
    const why = isTaken ? `${holder}'s by now` : isOld ? 'that of a kernel that is gone' : 'freed'
    this.#tell(f, place, gpn, why, isOld ? this.#bootSeq : freed)
  }

  #tell(f: number, place: number, gpn: number, why: string, otherSeq: number): void {
    const { m, ledger } = this.desk
    const gpa = (gpn * 4096).toString(16)
    const what = place === LEDGER_SIMP ? 'a message' : 'an event flag'
    this.desk.report({
      severity: 'error',
      vcpu: vcpuOf(m, f),
      msr: msrAt(m, f, place),
      other: ledger.enabler(f, place),
      otherSeq,
      text: `the host writes ${what} through ${nameAt(m, f, place)} into page 0x${gpa}, which is ${why}`,
    })
  }
}

export const pageWrite: Rule = {
  invariant: 'I9',
  rule: 'page_write',
  holds: "The host writes messages and flags only through enabled pages in memory that are their driver's.",
  ops: [o.OP_PAGE_CLAIM, o.OP_PAGE_FREE, o.OP_KERNEL_BOOT],
  registers: [],
  effects: [EFFECT_MESSAGE, EFFECT_EVENT],
  deep: true,
  watch: (desk) => new PageWrite(desk),
}
