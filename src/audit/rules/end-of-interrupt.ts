/**
 * I12, end of interrupt: auto-EOI leaves nothing in service, every other taken interrupt gets one EOI, and
 * SINTs of one vector agree (TLFS "SINTx Registers"; KVM kvm_get_apic_interrupt, synic_update_vector).
 * Whoever changes both of its own one after the other passes through a disagreement, judged at the end.
 */
import { testBit } from '../../hv/bits.js'
import { HV_X64_MSR_EOI } from '../../hv/msrs.js'
import { SINT_AUTO_EOI, SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../../hv/registers.js'
import { EFFECT_EOI } from '../../synic/effects.js'
import { AUTO_EOI_VECTORS, ISR, NESTED_FILE, SINTS } from '../../synic/layout.js'
import { OP_APIC_ACK, OP_APIC_EOI, OP_MSR_WRITE, OP_PARTITION_RESET, OP_VCPU_RESET } from '../../synic/op.js'
import { MODEL_OPENVMM } from '../../synic/profile.js'
import { hex, isSilent } from '../effect-words.js'
import { LEDGER_SINTS } from '../ledger.js'
import { msrAt } from '../places.js'
import { CLASS_SINT, classOf, sintOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/** What decides whether a SINT's vector ends by itself. */
const FIELDS = SINT_VECTOR | SINT_MASKED | SINT_AUTO_EOI

/** A SINT, and who wrote it last. */
interface Written {
  readonly f: number
  readonly sint: number
  readonly actor: number
  readonly seq: number
}

/** A SINT that was masked while its vector was in service. */
interface Masked {
  /** Its APIC's row. */
  readonly v: number
  /** As it was before, or as the host has set it since. */
  readonly lo: number
}

class EndOfInterrupt implements Watcher {
  /** By the key of its queue; each only until its vector leaves service. */
  readonly #masked = new Map<number, Masked>()
  /** Pairs of SINTs that were told of, and when the later of them had been written. */
  readonly #told = new Map<string, number>()

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m } = this.desk
    if (!m.effects.ok) return
    if (this.#masked.size > 0) this.#forget()
    if (op.code === OP_APIC_ACK) this.#taken()
    else if (op.code === OP_APIC_EOI) this.#ended()
    else if (op.code !== OP_MSR_WRITE) return
    else if (op.msr === HV_X64_MSR_EOI) this.#ended()
    else if (classOf(op.msr) === CLASS_SINT && ((op.oldLo ^ op.newLo) & FIELDS) !== 0) {
      this.#changed()
      if (!op.byHost) this.#meet()
    }
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

  /**
   * A SINT's auto-EOI bit was changed: was its vector just being handled? What is changed under a mask counts
   * when the mask goes.
   */
  #changed(): void {
    const { op, m } = this.desk
    const v = m.rowOfFile(op.file)
    const key = m.queueKey(op.file, sintOf(op.msr))
    const wasMasked = (op.oldLo & SINT_MASKED) !== 0
    const isMasked = (op.newLo & SINT_MASKED) !== 0
    const before = wasMasked ? this.#masked.get(key)?.lo : op.oldLo
    if (before === undefined || !testBit(m.w, v + ISR, before & SINT_VECTOR)) return
    const isOther = ((before ^ op.newLo) & SINT_AUTO_EOI) !== 0
    const isTold = isOther && !op.byHost && !(wasMasked && isMasked)
    if (isMasked && (!wasMasked || op.byHost)) {
      this.#masked.set(key, { v, lo: isTold || op.byHost ? op.newLo : before })
      this.desk.wake(true)
    } else if (!isMasked && this.#masked.delete(key)) this.desk.wake(this.#masked.size > 0)
    if (!isTold) return
    const vector = before & SINT_VECTOR
    this.desk.report({
      // What nobody signs may be a test that pokes about.
      severity: op.actor === 0 ? 'note' : 'error',
      text: `SINT${sintOf(op.msr)} changes auto-EOI while its vector ${hex(vector)} is in service`,
    })
  }

  /** Vectors that are in service no longer. */
  #forget(): void {
    const { m } = this.desk
    for (const [key, { v, lo }] of this.#masked) {
      if (!testBit(m.w, v + ISR, lo & SINT_VECTOR)) this.#masked.delete(key)
    }
    this.desk.wake(this.#masked.size > 0)
  }

  /** A SINT comes to a vector where another says otherwise, or differs from now on from somebody else's. */
  #meet(): void {
    const { op, m, ledger } = this.desk
    const sint = sintOf(op.msr)
    const own = op.file + SINTS + 2 * sint
    const vector = m.w[own] & SINT_VECTOR
    if (!this.#hasVector(own, sint, vector)) return
    if (this.#cannotDiffer(m.rowOfFile(op.file), own, vector)) return
    const wasThere = (op.oldLo & SINT_MASKED) === 0 && (op.oldLo & SINT_VECTOR) === vector
    for (const f of m.filesOf(m.rowOfFile(op.file))) {
      for (let other = 0; other < SINT_COUNT; other++) {
        const at = f + SINTS + 2 * other
        if (((m.w[at] ^ m.w[own]) & SINT_AUTO_EOI) === 0 || !this.#hasVector(at, other, vector)) continue
        if (wasThere && ledger.writer(f, LEDGER_SINTS + other) === op.actor) continue
        return this.#disagree({ f: op.file, sint, actor: op.actor, seq: op.seq }, this.#written(f, other))
      }
    }
  }

  /** No SINT of this vector has auto-EOI, by the APIC's table: most end like this. OpenVMM keeps no table. */
  #cannotDiffer(v: number, own: number, vector: number): boolean {
    const { m } = this.desk
    return m.profile.model !== MODEL_OPENVMM && (m.w[own] & SINT_AUTO_EOI) === 0 && !this.#isAuto(v, vector)
  }

  /** Is it unmasked, with this vector, and does it interrupt? */
  #hasVector(at: number, sint: number, vector: number): boolean {
    const { m } = this.desk
    const lo = m.w[at]
    return (lo & SINT_MASKED) === 0 && (lo & SINT_VECTOR) === vector && !isSilent(m, sint, lo)
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
        if (!this.#hasVector(at, sint, vector)) continue
        const before = first[vector]
        if (before < 0) first[vector] = at
        else if (((m.w[before] ^ m.w[at]) & SINT_AUTO_EOI) !== 0) {
          const g = m.filesOf(v).find((file) => before < file + SINTS + 2 * SINT_COUNT) ?? f
          this.#disagree(this.#written(f, sint), this.#written(g, (before - g - SINTS) / 2))
        }
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

  #written(f: number, sint: number): Written {
    const { ledger } = this.desk
    const place = LEDGER_SINTS + sint
    return { f, sint, actor: ledger.writer(f, place), seq: ledger.writeSeq(f, place) }
  }

  /** Once for each time one of the two was written. */
  #disagree(own: Written, other: Written): void {
    const { m } = this.desk
    const pair = [own, other].map(({ f, sint }) => f * SINT_COUNT + sint).sort((a, b) => a - b)
    const latest = Math.max(own.seq, other.seq)
    if (this.#told.get(pair.join()) === latest) return
    this.#told.set(pair.join(), latest)
    const vector = hex(m.w[own.f + SINTS + 2 * own.sint] & SINT_VECTOR)
    const [sint, theirs] = [`SINT${own.sint}`, `SINT${other.sint}`]
    this.desk.report({
      severity: own.actor === 0 ? 'note' : 'error',
      vcpu: m.vcpuId(m.rowOfFile(own.f)),
      msr: msrAt(m, own.f, LEDGER_SINTS + own.sint),
      actor: own.actor,
      other: other.actor,
      otherSeq: other.seq,
      text: `${sint} shares vector ${vector} with ${theirs}, which says otherwise about auto-EOI`,
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
    // A vector that leaves service takes what its SINT was under a mask along.
    { ops: [OP_APIC_EOI, OP_VCPU_RESET, OP_PARTITION_RESET], registers: ['other'], whileAwake: true },
    // What is in service after an interrupt was taken is the machine's doing.
    { ops: [OP_APIC_ACK], deep: true },
  ],
  watch: (desk) => new EndOfInterrupt(desk),
}
