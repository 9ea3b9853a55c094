/**
 * I22, time first: the reference time passes only by `clock.advance`, by exactly its ticks, and never goes
 * back, over pause, resume and restore alike (TLFS "Partition Reference Time Enlightenment").
 */
import { toNumber } from '../../hv/bits.js'
import { HV_X64_MSR_TIME_REF_COUNT } from '../../hv/msrs.js'
import { HAS_VALUE } from '../../synic/effects.js'
import {
  OP_ARGS,
  OP_CLOCK_ADVANCE,
  OP_KERNEL_BOOT,
  OP_MSR_READ,
  OP_PARTITION_PAUSE,
  OP_PARTITION_RESET,
  OP_PARTITION_RESUME,
  OP_VCPU_CREATE,
  OP_VCPU_ENTER,
  OP_VCPU_ONLINE,
  OP_VCPU_RESET,
} from '../../synic/op.js'
import type { Desk, Rule, Watcher } from '../rule.js'

class TimeFirst implements Watcher {
  /** The reference time after the last op that was seen. */
  #last: number

  constructor(private readonly desk: Desk) {
    this.#last = desk.m.now
  }

  before(): void {
    const { now } = this.desk.m
    const last = this.#last
    this.#last = now
    if (now < last) this.#say(`the reference time went back from ${last} to ${now}`)
    else if (now > last) this.#say(`the reference time leapt from ${last} to ${now} while nobody let it pass`)
  }

  after(): void {
    const { op, m } = this.desk
    const { effects, now } = m
    if (op.code === OP_CLOCK_ADVANCE) {
      const a = op.at + OP_ARGS
      const passed = effects.ok ? toNumber(op.words[a], op.words[a + 1]) : 0
      if (now !== this.#last + passed) this.#say(`${passed} ticks took the time from ${this.#last} to ${now}`)
    } else if (now !== this.#last)
      this.#say(`an op that is no step of time moved it from ${this.#last} to ${now}`)
    this.#last = now
    if (op.code !== OP_MSR_READ || op.words[op.at + OP_ARGS] !== HV_X64_MSR_TIME_REF_COUNT) return
    const read = toNumber(effects.valueLo, effects.valueHi)
    if ((effects.has & HAS_VALUE) !== 0 && read !== now) {
      this.#say(`TIME_REF_COUNT reads ${read} at reference time ${now}`)
    }
  }

  #say(text: string): void {
    this.desk.report({ severity: 'error', text })
  }
}

export const timeFirst: Rule = {
  invariant: 'I22',
  rule: 'time_first',
  holds: 'The reference time never goes back, and passes only where it is let pass.',
  ops: [
    OP_CLOCK_ADVANCE,
    OP_MSR_READ,
    OP_PARTITION_PAUSE,
    OP_PARTITION_RESUME,
    OP_PARTITION_RESET,
    OP_KERNEL_BOOT,
    OP_VCPU_CREATE,
    OP_VCPU_RESET,
    OP_VCPU_ONLINE,
    OP_VCPU_ENTER,
  ],
  registers: ['STIMER'],
  deep: true,
  watch: (desk) => new TimeFirst(desk),
}
