/**
 * I12, end of interrupt: auto-EOI leaves nothing in service, every other taken interrupt gets one EOI, and
 * SINTs
 * of one vector agree (TLFS "SINTx Registers"; KVM kvm_get_apic_interrupt, synic_update_vector).
 */
import { testBit } from '../../hv/bits.js'
import { HV_X64_MSR_EOI, HV_X64_MSR_SINT0 } from '../../hv/msrs.js'
import { SINT_AUTO_EOI, SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../../hv/registers.js'
import { EFFECT_EOI } from '../../synic/effects.js'
import { AUTO_EOI_VECTORS, ISR, NESTED_FILE, SINTS } from '../../synic/layout.js'
import { OP_APIC_ACK, OP_APIC_EOI, OP_MSR_WRITE } from '../../synic/op.js'
import { MODEL_OPENVMM } from '../../synic/profile.js'
import { hex } from '../effect-words.js'
import { LEDGER_SINTS } from '../ledger.js'
import { CLASS_SINT, classOf, sintOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/** What decides whether a SINT's vector ends by itself. */
const FIELDS = SINT_VECTOR | SINT_MASKED | SINT_AUTO_EOI

class EndOfInterrupt implements Watcher {
  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m } = this.desk
    if (!m.effects.ok) return
    if (op.code === OP_APIC_ACK) this.#taken()
    else if (op.code === OP_APIC_EOI) this.#ended()
    else if (op.code !== OP_MSR_WRITE) return
    else if (op.msr === HV_X64_MSR_EOI) this.#ended()
    else if (((op.oldLo ^ op.newLo) & SINT_AUTO_EOI) !== 0 && classOf(op.msr) === CLASS_SINT) this.#changed()
  }

  settled(): void {
    const { m } = this.desk
    for (let v = 0; v < m.vcpuCount * m.stride; v += m.stride) {
      this.#agree(v)
      for (let vector = 0; vector < 256; vector++) {
        if (!testBit(m.w, v + ISR, vector)) continue
        const text = `vector ${hex(vector)} was taken and is still in service: no EOI followed`
        this.desk.report({ severity: 'note', vcpu: m.vcpuId(v), text })
      }
    }
  }

  #isAuto(v: number, vector: number): boolean {
    const { m } = this.desk
    if (testBit(m.w, v + AUTO_EOI_VECTORS, vector)) return true
    return m.nested && testBit(m.w, v + NESTED_FILE + AUTO_EOI_VECTORS, vector)
  }

  #taken(): void {
    const { op, m } = this.desk
    const { vector } = m.effects
    if (vector < 0) return
    const v = m.rowOf(op.vcpu)
    const isAuto = this.#isAuto(v, vector)
    if (testBit(m.w, v + ISR, vector) !== isAuto) return
    const text = isAuto
      ? `vector ${hex(vector)} ends by itself, and yet stands in service`
      : `vector ${hex(vector)} was taken without coming into service, although it needs an EOI`
    this.desk.report({ severity: 'error', text })
  }

  #ended(): void {
    const { words, length } = this.desk.m.effects
    if (length > 0 && words[0] === EFFECT_EOI) return
    this.desk.report({ severity: 'note', text: 'an EOI was written with nothing in service' })
  }

  /** A SINT's auto-EOI bit was changed: was its vector just being handled? */
  #changed(): void {
    const { op, m } = this.desk
    const v = m.rowOfFile(op.file)
    const vector = op.oldLo & SINT_VECTOR
    if (op.byHost || (op.oldLo & SINT_MASKED) !== 0 || !testBit(m.w, v + ISR, vector)) return
    this.desk.report({
      // What nobody signs may be a test that pokes about.
      severity: op.actor === 0 ? 'note' : 'error',
      text: `SINT${sintOf(op.msr)} changes auto-EOI while its vector ${hex(vector)} is in service`,
    })
  }

  /** Unmasked SINTs of one vector say the same about auto-EOI, and the APIC's table says it too. */
  #agree(v: number): void {
    const { m } = this.desk
    // By vector: a SINT that has it, as its place in the slab; of two that differ one speaks.
    const first = new Int32Array(256).fill(-1)
    for (const f of m.filesOf(v)) {
      for (let sint = 0; sint < SINT_COUNT; sint++) {
        const at = f + SINTS + 2 * sint
        const vector = m.w[at] & SINT_VECTOR
        if ((m.w[at] & SINT_MASKED) !== 0) continue
        if (first[vector] < 0) first[vector] = at
        else if (((m.w[first[vector]] ^ m.w[at]) & FIELDS) !== 0) this.#disagree(f, sint, vector)
      }
    }
    if (m.profile.model === MODEL_OPENVMM) return
    for (let vector = 16; vector < 256; vector++) {
      const says = first[vector] >= 0 && (m.w[first[vector]] & SINT_AUTO_EOI) !== 0
      if (says && !this.#isAuto(v, vector)) {
        const text = `vector ${hex(vector)} has auto-EOI in its SINT, but the APIC would wait for an EOI`
        this.desk.report({ severity: 'error', vcpu: m.vcpuId(v), text })
      }
    }
  }

  #disagree(f: number, sint: number, vector: number): void {
    const { ledger, m } = this.desk
    const writer = ledger.writer(f, LEDGER_SINTS + sint)
    this.desk.report({
      severity: writer === 0 ? 'note' : 'error',
      vcpu: m.vcpuId(m.rowOfFile(f)),
      msr: HV_X64_MSR_SINT0 + sint + (m.isNestedFile(f) ? 0x1000 : 0),
      actor: writer,
      otherSeq: ledger.writeSeq(f, LEDGER_SINTS + sint),
      text: `SINT${sint} shares vector ${hex(vector)} with a SINT that says otherwise about auto-EOI`,
    })
  }
}

export const endOfInterrupt: Rule = {
  invariant: 'I12',
  rule: 'end_of_interrupt',
  holds: 'Auto-EOI leaves nothing in service, other interrupts get one EOI, and a vector has one way to end.',
  ops: [],
  registers: ['SINT'],
  onChange: true,
  more: [
    { ops: [OP_APIC_EOI], registers: ['other'], unless: EFFECT_EOI },
    // What is in service after an interrupt was taken is the machine's doing.
    { ops: [OP_APIC_ACK], deep: true },
  ],
  watch: (desk) => new EndOfInterrupt(desk),
}
