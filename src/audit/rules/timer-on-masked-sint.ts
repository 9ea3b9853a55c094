/**
 * A timer in message mode that is enabled on a masked SINT, or on SINT0, which is not for timers: it
 * expires and
 * nobody is interrupted (TLFS "Synthetic Timers"; KVM stimer_set_config, synic_set_irq).
 */
import { HV_X64_MSR_STIMER0_CONFIG } from '../../hv/msrs.js'
import {
  SINT_INTERCEPT,
  SINT_MASKED,
  STIMER_AUTO_ENABLE,
  STIMER_DIRECT,
  STIMER_ENABLE,
  stimerSint,
} from '../../hv/registers.js'
import { CONFIG, SINTS } from '../../synic/layout.js'
import { timerAt } from '../../synic/stimer.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class TimerOnMaskedSint implements Watcher {
  /**
   * Timers that were told of, until their CONFIG is written again: an auto-enabled one is armed every tick.
   */
  readonly #told = new Set<number>()
  #config = 0

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { op, m } = this.desk
    this.#config = m.w[timerAt(op.file < 0 ? 0 : op.file, this.#index()) + CONFIG]
  }

  after(): void {
    const { op, m } = this.desk
    const config = this.#enabling()
    if (op.file < 0 || !m.effects.ok || (config & STIMER_ENABLE) === 0 || (config & STIMER_DIRECT) !== 0)
      return
    const sint = stimerSint(config)
    const isMasked = (m.w[op.file + SINTS + 2 * sint] & SINT_MASKED) !== 0
    const timer = op.file * 4 + this.#index()
    if ((!isMasked && sint !== SINT_INTERCEPT) || this.#told.has(timer)) return
    this.#told.add(timer)
    this.desk.report({
      // Who signs is a driver and meant it; the host restores what it found, and others may be trying
      // things out.
      severity: op.actor === 0 || op.byHost ? 'note' : 'error',
      text:
        sint === SINT_INTERCEPT
          ? `STIMER${this.#index()} is enabled on SINT0, which is not for timers`
          : `STIMER${this.#index()} is enabled on SINT${sint}, which is masked: nobody hears of its expiry`,
    })
  }

  #index(): number {
    return Math.max(0, this.desk.op.msr - HV_X64_MSR_STIMER0_CONFIG) >> 1
  }

  /** CONFIG as the write means it, whether or not it was taken so; 0 if it enables nothing. */
  #enabling(): number {
    const { op } = this.desk
    if (((op.msr - HV_X64_MSR_STIMER0_CONFIG) & 1) === 0) {
      this.#told.delete(op.file * 4 + this.#index())
      return op.newLo
    }
    const arms = (this.#config & STIMER_AUTO_ENABLE) !== 0 && (op.newLo | op.newHi) !== 0 && !op.byHost
    return arms ? this.#config | STIMER_ENABLE : 0
  }
}

export const timerOnMaskedSint: Rule = {
  invariant: 'timer_on_masked_sint',
  rule: 'timer_on_masked_sint',
  holds: 'A timer in message mode is enabled on an unmasked SINT other than SINT0.',
  ops: [],
  registers: ['STIMER'],
  watch: (desk) => new TimerOnMaskedSint(desk),
}
