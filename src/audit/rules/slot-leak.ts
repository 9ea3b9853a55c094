/**
 * A slot whose pending flag says that something waits is emptied, and neither EOM nor an EOI of its vector
 * follows before the vCPU takes its next interrupt: what waits stays there (TLFS, "SynIC Message Flags").
 * OpenVMM looks at its slots before each entry and needs no EOM.
 */
import { gpnOf, testBit } from '../../hv/bits.js'
import { MESSAGE_PENDING } from '../../hv/messages.js'
import { SINT_COUNT, SINT_VECTOR } from '../../hv/registers.js'
import * as e from '../../synic/effects.js'
import { AUTO_EOI_VECTORS, SINTS } from '../../synic/layout.js'
import * as o from '../../synic/op.js'
import { MESSAGE_PAGE } from '../../synic/pages.js'
import { MODEL_OPENVMM } from '../../synic/profile.js'
import { fileIn, sintIn } from '../effect-words.js'
import { LEDGER_SINTS } from '../ledger.js'
import { msrAt } from '../places.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { flagsIn, messageFrameOf } from '../slot-view.js'
import { fileOfOp, forgetReset } from '../slots.js'

interface Leak {
  readonly actor: number
  readonly seq: number
}

const PAGE_BYTES = 4096
const STORES = [o.OP_MEM_WRITE, o.OP_MEM_CAS, o.OP_MEM_XCHG]

class SlotLeak implements Watcher {
  /** Slots whose pending flag was set before the store at hand: it may clear type and flags together. */
  readonly #pending = new Set<number>()
  /** Slots emptied and not acknowledged, by file and SINT. */
  readonly #leaks = new Map<number, Leak>()

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { op, m } = this.desk
    this.#pending.clear()
    if (!STORES.includes(op.code) || m.synicPages.size === 0 || m.profile.model === MODEL_OPENVMM) return
    const { words } = op
    const at = op.at + o.OP_ARGS
    const first = gpnOf(words[at], words[at + 1])
    const end = (words[at] & (PAGE_BYTES - 1)) + words[at + 2]
    for (let gpn = first; (gpn - first) * PAGE_BYTES < end; gpn++) {
      for (const page of m.synicPages.get(gpn) ?? []) if ((page & 1) === MESSAGE_PAGE) this.#look(page >> 1)
    }
  }

  #look(f: number): void {
    const { m } = this.desk
    const frame = messageFrameOf(m, f)
    for (let sint = 0; sint < SINT_COUNT; sint++)
      if ((flagsIn(m, frame, sint) & MESSAGE_PENDING) !== 0) this.#pending.add(m.queueKey(f, sint))
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code === o.OP_APIC_ACK) {
      this.#take()
      return this.desk.wake(this.#leaks.size > 0)
    }
    if (op.code === o.OP_VCPU_RESET || op.code === o.OP_PARTITION_RESET || op.code === o.OP_KERNEL_BOOT) {
      forgetReset(this.desk, this.#leaks, SINT_COUNT)
    }
    if (m.profile.model === MODEL_OPENVMM) return
    const { words, length } = m.effects
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      if (words[at] === e.EFFECT_FREED && op.code !== o.OP_MESSAGE_COMPLETE)
        this.#noteFreed(words[at + 1], words[at + 2])
      else if (this.#leaks.size === 0) continue
      else if (words[at] === e.EFFECT_EOM) this.#ended(op.file >= 0 ? op.file : fileOfOp(m, op))
      else if (words[at] === e.EFFECT_EOI) this.#acknowledge(words[at + 1], words[at + 2])
    }
    this.desk.wake(this.#leaks.size > 0)
  }

  #noteFreed(vcpu: number, about: number): void {
    const { op, m } = this.desk
    const slot = m.queueKey(fileIn(m, vcpu, about), sintIn(about))
    if (this.#pending.has(slot)) this.#leaks.set(slot, { actor: op.actor, seq: op.seq })
  }

  /** An EOM, which speaks for all SINTs of its file. */
  #ended(file: number): void {
    for (const key of this.#leaks.keys()) if (Math.floor(key / 16) === file) this.#leaks.delete(key)
  }

  /** An EOI, which speaks for the SINTs of its vector. */
  #acknowledge(vcpu: number, vector: number): void {
    const { m } = this.desk
    const v = m.rowOf(vcpu)
    for (const key of this.#leaks.keys()) {
      const f = Math.floor(key / 16)
      const own = m.w[f + SINTS + 2 * (key % 16)] & SINT_VECTOR
      if (m.rowOfFile(f) === v && own === vector && !this.#isAutoEoi(f, vector)) this.#leaks.delete(key)
    }
  }

  #isAutoEoi(f: number, vector: number): boolean {
    return testBit(this.desk.m.w, f + AUTO_EOI_VECTORS, vector)
  }

  #take(): void {
    const { op, m } = this.desk
    if (m.effects.vector < 0) return
    const v = m.rowOf(op.vcpu)
    for (const [key, { actor, seq }] of this.#leaks) {
      const f = Math.floor(key / 16)
      if (m.rowOfFile(f) !== v) continue
      this.#leaks.delete(key)
      const who = this.desk.nameOf(actor) || 'the guest'
      this.desk.report({
        severity: actor === 0 && op.actor === 0 ? 'note' : 'error',
        msr: msrAt(m, f, LEDGER_SINTS + (key % 16)),
        actor,
        otherSeq: seq,
        text: `${who} emptied the slot of SINT${key % 16} whose pending flag was set, and no EOM followed`,
      })
    }
  }
}

export const slotLeak: Rule = {
  invariant: 'slot_leak',
  rule: 'slot_leak',
  holds: 'Who empties a slot whose pending flag is set ends the message with EOM or EOI.',
  // A completion looks at the flag and writes EOM by itself.
  ops: [...STORES, o.OP_VCPU_RESET, o.OP_PARTITION_RESET, o.OP_KERNEL_BOOT],
  registers: [],
  more: [{ ops: [o.OP_APIC_ACK], effects: [e.EFFECT_EOM, e.EFFECT_EOI], whileAwake: true }],
  watch: (desk) => new SlotLeak(desk),
}
