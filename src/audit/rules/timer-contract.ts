/**
 * I15, the timer contract: never early, a one-shot once for each arming, never while disabled, a count of 0
 * disables, and what is due expires or waits (TLFS "Synthetic Timers"; KVM stimer_set_count,
 * stimer_expiration).
 */
import { toNumber } from '../../hv/bits.js'
import { HVMSG_TIMER_EXPIRED, SLOT_PAYLOAD } from '../../hv/messages.js'
import { HV_X64_MSR_STIMER0_CONFIG } from '../../hv/msrs.js'
import { STIMER_AUTO_ENABLE, STIMER_COUNT, STIMER_ENABLE, STIMER_PERIODIC } from '../../hv/registers.js'
import { EFFECT_IRQ, EFFECT_MESSAGE, EFFECT_WORDS, FROM_TIMER, NO_SINT } from '../../synic/effects.js'
import {
  CONFIG,
  COUNT,
  EXP_TIME,
  FLAGS,
  MSG_PENDING_SHIFT,
  OFFLINE,
  TIMER_PENDING_SHIFT,
  TIMER_QUEUED_SHIFT,
} from '../../synic/layout.js'
import { OP_KERNEL_BOOT, OP_MSR_WRITE, OP_PARTITION_RESET, OP_VCPU_RESET } from '../../synic/op.js'
import { MODEL_OPENVMM } from '../../synic/profile.js'
import { timerAt } from '../../synic/stimer.js'
import { fileIn, sintIn, sourceIn } from '../effect-words.js'
import { slotTypeOf, slotWord } from '../page-content.js'
import type { Desk, Rule, Watcher } from '../rule.js'

/** What is known of each timer, four numbers. */
const COLUMNS = 4
/** 0: never written yet; 1: off; 2: armed. */
const STATE = 0
const SINCE = 1
/** Expiries delivered since it was written. */
const FIRED = 2
/** An expiry of the time before still stood in a queue. */
const OWED = 3
const OFF = 1
const ARMED = 2

class TimerContract implements Watcher {
  #timers = new Float64Array(0)
  /** The timer being written: its number, what it owes, whether it gets armed, whether it was enabled. */
  readonly #write = { timer: -1, owed: 0, armed: false, enabled: false }

  constructor(private readonly desk: Desk) {}

  before(): void {
    const { op, m } = this.desk
    if (op.file < 0) return
    const i = (op.msr - HV_X64_MSR_STIMER0_CONFIG) >> 1
    const t = timerAt(op.file, i)
    const config = m.w[t + CONFIG]
    const write = this.#write
    write.timer = (op.file / m.stride) * STIMER_COUNT + i
    write.owed = (m.w[op.file + FLAGS] >> (TIMER_QUEUED_SHIFT + i)) & 1
    write.enabled = (config & STIMER_ENABLE) !== 0
    if (((op.msr - HV_X64_MSR_STIMER0_CONFIG) & 1) === 0) {
      write.armed = (op.newLo & STIMER_ENABLE) !== 0 && (m.w[t + COUNT] | m.w[t + COUNT + 1]) !== 0
    } else {
      const auto = (config & STIMER_AUTO_ENABLE) !== 0 && (!op.byHost || m.profile.model === MODEL_OPENVMM)
      write.armed = (op.newLo | op.newHi) !== 0 && (write.enabled || auto)
    }
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code === OP_VCPU_RESET) {
      const from = (m.rowOf(op.vcpu) / m.stride) * STIMER_COUNT * COLUMNS
      return void (from >= 0 && this.#timers.fill(0, from, from + STIMER_COUNT * COLUMNS))
    }
    if (op.code === OP_PARTITION_RESET || op.code === OP_KERNEL_BOOT) return void this.#timers.fill(0)
    const isWrite = op.code === OP_MSR_WRITE && this.#write.timer >= 0
    if (isWrite && m.effects.ok) this.#written()
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] === EFFECT_MESSAGE) {
        if (sourceIn(words[at + 2]) === FROM_TIMER) this.#delivered(words[at + 1], words[at + 2])
      } else if (words[at] === EFFECT_IRQ && sourceIn(words[at + 3]) === FROM_TIMER) {
        if (sintIn(words[at + 3]) === NO_SINT) this.#fired(m.rowOf(words[at + 1]), words[at + 3] >>> 24)
      }
    }
    this.#write.timer = -1
  }

  #written(): void {
    const { op, m } = this.desk
    const { timer, owed, armed, enabled } = this.#write
    if (timer * COLUMNS >= this.#timers.length) {
      const timers = new Float64Array(m.vcpuCount * STIMER_COUNT * COLUMNS)
      timers.set(this.#timers)
      this.#timers = timers
    }
    const at = timer * COLUMNS
    this.#timers[at + STATE] = armed ? ARMED : OFF
    this.#timers[at + SINCE] = m.now
    this.#timers[at + FIRED] = 0
    this.#timers[at + OWED] = owed
    if (((op.msr - HV_X64_MSR_STIMER0_CONFIG) & 1) === 0 || m.profile.model === MODEL_OPENVMM) return
    const isEnabled = (m.w[timerAt(op.file, timer & 3) + CONFIG] & STIMER_ENABLE) !== 0
    if (isEnabled && !op.byHost && (op.newLo | op.newHi) === 0)
      this.#say('a count of 0 left the timer enabled')
    if (isEnabled && op.byHost && !enabled) this.#say("the host's write of a count enabled the timer")
  }

  /** A message of a timer stands in its slot: which one, and does it say when it was due? */
  #delivered(vcpu: number, sintWord: number): void {
    const { m } = this.desk
    const f = fileIn(m, vcpu, sintWord)
    const sint = sintIn(sintWord)
    if (f < 0 || slotTypeOf(m, f, sint) !== HVMSG_TIMER_EXPIRED) return
    const word = (n: number) => slotWord(m, f, sint, SLOT_PAYLOAD + n)
    const due = toNumber(word(2), word(3))
    const delivered = toNumber(word(4), word(5))
    if ((due > delivered || delivered > m.now) && due <= Number.MAX_SAFE_INTEGER) {
      this.#say(
        `STIMER${word(0)}: its message, due at ${due}, was delivered at ${delivered}, time is ${m.now}`,
        vcpu,
      )
    }
    this.#fired(m.rowOfFile(f), word(0) & 3)
  }

  /** One expiry, by message or direct: was it the timer's turn? */
  #fired(v: number, i: number): void {
    const { m } = this.desk
    const at = ((v / m.stride) * STIMER_COUNT + i) * COLUMNS
    if (v < 0 || at >= this.#timers.length || this.#timers[at + STATE] === 0) return
    const t = timerAt(v, i)
    const count = toNumber(m.w[t + COUNT], m.w[t + COUNT + 1])
    // KVM writes an expiry again whose interrupt failed, and says so: it goes on waiting (synic_deliver_msg).
    const isAgain = m.profile.kvm && ((m.w[v + FLAGS] >> (MSG_PENDING_SHIFT + i)) & 1) !== 0
    if (isAgain || count > Number.MAX_SAFE_INTEGER) return
    const fired = ++this.#timers[at + FIRED]
    const owed = this.#timers[at + OWED]
    if (fired <= owed) return
    const vcpu = m.vcpuId(v)
    if (this.#timers[at + STATE] === OFF) return this.#say(`STIMER${i} expired, and it is disabled`, vcpu)
    if ((m.w[t + CONFIG] & STIMER_PERIODIC) !== 0) {
      const most = Math.floor((m.now - this.#timers[at + SINCE]) / count)
      if (fired > owed + most)
        this.#say(`periodic STIMER${i} expired ${fired} times, its time came ${most} times`, vcpu)
      return
    }
    if (fired > owed + 1) this.#say(`one-shot STIMER${i} expired again without having been armed again`, vcpu)
    if (m.now < count) this.#say(`STIMER${i} expired at ${m.now}, and is due at ${count}`, vcpu)
  }

  settled(): void {
    const { m } = this.desk
    if (m.paused) return
    for (let v = 0; v < m.vcpuCount * m.stride; v += m.stride) {
      if ((m.w[v + FLAGS] & OFFLINE) !== 0) continue
      for (let i = 0; i < STIMER_COUNT; i++) this.#settle(v, i)
    }
  }

  #settle(v: number, i: number): void {
    const { m } = this.desk
    const t = timerAt(v, i)
    const flags = m.w[v + FLAGS]
    const waits = ((flags >> (MSG_PENDING_SHIFT + i)) | (flags >> (TIMER_QUEUED_SHIFT + i))) & 1
    const count = toNumber(m.w[t + COUNT], m.w[t + COUNT + 1])
    // Beyond exact numbers due times wrap round, as they do on the hardware.
    const isCounting = count !== 0 && count <= Number.MAX_SAFE_INTEGER
    if ((m.w[t + CONFIG] & STIMER_ENABLE) === 0 || !isCounting || waits !== 0) return
    const exp = toNumber(m.w[t + EXP_TIME], m.w[t + EXP_TIME + 1])
    const isMarked = ((flags >> (TIMER_PENDING_SHIFT + i)) & 1) !== 0
    if (exp !== 0 && exp > m.now && !isMarked) return
    const what = exp === 0 ? 'is enabled and was never started' : `was due at ${exp} and has not expired`
    this.#say(`STIMER${i} ${what}, and nothing says that it waits`, m.vcpuId(v))
  }

  #say(text: string, vcpu = this.desk.op.vcpu): void {
    this.desk.report({ severity: 'error', vcpu, text })
  }
}

export const timerContract: Rule = {
  invariant: 'I15',
  rule: 'timer_contract',
  holds: 'A timer expires when its time has come, once for each arming, and never while it is disabled.',
  ops: [OP_VCPU_RESET, OP_PARTITION_RESET, OP_KERNEL_BOOT],
  registers: ['STIMER'],
  effects: [EFFECT_MESSAGE, EFFECT_IRQ],
  deep: true,
  watch: (desk) => new TimerContract(desk),
}
