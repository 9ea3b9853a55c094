/**
 * When each message, flag and interrupt of one partition was last seen: feeds the meter's delivery latencies.
 */
import { SINT_COUNT } from '../hv/registers.js'
import * as e from '../synic/effects.js'
import { OP_APIC_ACK, OP_ARGS, OP_HV_POST_MESSAGE, OP_MESSAGE_POST, OP_VCPU } from '../synic/op.js'
import { KINDS_COUNT, type Meter, STAGE_ACK, STAGE_EOM, STAGE_SLOT } from './meter.js'

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

/**
 * Marks of a vCPU: one for each vector that was requested, as in IRR, where a request that merges starts
 * nothing anew, and behind them one for each slot that was filled.
 */
const MARKS = VECTORS + SLOTS
const UNMARKED = -1

/**
 * A mark is one number: when, in microseconds, times SOURCES, plus what it was that came. What comes and goes
 * in one batch, as most does under load, is told by a subtraction. 0 = nothing is under way.
 */
const SOURCES = 8
const MICROS_PER_MS = 1000

export class LatencyTracker {
  /** By vCPU, where its marks begin. */
  #begins = new Int32Array(0)
  #marks = new Float64Array(0)
  #used = 0
  /** The mark of now, but for what came. */
  #now = 0
  /** Marks of posts that wait behind a slot, by vCPU * SLOTS + slot. */
  readonly #posted = new Map<number, number[]>()

  constructor(private readonly meter: Meter) {}

  /** What follows is at this time: monotonic milliseconds. */
  at(nowMs: number): void {
    // One more, so that it is not 0.
    this.#now = (Math.floor(nowMs * MICROS_PER_MS) + 1) * SOURCES
  }

  /**
   * Counts one op and follows its consequences. All in one piece: every op comes through here, and what the
   * compiler would draw into its caller makes it leave others out.
   */
  follow(code: number, words: Int32Array, at: number, effects: e.Effects): void {
    const { meter } = this
    meter.countOp(code, effects)
    if (code === OP_APIC_ACK && effects.vector >= 0) {
      this.#ended(STAGE_ACK, this.#marksOf(words[at + OP_VCPU]) + effects.vector)
    }
    if (code === OP_MESSAGE_POST && (effects.has & e.HAS_DELIVERY) !== 0 && effects.delivery === e.QUEUED) {
      this.#queued(words[at + OP_VCPU], words[at + OP_ARGS])
    }
    if ((effects.kinds & FOLLOWED) !== 0) this.#consequences(code, effects)
  }

  #consequences(code: number, effects: e.Effects): void {
    const { meter } = this
    const { words, length } = effects
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      const what = words[at]
      if (what === e.EFFECT_IRQ) {
        const source = words[at + 3] & 0xff
        meter.interrupts[source]++
        if (source === e.FROM_IPI) continue
        const mark = this.#marksOf(words[at + 1]) + words[at + 2]
        if (this.#marks[mark] === 0) this.#marks[mark] = this.#now + source
      } else if (what === e.EFFECT_MESSAGE) {
        const about = words[at + 2]
        const source = about & 0xff
        const isPost = code === OP_MESSAGE_POST || code === OP_HV_POST_MESSAGE
        if (isPost && effects.delivery === e.DELIVERED) meter.instant[STAGE_SLOT * KINDS_COUNT + source]++
        else this.#waited(words[at + 1], about)
        const mark = this.#marksOf(words[at + 1]) + VECTORS + slotOf(about)
        this.#marks[mark] = this.#now + source
      } else if (what === e.EFFECT_FREED) {
        this.#ended(STAGE_EOM, this.#marksOf(words[at + 1]) + VECTORS + slotOf(words[at + 2]))
      } else if (what === e.EFFECT_EOM) meter.eom++
      else if (what === e.EFFECT_EVENT) meter.instant[STAGE_SLOT * KINDS_COUNT + e.FROM_EVENT]++
      else if (what === e.EFFECT_DROPPED) this.#dropped(words[at + 1], words[at + 2])
    }
  }

  /** A host post of this op waits behind the slot. */
  #queued(vcpu: number, sint: number): void {
    const key = vcpu * SLOTS + sint
    const marks = this.#posted.get(key)
    if (marks === undefined) this.#posted.set(key, [this.#now])
    else marks.push(this.#now)
  }

  /** A message that was posted before, or a timer's, comes into its slot. */
  #waited(vcpu: number, about: number): void {
    const source = about & 0xff
    const posted = source === e.FROM_MESSAGE ? this.#posted.get(vcpu * SLOTS + slotOf(about)) : undefined
    this.#observe(STAGE_SLOT, (posted?.shift() ?? this.#now) + source)
  }

  #dropped(vcpu: number, about: number): void {
    this.meter.dropped++
    this.#posted.get(vcpu * SLOTS + slotOf(about))?.shift()
  }

  /** What is marked there, if anything is, took until now. */
  #ended(stage: number, at: number): void {
    const mark = this.#marks[at]
    if (mark === 0) return
    this.#marks[at] = 0
    const source = mark - this.#now
    if (source >= 0) this.meter.instant[stage * KINDS_COUNT + source]++
    else this.#observe(stage, mark)
  }

  #observe(stage: number, mark: number): void {
    const source = mark % SOURCES
    this.meter.observe(stage, source, (this.#now + source - mark) / SOURCES / MICROS_PER_MS)
  }

  /** Where the marks of a vCPU begin. They may lie in another array from then on: to be asked first. */
  #marksOf(vcpu: number): number {
    const begin = vcpu < this.#begins.length ? this.#begins[vcpu] : UNMARKED
    return begin === UNMARKED ? this.#begin(vcpu) : begin
  }

  /** Something is delivered there for the first time. */
  #begin(vcpu: number): number {
    const begin = this.#used
    this.#used += MARKS
    if (vcpu >= this.#begins.length) {
      const begins = new Int32Array(vcpu + 1).fill(UNMARKED)
      begins.set(this.#begins)
      this.#begins = begins
    }
    this.#begins[vcpu] = begin
    if (this.#used > this.#marks.length) {
      const marks = new Float64Array(Math.max(this.#used, 2 * this.#marks.length))
      marks.set(this.#marks)
      this.#marks = marks
    }
    return begin
  }
}

/** The slot of a SINT, whose number stands in bits 15:8, with its file in bit 16. */
function slotOf(about: number): number {
  return ((about >> 8) & 0xf) | ((about >> 12) & 0x10)
}
