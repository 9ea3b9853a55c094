/**
 * I20, the host's writes have no guest side effects: a value is stored, nothing zeroed, armed or
 * delivered, and no exit made (KVM, efc479e6900c and d6800af51c76). EOM is an act by its nature. A timer
 * whose CONFIG says enabled runs, on KVM too. OpenVMM does not tell who writes and looks at its queues
 * before each entry.
 */
import { gpnOf } from '../../hv/bits.js'
import { HV_X64_MSR_SIEFP, HV_X64_MSR_SIMP } from '../../hv/msrs.js'
import { PAGE_ENABLE, STIMER_ENABLE } from '../../hv/registers.js'
import { EFFECT_EOI, EFFECT_EOM, EFFECT_WORDS } from '../../synic/effects.js'
import { CONFIG } from '../../synic/layout.js'
import { MODEL_OPENVMM } from '../../synic/profile.js'
import { timerAt } from '../../synic/stimer.js'
import { nameOfMsr } from '../places.js'
import { classOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { digestOf } from '../slot-view.js'
import { isCount, timerOf } from '../timers.js'

class HostWrite implements Watcher {
  #digest = 0
  #wasEnabled = false

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { op, m } = this.desk
    if (!op.byHost) return
    if (op.msr === HV_X64_MSR_SIMP || op.msr === HV_X64_MSR_SIEFP) this.#digest = this.#digestNow()
    else if (classOf(op.msr) === CLASS_STIMER) {
      this.#wasEnabled = (m.w[timerAt(op.file, timerOf(op.msr)) + CONFIG] & STIMER_ENABLE) !== 0
    }
  }

  after(): void {
    const { op, m } = this.desk
    if (!op.byHost || !m.effects.ok) return
    if (classOf(op.msr) === CLASS_STIMER) return this.#judgeTimer()
    const isPage = op.msr === HV_X64_MSR_SIMP || op.msr === HV_X64_MSR_SIEFP
    if (m.profile.model === MODEL_OPENVMM) return
    if (isPage && this.#digestNow() !== this.#digest) this.#tell('changes what stands in its page')
    if (m.effects.length > 0) this.#judgeEffects()
  }

  #judgeEffects(): void {
    const { words, length } = this.desk.m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      const kind = words[at]
      if (kind !== EFFECT_EOM && kind !== EFFECT_EOI) return this.#tell('does more than store a value')
    }
  }

  #judgeTimer(): void {
    const { op, m } = this.desk
    const isOn = (m.w[timerAt(op.file, timerOf(op.msr)) + CONFIG] & STIMER_ENABLE) !== 0
    const asked = isCount(op.msr) ? this.#wasEnabled : (op.newLo & STIMER_ENABLE) !== 0
    if (isOn && !asked && m.profile.model !== MODEL_OPENVMM) this.#tell('arms a timer that was off')
  }

  /** Guest RAM where the page will lie: zeroing would show there. */
  #digestNow(): number {
    const { op, m } = this.desk
    if (m.profile.pages !== 'ram' || (op.newLo & PAGE_ENABLE) === 0) return 0
    const frame = m.memory.frameAt(gpnOf(op.newLo, op.newHi))
    return frame === 0 ? 0 : digestOf(m, frame)
  }

  #tell(what: string): void {
    const text = `the host's write of ${nameOfMsr(this.desk.op.msr)} ${what}`
    this.desk.report({ severity: 'error', text })
  }
}

const CLASS_STIMER = 7

export const hostWrite: Rule = {
  invariant: 'I20',
  rule: 'host_write',
  holds: 'A write by the host stores a value and does nothing else.',
  ops: [],
  registers: ['SCONTROL', 'SIEFP', 'SIMP', 'SIRBP', 'SINT', 'STIMER'],
  deep: true,
  watch: (desk) => new HostWrite(desk),
}
