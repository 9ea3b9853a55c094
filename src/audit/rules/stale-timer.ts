/** I4, no timer outlives its kernel: at a handover every synthetic timer is disabled (Linux f7ce370b525a). */
import { HV_X64_MSR_STIMER0_CONFIG } from '../../hv/msrs.js'
import { STIMER_COUNT, STIMER_ENABLE } from '../../hv/registers.js'
import { CONFIG } from '../../synic/layout.js'
import { OP_KERNEL_BOOT } from '../../synic/op.js'
import { timerAt } from '../../synic/stimer.js'
import { Handover, NEXT_KERNEL } from '../handover.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { timerOf } from '../timers.js'

class StaleTimer implements Watcher {
  readonly #handover: Handover
  /** Who wrote each timer last, and when, by its place in the slab. */
  readonly #writers = new Map<number, { readonly actor: number; readonly seq: number }>()

  constructor(private readonly desk: Desk) {
    this.#handover = new Handover(desk)
  }

  after(): void {
    const { op, m } = this.desk
    if (op.file >= 0) {
      if (m.effects.ok) this.#writers.set(timerAt(op.file, timerOf(op.msr)), { actor: op.actor, seq: op.seq })
      return
    }
    if (this.#handover.kind() !== NEXT_KERNEL) return
    for (const v of m.rowsById()) {
      for (let i = 0; i < STIMER_COUNT; i++) {
        if ((m.w[timerAt(v, i) + CONFIG] & STIMER_ENABLE) !== 0) this.#tell(v, i)
      }
    }
  }

  #tell(v: number, i: number): void {
    const vcpu = this.desk.m.vcpuId(v)
    const { actor = 0, seq = 0 } = this.#writers.get(timerAt(v, i)) ?? {}
    const severity = this.#handover.severity(actor)
    if (!this.#handover.isNew(timerAt(v, i), seq, severity)) return
    this.desk.report({
      severity,
      vcpu,
      actor,
      otherSeq: seq,
      msr: HV_X64_MSR_STIMER0_CONFIG + 2 * i,
      text: `STIMER${i} of vCPU ${vcpu} is still enabled when ${this.#handover.successor()} starts`,
    })
  }
}

export const staleTimer: Rule = {
  invariant: 'I4',
  rule: 'stale_timer',
  holds: 'When the next kernel starts, every synthetic timer is disabled.',
  ops: [OP_KERNEL_BOOT],
  registers: ['STIMER'],
  watch: (desk) => new StaleTimer(desk),
}
