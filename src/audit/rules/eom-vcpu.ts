/**
 * I13, EOM and EOI act on the vCPU that writes them: what follows happens there, and who empties another
 * vCPU's slot cannot make its messages move (TLFS "EOM Register"; Linux vmbus_signal_eom).
 */
import { HV_X64_MSR_EOI } from '../../hv/msrs.js'
import { PAGE_ENABLE } from '../../hv/registers.js'
import { EFFECT_EOI, EFFECT_EOM, EFFECT_FREED, EFFECT_MESSAGE, EFFECT_WORDS } from '../../synic/effects.js'
import { SIMP } from '../../synic/layout.js'
import {
  OP_APIC_EOI,
  OP_KERNEL_BOOT,
  OP_MEM_CAS,
  OP_MEM_WRITE,
  OP_MEM_XCHG,
  OP_MESSAGE_COMPLETE,
  OP_MSR_WRITE,
  OP_PARTITION_RESET,
} from '../../synic/op.js'
import { fileIn, sintIn } from '../effect-words.js'
import { isAwaited, slotTypeOf } from '../page-content.js'
import { CLASS_OTHER, classOf } from '../registers.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class EomVcpu implements Watcher {
  /** Slots emptied by plain stores, by register file * 16 + SINT: when. */
  readonly #emptied = new Map<number, number>()
  /** By vCPU: when it wrote EOM last since a slot was emptied, and who did. */
  readonly #eoms = new Map<number, { seq: number; actor: number }>()

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m } = this.desk
    if (m.effects.length === 0 && op.code !== OP_PARTITION_RESET && op.code !== OP_KERNEL_BOOT) return
    switch (op.code) {
      case OP_APIC_EOI:
        return this.#judge('EOI')
      case OP_MESSAGE_COMPLETE:
        return this.#judge('EOM')
      case OP_MSR_WRITE:
        if (op.msr === HV_X64_MSR_EOI) this.#judge('EOI')
        else if (classOf(op.msr) !== CLASS_OTHER) this.#judge('EOM')
        return
      case OP_PARTITION_RESET:
      case OP_KERNEL_BOOT:
        this.#emptied.clear()
        this.#eoms.clear()
        return this.desk.wake(false)
      default:
        return this.#stored()
    }
  }

  /** Everything that an EOM, an EOI or a completion brings about is its own vCPU's. */
  #judge(what: string): void {
    const { op, m } = this.desk
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      const kind = words[at]
      const isOwn = words[at + 1] === op.vcpu
      if (kind === EFFECT_EOM && isOwn && this.#emptied.size > 0) {
        this.#eoms.set(op.vcpu, { seq: op.seq, actor: op.actor })
      }
      if (
        isOwn ||
        (kind !== EFFECT_EOM && kind !== EFFECT_EOI && kind !== EFFECT_MESSAGE && kind !== EFFECT_FREED)
      ) {
        continue
      }
      if (kind === EFFECT_MESSAGE && this.#isExcused(words[at + 1])) continue
      this.desk.report({
        severity: 'error',
        vcpu: words[at + 1],
        text: `${what} on vCPU ${op.vcpu} acted on vCPU ${words[at + 1]}`,
      })
    }
  }

  /**
   * Two vCPUs with one message page empty each other's slots. And KVM never takes back the link from a SINT
   * to its GSI (kvm_hv_irq_routing_update), so that under QEMU an old link may complete another vCPU's
   * message.
   */
  #isExcused(vcpu: number): boolean {
    const { op, m } = this.desk
    const [own, theirs] = [m.rowOf(op.vcpu), m.rowOf(vcpu)]
    return m.qemuRoutes.size > 0 || m.w[own + SIMP] >>> 12 === m.w[theirs + SIMP] >>> 12
  }

  #stored(): void {
    const { op, m } = this.desk
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_FREED) continue
      this.#emptied.set(m.queueKey(fileIn(m, words[at + 1], words[at + 2]), sintIn(words[at + 2])), op.seq)
      this.desk.wake(true)
    }
  }

  settled(): void {
    const { m } = this.desk
    for (const [key, seq] of this.#emptied) {
      const f = Math.floor(key / 16)
      const sint = key % 16
      const vcpu = m.vcpuId(m.rowOfFile(f))
      const isStuck =
        (m.w[f + SIMP] & PAGE_ENABLE) !== 0 && slotTypeOf(m, f, sint) === 0 && isAwaited(m, f, sint)
      if (!isStuck || (this.#eoms.get(vcpu)?.seq ?? 0) > seq) continue
      const [writer, eom] = [...this.#eoms].find(([, each]) => each.seq > seq) ?? [-1, undefined]
      if (eom === undefined) continue
      this.desk.report({
        severity: 'error',
        vcpu,
        actor: eom.actor,
        otherSeq: seq,
        text: `a message waits for SINT${sint} of vCPU ${vcpu}: the EOM of its slot went to vCPU ${writer}`,
      })
    }
  }
}

export const eomVcpu: Rule = {
  invariant: 'I13',
  rule: 'eom_vcpu',
  holds: 'EOM and EOI act on the vCPU that writes them, on no other.',
  ops: [OP_MEM_WRITE, OP_MEM_CAS, OP_MEM_XCHG, OP_PARTITION_RESET, OP_KERNEL_BOOT],
  registers: [],
  more: [
    { effects: [EFFECT_EOM], whileAwake: true },
    { ops: [OP_APIC_EOI, OP_MESSAGE_COMPLETE], registers: ['EOM', 'other'], deep: true },
  ],
  watch: (desk) => new EomVcpu(desk),
}
