/**
 * I11, the gate: what interrupts with a SINT's vector came from a SINT. An IPI on that vector makes a handler
 * run for which nothing has come, and with auto-EOI nobody can tell the two apart (TLFS "SINTx Registers").
 */
import { clearBit, setBit, testBit } from '../../hv/bits.js'
import { HV_X64_MSR_ICR, HV_X64_MSR_SINT0 } from '../../hv/msrs.js'
import { SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../../hv/registers.js'
import { EFFECT_IRQ, EFFECT_WORDS, FROM_IPI } from '../../synic/effects.js'
import { IRR, SINTS } from '../../synic/layout.js'
import { hex, isSilent, sourceIn } from '../effect-words.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class GateBypassed implements Watcher {
  /** vCPUs, by their row's number, that had the vector requested already: once more changes nothing. */
  #waiting = new Int32Array(1)

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { m, op } = this.desk
    if (op.msr !== HV_X64_MSR_ICR) return
    if (this.#waiting.length * 32 < m.vcpuCount) this.#waiting = new Int32Array((m.vcpuCount >> 5) + 1)
    for (let row = 0; row < m.vcpuCount; row++) {
      if (testBit(m.w, row * m.stride + IRR, op.newLo & SINT_VECTOR)) setBit(this.#waiting, 0, row)
      else clearBit(this.#waiting, 0, row)
    }
  }

  after(): void {
    const { m, op } = this.desk
    if (op.msr !== HV_X64_MSR_ICR) return
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_IRQ || sourceIn(words[at + 3]) !== FROM_IPI) continue
      const v = m.rowOf(words[at + 1])
      if (!testBit(this.#waiting, 0, v / m.stride)) this.#judge(v, words[at + 2])
    }
  }

  #judge(v: number, vector: number): void {
    const { m, op } = this.desk
    for (const f of m.filesOf(v)) {
      for (let sint = 0; sint < SINT_COUNT; sint++) {
        const lo = m.w[f + SINTS + 2 * sint]
        if ((lo & (SINT_MASKED | SINT_VECTOR)) !== vector || isSilent(m, sint, lo)) continue
        const what = `vector ${hex(vector)} of vCPU ${m.vcpuId(v)}, which is SINT${sint}'s`
        return this.desk.report({
          // What nobody signs may be a test that pokes about.
          severity: op.actor === 0 && !op.byHost ? 'note' : 'error',
          vcpu: m.vcpuId(v),
          msr: HV_X64_MSR_SINT0 + sint + (m.isNestedFile(f) ? 0x1000 : 0),
          text: `an IPI requests ${what}: its handler runs although nothing came to that SINT`,
        })
      }
    }
  }
}

export const gateBypassed: Rule = {
  invariant: 'I11',
  rule: 'gate_bypassed',
  holds: 'What interrupts with the vector of an unmasked SINT came from a SINT.',
  ops: [],
  registers: ['other'],
  watch: (desk) => new GateBypassed(desk),
}
