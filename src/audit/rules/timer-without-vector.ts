/**
 * I15 for a timer in direct mode: it is enabled with a vector that a processor can take. Below 16 its expiry
 * counts as delivered and is never seen: KVM lets it rest in IRR for ever, other APICs drop it (KVM
 * stimer_notify_direct; Intel SDM "Valid Interrupt Vectors").
 */
import { FIRST_VALID_VECTOR, STIMER_DIRECT, stimerVector } from '../../hv/registers.js'
import { hex } from '../effect-words.js'
import { EnabledTimer } from '../enabled-timer.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class TimerWithoutVector implements Watcher {
  readonly #timer: EnabledTimer

  constructor(desk: Desk) {
    this.#timer = new EnabledTimer(desk)
  }

  before(): void {
    this.#timer.before()
  }

  after(): void {
    const config = this.#timer.config()
    const vector = stimerVector(config)
    if ((config & STIMER_DIRECT) === 0 || vector >= FIRST_VALID_VECTOR) return
    const timer = `STIMER${this.#timer.index} is enabled in direct mode`
    this.#timer.tell(
      `${timer} with vector ${hex(vector)}, which no processor takes: nobody hears of its expiry`,
    )
  }
}

export const timerWithoutVector: Rule = {
  invariant: 'I15',
  rule: 'timer_without_vector',
  holds: 'A timer in direct mode is enabled with a vector that can be taken.',
  ops: [],
  registers: ['STIMER'],
  watch: (desk) => new TimerWithoutVector(desk),
}
