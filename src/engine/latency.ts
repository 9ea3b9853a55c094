/**
 * When each message, flag and interrupt of one partition was last seen: feeds the meter's delivery latencies.
 */
import { SINT_COUNT } from '../hv/registers.js'
import * as e from '../synic/effects.js'
import { OP_APIC_ACK, OP_HV_POST_MESSAGE, OP_MESSAGE_POST } from '../synic/op.js'
import { type Meter, STAGE_ACK, STAGE_EOM, STAGE_SLOT } from './meter.js'

/** Slots of a vCPU: sixteen of each of two register files. */
const SLOTS = 2 * SINT_COUNT
const VECTORS = 256

/** Kinds of consequence that say something of a delivery, one bit each. */
const FOLLOWED =
  (1 << e.EFFECT_IRQ) |
  (1 << e.EFFECT_MESSAGE) |
  (1 << e.EFFECT_FREED) |
  (1 << e.EFFECT_EVENT) |
  (1 << e.EFFECT_EOM) |
  (1 << e.EFFECT_DROPPED)

/** What is under way on one vCPU. A time of 0 says that nothing is. */
class Underway {
  /** When each vector was requested, and by what. As in IRR, a request that merges starts nothing anew. */
  readonly raisedMs = new Float64Array(VECTORS)
  readonly raisedBy = new Uint8Array(VECTORS)
  /** When each slot was filled, and by what. */
  readonly filledMs = new Float64Array(SLOTS)
  readonly filledBy = new Uint8Array(SLOTS)
}

export class LatencyTracker {
  /** By vCPU; made when something is first delivered there. */
  readonly #vcpus: (Underway | undefined)[] = []
  /** Times of posts that wait behind a slot, by vCPU * SLOTS + slot. */
  readonly #posted = new Map<number, number[]>()

  constructor(private readonly meter: Meter) {}

  /**
   * Follows the consequences of one op.
   * @param nowMs monotonic time of the batch, milliseconds, not 0
   */
  follow(code: number, vcpu: number, effects: e.Effects, nowMs: number): void {
    if (code === OP_APIC_ACK && effects.vector >= 0) this.#taken(vcpu, effects.vector, nowMs)
    if ((effects.kinds & FOLLOWED) === 0) return
    const { words, length } = effects
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      switch (words[at]) {
        case e.EFFECT_IRQ:
          this.#raised(words[at + 1], words[at + 2], words[at + 3] & 0xff, nowMs)
          break
        case e.EFFECT_MESSAGE: {
          const isPost = code === OP_MESSAGE_POST || code === OP_HV_POST_MESSAGE
          this.#filled(words[at + 1], words[at + 2], isPost && effects.delivery === e.DELIVERED, nowMs)
          break
        }
        case e.EFFECT_FREED:
          this.#freed(words[at + 1], words[at + 2], nowMs)
          break
        case e.EFFECT_EVENT:
          this.meter.observe(STAGE_SLOT, e.FROM_EVENT, 0)
          break
        case e.EFFECT_EOM:
          this.meter.eom++
          break
        case e.EFFECT_DROPPED:
          this.meter.messages[e.DROPPED]++
          this.#posted.get(words[at + 1] * SLOTS + slotOf(words[at + 2]))?.shift()
          break
      }
    }
  }

  /** A host post of this op waits behind the slot. */
  noteQueued(vcpu: number, sint: number, nowMs: number): void {
    const key = vcpu * SLOTS + sint
    const times = this.#posted.get(key)
    if (times === undefined) this.#posted.set(key, [nowMs])
    else times.push(nowMs)
  }

  #at(vcpu: number): Underway {
    let underway = this.#vcpus[vcpu]
    if (underway === undefined) {
      underway = new Underway()
      this.#vcpus[vcpu] = underway
    }
    return underway
  }

  #raised(vcpu: number, vector: number, kind: number, nowMs: number): void {
    this.meter.interrupts[kind]++
    if (kind === e.FROM_IPI) return
    const { raisedMs, raisedBy } = this.#at(vcpu)
    if (raisedMs[vector] !== 0) return
    raisedMs[vector] = nowMs
    raisedBy[vector] = kind
  }

  #taken(vcpu: number, vector: number, nowMs: number): void {
    const underway = this.#vcpus[vcpu]
    if (underway === undefined) return
    const { raisedMs, raisedBy } = underway
    if (raisedMs[vector] === 0) return
    this.meter.observe(STAGE_ACK, raisedBy[vector], nowMs - raisedMs[vector])
    raisedMs[vector] = 0
  }

  #filled(vcpu: number, source: number, isPosted: boolean, nowMs: number): void {
    this.meter.messages[e.DELIVERED]++
    const kind = source & 0xff
    const slot = slotOf(source)
    const waited = !isPosted && kind === e.FROM_MESSAGE && this.#posted.size !== 0
    const postedMs = waited ? this.#posted.get(vcpu * SLOTS + slot)?.shift() : nowMs
    this.meter.observe(STAGE_SLOT, kind, nowMs - (postedMs ?? nowMs))
    const { filledMs, filledBy } = this.#at(vcpu)
    filledMs[slot] = nowMs
    filledBy[slot] = kind
  }

  #freed(vcpu: number, source: number, nowMs: number): void {
    const { filledMs, filledBy } = this.#at(vcpu)
    const slot = slotOf(source)
    if (filledMs[slot] === 0) return
    this.meter.observe(STAGE_EOM, filledBy[slot], nowMs - filledMs[slot])
    filledMs[slot] = 0
  }
}

/** The slot of a SINT, whose number stands in bits 15:8, with its file in bit 16. */
function slotOf(source: number): number {
  return ((source >> 8) & 0xf) | ((source >> 12) & 0x10)
}
