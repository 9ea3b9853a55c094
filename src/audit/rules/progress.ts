/**
 * I16, progress: between two guest steps the host does a bounded number of steps and is then done, and a
 * guest gets out of its timer's handler (KVM stimer_expiration, "no_retry" of periodic ticks).
 */
import { EXPIRIES_PER_ADVANCE_MAX } from '../../hv/limits.js'
import { HV_X64_MSR_STIMER0_CONFIG } from '../../hv/msrs.js'
import {
  STIMER_COUNT,
  STIMER_DIRECT,
  STIMER_ENABLE,
  STIMER_PERIODIC,
  stimerSint,
} from '../../hv/registers.js'
import {
  EFFECT_DROPPED,
  EFFECT_LEFT,
  EFFECT_MESSAGE,
  EFFECT_WAITS,
  EFFECT_WAKE,
  EFFECT_WORDS,
  FROM_TIMER,
} from '../../synic/effects.js'
import { CONFIG, FLAGS, MSG_PENDING_SHIFT, TIMER_PENDING_SHIFT } from '../../synic/layout.js'
import {
  OP_APIC_EOI,
  OP_CLOCK_ADVANCE,
  OP_KERNEL_BOOT,
  OP_MESSAGE_COMPLETE,
  OP_MSR_WRITE,
  OP_PARTITION_RESET,
  OP_PARTITION_RESUME,
  OP_VCPU_ONLINE,
} from '../../synic/op.js'
import { timerAt } from '../../synic/stimer.js'
import { fileIn, sintIn, sourceIn } from '../effect-words.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/**
 * Consequences one op may have on each vCPU: sixteen SINTs with message, interrupt and acknowledgement,
 * twice.
 */
const PER_VCPU = 128
/**
 * So many ticks in a row that came as answer to the end of the one before: the guest lives in its handler.
 */
const TICKS_IN_A_ROW = 4

/** Messages that are dropped, and what waits behind its slot, are none. */
const isStep = (kind: number) => kind !== EFFECT_DROPPED && kind !== EFFECT_WAITS && kind !== EFFECT_LEFT

class Progress implements Watcher {
  /** By register file * 16 + SINT: ticks in a row that were waiting for the handler to end. */
  readonly #streaks = new Map<number, number>()

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m } = this.desk
    if (op.code === OP_PARTITION_RESET || op.code === OP_KERNEL_BOOT) return this.#streaks.clear()
    const isTimer = op.file >= 0 && op.msr >= HV_X64_MSR_STIMER0_CONFIG
    if (isTimer) this.#hostStores()
    const { length } = m.effects
    if (length <= 4) return
    if (length > PER_VCPU) this.#bound()
    if (op.code === OP_CLOCK_ADVANCE) {
      if (this.#streaks.size > 0) this.#ticks(false)
    } else if (op.code === OP_MESSAGE_COMPLETE || op.code === OP_APIC_EOI || op.code === OP_MSR_WRITE) {
      if (!isTimer) this.#ticks(true)
    }
  }

  settled(): void {
    const { m } = this.desk
    if (m.paused || m.timerRows.length + m.bottomHalves.length === 0) return
    this.desk.report({
      severity: 'error',
      text: 'the machine should be settled, and the host still has work queued',
    })
  }

  /** One op's consequences, dropped messages aside: a queue that is thrown away is as long as it is. */
  #bound(): void {
    const { op, m } = this.desk
    const { words, length } = m.effects
    let steps = 0
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) if (isStep(words[at])) steps++
    const most = m.vcpuCount * PER_VCPU + (op.code === OP_CLOCK_ADVANCE ? 2 * EXPIRIES_PER_ADVANCE_MAX : 0)
    if (steps <= most) return
    const text = `the host took ${steps} steps before the guest could take its next one`
    this.desk.report({ severity: 'error', text })
  }

  /** Messages of periodic timers in this op: a tick of its own, or one that waited for the handler's end? */
  #ticks(isAnswer: boolean): void {
    const { m } = this.desk
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_MESSAGE || sourceIn(words[at + 2]) !== FROM_TIMER) continue
      const f = fileIn(m, words[at + 1], words[at + 2])
      const sint = sintIn(words[at + 2])
      if (f < 0 || !this.#isPeriodic(f, sint)) continue
      const key = m.queueKey(f, sint)
      const streak = isAnswer ? (this.#streaks.get(key) ?? 0) + 1 : 0
      this.#streaks.set(key, streak)
      if (streak === TICKS_IN_A_ROW) this.#late(words[at + 1], sint)
    }
  }

  /** Is it a running periodic timer's SINT, one whose interrupt gets through? */
  #isPeriodic(v: number, sint: number): boolean {
    const { w } = this.desk.m
    const mode = STIMER_ENABLE | STIMER_PERIODIC
    for (let i = 0; i < STIMER_COUNT; i++) {
      const config = w[timerAt(v, i) + CONFIG]
      const isFailing = ((w[v + FLAGS] >> (MSG_PENDING_SHIFT + i)) & 1) !== 0
      if ((config & (mode | STIMER_DIRECT)) === mode && stimerSint(config) === sint && !isFailing) return true
    }
    return false
  }

  #late(vcpu: number, sint: number): void {
    this.desk.report({
      // KVM drops a periodic tick that finds its slot full; the others keep one, as their texts say.
      severity: this.desk.m.profile.kvm ? 'error' : 'note',
      vcpu,
      text: `each end of the timer's handler on SINT${sint} brings the next tick: the guest gets nowhere`,
    })
  }

  /** A VMM that zeroes a timer's registers gives its vCPU nothing to do (KVM stimer_mark_pending). */
  #hostStores(): void {
    const { op, m } = this.desk
    if (!op.byHost || (op.newLo | op.newHi) !== 0 || !m.effects.ok) return
    const i = (op.msr - HV_X64_MSR_STIMER0_CONFIG) >> 1
    const isMarked = ((m.w[op.file + FLAGS] >> (TIMER_PENDING_SHIFT + i)) & 1) !== 0
    const isEnabled = (m.w[timerAt(op.file, i) + CONFIG] & STIMER_ENABLE) !== 0
    const isWoken = m.effects.length > 0 && m.effects.words[0] === EFFECT_WAKE
    if ((!isMarked && !isWoken) || isEnabled) return
    this.desk.report({
      severity: 'error',
      text: `the host wrote 0 to STIMER${i}, and its vCPU has work to do for it`,
    })
  }
}

export const progress: Rule = {
  invariant: 'I16',
  rule: 'progress',
  holds: 'Between two guest steps the host does a bounded number of steps, and the guest gets on.',
  ops: [
    OP_CLOCK_ADVANCE,
    OP_MESSAGE_COMPLETE,
    OP_APIC_EOI,
    OP_PARTITION_RESUME,
    OP_VCPU_ONLINE,
    OP_PARTITION_RESET,
    OP_KERNEL_BOOT,
  ],
  registers: ['EOM', 'STIMER', 'other'],
  deep: true,
  watch: (desk) => new Progress(desk),
}
