/**
 * A timer in message mode that is enabled on a masked SINT, or on SINT0, which is not for timers: it expires
 * and nobody is interrupted (TLFS "Synthetic Timers"; KVM stimer_set_config, synic_set_irq).
 */
import { SINT_INTERCEPT, SINT_MASKED, STIMER_DIRECT, stimerSint } from '../../hv/registers.js'
import { SINTS } from '../../synic/layout.js'
import { EnabledTimer } from '../enabled-timer.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class TimerOnMaskedSint implements Watcher {
  readonly #timer: EnabledTimer

  constructor(private readonly desk: Desk) {
    this.#timer = new EnabledTimer(desk)
  }

  before(): void {
    this.#timer.before()
  }

  after(): void {
    const { op, m } = this.desk
    const config = this.#timer.config()
    if (config === 0 || (config & STIMER_DIRECT) !== 0) return
    const sint = stimerSint(config)
    const { index } = this.#timer
    if (sint === SINT_INTERCEPT) {
      this.#timer.tell(`STIMER${index} is enabled on SINT0, which is not for timers`)
    } else if ((m.w[op.file + SINTS + 2 * sint] & SINT_MASKED) !== 0) {
      this.#timer.tell(
        `STIMER${index} is enabled on SINT${sint}, which is masked: nobody hears of its expiry`,
      )
    }
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
