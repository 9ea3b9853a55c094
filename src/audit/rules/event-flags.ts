/**
 * I10, event flags: a flag that becomes set asks for one interrupt, a set one for none, a refused signal sets
 * nothing, and in the end no flag stands that no interrupt tells of (TLFS "SIEF page"; QEMU
 * hyperv_set_event_flag).
 */
import { gpnOf, testBit } from '../../hv/bits.js'
import { SINT_COUNT, SINT_MASKED, SINT_VECTOR } from '../../hv/registers.js'
import {
  EFFECT_EVENT,
  EFFECT_IRQ,
  EFFECT_LOST,
  EFFECT_WORDS,
  FROM_EVENT,
  HAS_STATUS,
} from '../../synic/effects.js'
import { FLAGS, IRR, ISR, OFFLINE, SIEFP, SINTS } from '../../synic/layout.js'
import {
  OP_ARGS,
  OP_EVENT_SIGNAL,
  OP_KERNEL_BOOT,
  OP_PAGE_FREE,
  OP_PARTITION_RESET,
  OP_VCPU_RESET,
} from '../../synic/op.js'
import { MODEL_QEMU } from '../../synic/profile.js'
import { fileIn, isSilent, sintIn, sourceIn } from '../effect-words.js'
import { lowestFlag } from '../page-content.js'
import type { Desk, Rule, Watcher } from '../rule.js'
import { forgetReset } from '../slots.js'

/** What became of the last flag set for one SINT. */
interface LastFlag {
  seq: number
  actor: number
  /** Where the page lay. */
  gpn: number
  /** Its interrupt: 1 requested, 0 not accepted, -2 masked. */
  irq: number
}

class EventFlags implements Watcher {
  /** By register file * 16 + SINT. */
  readonly #last = new Map<number, LastFlag>()
  readonly #attempt = { count: 0, outcome: 1 }

  constructor(private readonly desk: Desk) {}

  after(): void {
    const { op, m } = this.desk
    const { effects } = m
    if (op.code === OP_PAGE_FREE) return this.#forgetPage()
    if (op.code === OP_VCPU_RESET || op.code === OP_PARTITION_RESET || op.code === OP_KERNEL_BOOT) {
      return forgetReset(this.desk, this.#last, SINT_COUNT)
    }
    const { words, length } = effects
    let flags = 0
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_EVENT) continue
      flags++
      this.#judge(words[at + 1], words[at + 2], words[at + 3])
    }
    if (op.code !== OP_EVENT_SIGNAL) return
    const isRefused = !effects.ok || ((effects.has & HAS_STATUS) !== 0 && effects.status !== 0)
    if (isRefused && flags > 0) this.#say(op.vcpu, 'the signal was refused, and yet its flag is set')
    if (flags > 0) return
    this.#attempts(-1)
    if (this.#attempt.count > 0) this.#say(op.vcpu, 'no flag became set, and yet an interrupt was asked for')
  }

  settled(): void {
    for (const [key, last] of this.#last) this.#settle(Math.floor(key / 16), key % 16, last)
  }

  /** Interrupts that flags asked for in this op, of one SINT (-1: of any). */
  #attempts(sintWord: number): void {
    const { words, length } = this.desk.m.effects
    this.#attempt.count = 0
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      const kind = words[at]
      if (kind !== EFFECT_IRQ && kind !== EFFECT_LOST) continue
      const word = kind === EFFECT_IRQ ? words[at + 3] : words[at + 2]
      if (sourceIn(word) !== FROM_EVENT || (sintWord >= 0 && word >> 8 !== sintWord >> 8)) continue
      this.#attempt.count++
      this.#attempt.outcome = kind === EFFECT_IRQ ? 1 : words[at + 3]
    }
  }

  #judge(vcpu: number, sintWord: number, flag: number): void {
    const { op, m } = this.desk
    const f = fileIn(m, vcpu, sintWord)
    // QEMU's flag 2048 is set in the area behind the SINT's own, under the option that keeps that defect.
    if (f < 0 || (m.options.compat_bugs && m.profile.model === MODEL_QEMU)) return
    const sint = sintIn(sintWord)
    this.#attempts(sintWord)
    const { count } = this.#attempt
    if (count > 1)
      this.#say(vcpu, `flag ${flag} of SINT${sint} was set once and asked for ${count} interrupts`)
    if (count === 0 && !this.#isExcused(f, sint)) {
      this.#say(vcpu, `flag ${flag} of SINT${sint} was set and asked for no interrupt`)
    }
    const irq = count === 0 ? 0 : this.#attempt.outcome
    const gpn = gpnOf(m.w[f + SIEFP], m.w[f + SIEFP + 1])
    this.#last.set(m.queueKey(f, sint), { seq: op.seq, actor: op.actor, gpn, irq })
  }

  /** Polled SINTs interrupt nobody, nor do QEMU's routes that were made under a disabled SynIC. */
  #isExcused(f: number, sint: number): boolean {
    const { m } = this.desk
    return m.profile.model === MODEL_QEMU || isSilent(m, sint, m.w[f + SINTS + 2 * sint])
  }

  #settle(f: number, sint: number, last: LastFlag): void {
    const { m } = this.desk
    const v = m.rowOfFile(f)
    const lo = m.w[f + SINTS + 2 * sint]
    const isOffline = (m.w[v + FLAGS] & OFFLINE) !== 0
    // Flag 0 is no channel, and a CPU that goes offline does not wait for it (hv_synic_event_pending).
    const flag = lowestFlag(m, f, sint, last.gpn, isOffline ? 1 : 0)
    if (flag < 0) return
    const what = `flag ${flag} of SINT${sint} is set`
    const other = { other: last.actor, otherSeq: last.seq, vcpu: m.vcpuId(v) }
    if (isOffline) {
      this.desk.report({ severity: 'error', ...other, text: `${what} on a vCPU that is offline` })
      return
    }
    if ((m.w[f + SIEFP] & 1) === 0) {
      this.desk.report({ severity: 'note', ...other, text: `${what} in a page that is no longer enabled` })
      return
    }
    const vector = lo & SINT_VECTOR
    const isComing = testBit(m.w, v + IRR, vector) || testBit(m.w, v + ISR, vector)
    if ((lo & SINT_MASKED) !== 0 || isSilent(m, sint, lo) || isComing) return
    if (last.irq === 1) {
      this.desk.report({
        severity: 'note',
        ...other,
        text: `${what}: its interrupt came and nobody cleared it`,
      })
      return
    }
    // An APIC that is off loses edges by design; an unmasked SINT promises that somebody looks.
    this.desk.report({
      severity: last.irq === 0 ? 'note' : 'error',
      ...other,
      text: `${what}, its interrupt was lost, and none has followed since SINT${sint} is unmasked`,
    })
  }

  #forgetPage(): void {
    const { op } = this.desk
    const gpn = gpnOf(op.words[op.at + OP_ARGS], op.words[op.at + OP_ARGS + 1])
    for (const [key, last] of this.#last) if (last.gpn === gpn) this.#last.delete(key)
  }

  #say(vcpu: number, text: string): void {
    this.desk.report({ severity: 'error', vcpu, text })
  }
}

export const eventFlags: Rule = {
  invariant: 'I10',
  rule: 'event_flags',
  holds: 'A flag that becomes set makes one interrupt attempt, and no set flag is left without an interrupt.',
  ops: [OP_EVENT_SIGNAL, OP_PAGE_FREE, OP_VCPU_RESET, OP_PARTITION_RESET, OP_KERNEL_BOOT],
  registers: [],
  effects: [EFFECT_EVENT],
  watch: (desk) => new EventFlags(desk),
}
