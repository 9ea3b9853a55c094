/**
 * I11, the gate: a SINT requests an interrupt only while it is unmasked, not polled and the APIC is on, and
 * what was requested stays until it is taken or reset (TLFS "Interrupts"; KVM synic_set_irq,
 * __apic_accept_irq).
 */
import { SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../../hv/registers.js'
import { EFFECT_IRQ, EFFECT_WORDS } from '../../synic/effects.js'
import { APIC_ENABLED, FLAGS, IRR, SINTS } from '../../synic/layout.js'
import { OP_APIC_ACK, OP_KERNEL_BOOT, OP_PARTITION_RESET, OP_VCPU_RESET } from '../../synic/op.js'
import { fileIn, hex, isDroppedVector, isSilent, sintIn } from '../effect-words.js'
import type { Desk, Rule, Watcher } from '../rule.js'

const VECTOR_WORDS = 8

class InterruptGate implements Watcher {
  /** What every row's IRR should hold by the ops so far, eight words each; made when first needed. */
  #requested = new Int32Array(0)
  #known = new Uint8Array(0)

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { m, op } = this.desk
    const { code } = op
    if (code === OP_APIC_ACK) this.#taken()
    else if (code === OP_VCPU_RESET) this.#known[m.rowOf(op.vcpu) / m.stride] = 0
    else if (code === OP_PARTITION_RESET || code === OP_KERNEL_BOOT) this.#known.fill(0)
    else this.#requests()
  }

  settled(): void {
    const { m } = this.desk
    for (let row = 0; row < this.#known.length; row++) {
      if (this.#known[row] !== 0) this.#compare(row * m.stride, row)
    }
  }

  #requests(): void {
    const { m } = this.desk
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_IRQ) continue
      const f = fileIn(m, words[at + 1], words[at + 3])
      if (f < 0) continue
      const v = m.rowOfFile(f)
      const row = v / m.stride
      const vector = words[at + 2]
      if (row < this.#known.length && this.#known[row] !== 0) {
        this.#requested[row * VECTOR_WORDS + (vector >> 5)] |= 1 << (vector & 31)
      } else this.#learn(v, row)
      if ((m.w[v + FLAGS] & APIC_ENABLED) === 0) {
        this.#say(words[at + 1], `vector ${hex(vector)} was requested although the APIC is off`)
      }
      const sint = sintIn(words[at + 3])
      if (sint < SINT_COUNT) this.#judge(words[at + 1], sint, m.w[f + SINTS + 2 * sint], vector)
    }
  }

  #judge(vcpu: number, sint: number, lo: number, vector: number): void {
    const { m } = this.desk
    if (
      (lo & (SINT_MASKED | SINT_VECTOR)) === vector &&
      !isSilent(m, sint, lo) &&
      !isDroppedVector(m, vector)
    )
      return
    if ((lo & SINT_MASKED) !== 0)
      return this.#say(vcpu, `SINT${sint} requested an interrupt although it is masked`)
    if (isSilent(m, sint, lo))
      return this.#say(vcpu, `SINT${sint} requested an interrupt although it is polled`)
    const has = hex(lo & SINT_VECTOR)
    this.#say(vcpu, `SINT${sint} has vector ${has}, but requested ${hex(vector)}`)
  }

  /** `apic.ack`: what is taken was requested, and nothing else is gone. */
  #taken(): void {
    const { m, op } = this.desk
    const v = m.rowOf(op.vcpu)
    if (v < 0 || !m.effects.ok) return
    const row = v / m.stride
    if (row >= this.#known.length || this.#known[row] === 0) return this.#learn(v, row)
    const { vector } = m.effects
    if (vector >= 0) {
      const at = row * VECTOR_WORDS + (vector >> 5)
      const bit = 1 << (vector & 31)
      if ((this.#requested[at] & bit) === 0) {
        this.#say(op.vcpu, `vector ${hex(vector)} was taken, but nobody requested it while its gate was open`)
      }
      this.#requested[at] &= ~bit
    }
    this.#compare(v, row)
  }

  #compare(v: number, row: number): void {
    const { w } = this.desk.m
    const at = row * VECTOR_WORDS
    for (let i = 0; i < VECTOR_WORDS; i++) {
      const differs = this.#requested[at + i] ^ w[v + IRR + i]
      if (differs === 0) continue
      const vector = 32 * i + 31 - Math.clz32(differs)
      const isGone = (this.#requested[at + i] & differs) !== 0
      this.#say(
        this.desk.m.vcpuId(v),
        isGone
          ? `vector ${hex(vector)} was requested while its gate was open, and is gone although nobody took it`
          : `vector ${hex(vector)} stands requested, but nobody requested it while its gate was open`,
      )
      this.#requested[at + i] = w[v + IRR + i]
    }
  }

  /** From here on this vCPU's requests are followed. */
  #learn(v: number, row: number): void {
    const { m } = this.desk
    if (row >= this.#known.length) {
      const known = new Uint8Array(m.vcpuCount)
      known.set(this.#known)
      this.#known = known
      const requested = new Int32Array(m.vcpuCount * VECTOR_WORDS)
      requested.set(this.#requested)
      this.#requested = requested
    }
    this.#known[row] = 1
    this.#requested.set(m.w.subarray(v + IRR, v + IRR + VECTOR_WORDS), row * VECTOR_WORDS)
  }

  #say(vcpu: number, text: string): void {
    this.desk.report({ severity: 'error', vcpu, text })
  }
}

export const interruptGate: Rule = {
  invariant: 'I11',
  rule: 'interrupt_gate',
  holds:
    'A SINT interrupts only while its gate is open, and a request once made is taken or reset, never lost.',
  ops: [OP_APIC_ACK, OP_VCPU_RESET, OP_PARTITION_RESET, OP_KERNEL_BOOT],
  registers: [],
  effects: [EFFECT_IRQ],
  deep: true,
  watch: (desk) => new InterruptGate(desk),
}
