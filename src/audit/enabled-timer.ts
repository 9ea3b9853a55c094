/** Writes that enable a synthetic timer: CONFIG, or with auto-enable COUNT (TLFS "Synthetic Timers"). */
import { HV_X64_MSR_STIMER0_CONFIG } from '../hv/msrs.js'
import { STIMER_AUTO_ENABLE, STIMER_COUNT, STIMER_ENABLE } from '../hv/registers.js'
import { CONFIG } from '../synic/layout.js'
import { timerAt } from '../synic/stimer.js'
import type { Desk, Severity } from './rule.js'
import { isCount, timerOf } from './timers.js'

export class EnabledTimer {
  /**
   * Timers that were told of, until their CONFIG is written again: an auto-enabled one is armed every tick.
   */
  readonly #told = new Set<number>()
  #config = 0

  constructor(private readonly desk: Desk) {}

  /** To be called before each write of a timer's register. */
  before(): void {
    const { op, m } = this.desk
    this.#config = m.w[timerAt(op.file < 0 ? 0 : op.file, this.index) + CONFIG]
  }

  /** Which of the four it is. */
  get index(): number {
    return timerOf(Math.max(HV_X64_MSR_STIMER0_CONFIG, this.desk.op.msr))
  }

  /** CONFIG as the write means it, whether or not it was taken so; 0 if it enables nothing. */
  config(): number {
    const { op, m } = this.desk
    if (op.file < 0 || !m.effects.ok) return 0
    if (!isCount(op.msr)) {
      this.#told.delete(this.#key)
      return (op.newLo & STIMER_ENABLE) === 0 ? 0 : op.newLo
    }
    const arms = (this.#config & STIMER_AUTO_ENABLE) !== 0 && (op.newLo | op.newHi) !== 0 && !op.byHost
    return arms ? this.#config | STIMER_ENABLE : 0
  }

  /** Tells of the timer, once for each CONFIG. */
  tell(text: string): void {
    if (this.#told.has(this.#key)) return
    this.#told.add(this.#key)
    const { op } = this.desk
    // Who signs is a driver and meant it; the host restores what it found, and others may be trying things
    // out.
    const severity: Severity = op.actor === 0 || op.byHost ? 'note' : 'error'
    this.desk.report({ severity, text })
  }

  get #key(): number {
    return this.desk.op.file * STIMER_COUNT + this.index
  }
}
