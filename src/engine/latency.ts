/**
 * When each message, flag and interrupt of one partition was last seen: feeds the meter's delivery latencies.
 */
import { assert } from '../hv/assert.js'
import { VCPU_ID_LIMIT } from '../hv/limits.js'
import * as e from '../synic/effects.js'
import { type Meter, STAGE_ACK, STAGE_EOM, STAGE_SLOT } from './meter.js'
import * as t from './tally.js'

const VECTORS = 256

/** Kinds of consequence that say something of a delivery, one bit each. */
export const FOLLOWED =
  (1 << e.EFFECT_IRQ) |
  (1 << e.EFFECT_MESSAGE) |
  (1 << e.EFFECT_FREED) |
  (1 << e.EFFECT_EVENT) |
  (1 << e.EFFECT_EOM) |
  (1 << e.EFFECT_WAITS) |
  (1 << e.EFFECT_LEFT) |
  (1 << e.EFFECT_DROPPED)

/**
 * Marks of a vCPU: one for each vector that was requested, as in IRR, where a request that merges starts
 * nothing anew, and behind them one for each slot that was filled, sixteen of each of two register files. As
 * numbers: what names stand for would be looked up at each use (ADR 8).
 */
const MARKS = 256 + 32
/** Messages of a partition that are known to wait. */
const WAITING_MAX = 4096

/**
 * A mark says when it was made, in steps since the era began, times SOURCES, plus what it was that came: so
 * that one comparison tells what comes and goes in one batch, as most does under load. 0: nothing under way.
 * Whole numbers of 31 bits, which are quick. An era ends before they do: what is left of its marks is kept in
 * a map from then on.
 */
const SOURCES = 8
const STEPS_PER_MS = 1000
const ERA_MS = 2 ** 30 / SOURCES / STEPS_PER_MS
const OF_AN_ERA_BEFORE = -1

/** What came, and when. */
interface Began {
  readonly source: number
  readonly sinceMs: number
}

export class LatencyTracker {
  /**
   * MARKS of each vCPU, by its number: ids with holes cost address space, and not memory, since what is never
   * touched is never there. Made with the first delivery, for all vCPUs below `#expected`.
   */
  #marks = new Int32Array(0)
  #expected = 0
  /** The mark of now, but for what came; and when that is. */
  #now = SOURCES
  #nowMs = 0
  #eraMs = Number.NEGATIVE_INFINITY
  /** Marks of eras before, by their places. */
  readonly #old = new Map<number, Began>()
  /** Since when messages wait behind their slots, by their tickets. */
  readonly #waiting = new Map<number, number>()

  constructor(private readonly meter: Meter) {}

  /** What follows is of this partition, and at this time: monotonic milliseconds. */
  at(nowMs: number): void {
    this.meter.begin()
    if (nowMs - this.#eraMs >= ERA_MS) this.#beginEra(nowMs)
    this.#now = (1 + Math.floor((nowMs - this.#eraMs) * STEPS_PER_MS)) * SOURCES
    this.#nowMs = nowMs
  }

  #beginEra(nowMs: number): void {
    const marks = this.#marks
    for (let at = 0; at < marks.length; at++) {
      if (marks[at] <= 0) continue
      this.#old.set(at, this.#read(marks[at]))
      marks[at] = OF_AN_ERA_BEFORE
    }
    this.#eraMs = nowMs
  }

  #read(mark: number): Began {
    const steps = Math.floor(mark / SOURCES) - 1
    return { source: mark % SOURCES, sinceMs: this.#eraMs + steps / STEPS_PER_MS }
  }

  #takeOld(at: number): Began {
    const old = this.#old.get(at)
    assert(old !== undefined, 'a mark of an era before is kept')
    this.#old.delete(at)
    return old
  }

  /** A vCPU is there: deliveries may concern it. */
  expect(vcpu: number): void {
    this.#expected = Math.max(this.#expected, vcpu + 1)
  }

  /** The vCPU was reset, or (-1) the machine: what was under way there has gone. */
  forget(vcpu: number): void {
    if (vcpu < 0) {
      this.#marks.fill(0)
      this.#old.clear()
      return
    }
    // What an era before has kept of them is not asked for without a mark.
    this.#marks.fill(0, vcpu * MARKS, (vcpu + 1) * MARKS)
  }

  /** Follows the consequence at `i` of the op at hand. What comes most stands first. */
  follow(consequences: Int32Array, i: number): void {
    const what = consequences[i]
    if (what === e.EFFECT_MESSAGE) this.#arrived(consequences[i + 1], consequences[i + 2])
    else if (what === e.EFFECT_IRQ) {
      this.#requested(consequences[i + 1], consequences[i + 2], consequences[i + 3] & 0xff)
    } else if (what === e.EFFECT_FREED) {
      this.#ended(STAGE_EOM, slotMark(consequences[i + 1], consequences[i + 2]))
    } else if (what === e.EFFECT_EOM) t.TALLY[t.TALLY_EOM]++
    else if (what === e.EFFECT_EVENT) countInstant(STAGE_SLOT, e.FROM_EVENT)
    else if (what === e.EFFECT_WAITS) this.#waits(consequences[i + 1])
    else if (what === e.EFFECT_LEFT) this.#left(consequences[i + 1], consequences[i + 2])
    else if (what === e.EFFECT_DROPPED) t.TALLY[t.TALLY_DROPPED]++
  }

  /** The vCPU has taken an interrupt; -1: there was none. */
  taken(vcpu: number, vector: number): void {
    if (vector >= 0) this.#ended(STAGE_ACK, vcpu * MARKS + vector)
  }

  /** A message comes into its slot; whether it has waited is told behind it. */
  #arrived(vcpu: number, about: number): void {
    const source = about & 0xff
    countInstant(STAGE_SLOT, source)
    this.#mark(slotMark(vcpu, about), source)
  }

  #requested(vcpu: number, vector: number, source: number): void {
    t.TALLY[t.TALLY_INTERRUPTS + source]++
    if (source === e.FROM_IPI) return
    const mark = vcpu * MARKS + vector
    // A request that merges starts nothing anew.
    if (mark >= this.#marks.length || this.#marks[mark] === 0) this.#mark(mark, source)
  }

  #waits(ticket: number): void {
    // What a reset or a deleted port throws away never leaves: it makes room once it is the oldest.
    if (this.#waiting.size >= WAITING_MAX) this.#waiting.delete(this.#waiting.keys().next().value as number)
    this.#waiting.set(ticket, this.#nowMs)
  }

  /** A message that waited is in its slot, and was counted as if it had not; or it came to nothing. */
  #left(ticket: number, source: number): void {
    const sinceMs = this.#waiting.get(ticket)
    this.#waiting.delete(ticket)
    if (sinceMs === undefined || sinceMs === this.#nowMs || source === e.NO_SOURCE) return
    t.TALLY[t.TALLY_INSTANT + STAGE_SLOT * t.KINDS_COUNT + source]--
    this.meter.observe(STAGE_SLOT, source, this.#nowMs - sinceMs)
  }

  #mark(at: number, source: number): void {
    if (at >= this.#marks.length) this.#reach()
    this.#marks[at] = this.#now + source
  }

  /** What is marked there, if anything is, took until now. */
  #ended(stage: number, at: number): void {
    const marks = this.#marks
    if (at >= marks.length) return
    const mark = marks[at]
    if (mark === 0) return
    marks[at] = 0
    const source = mark - this.#now
    if (source >= 0) countInstant(stage, source)
    else this.#took(stage, at, mark)
  }

  #took(stage: number, at: number, mark: number): void {
    const { source, sinceMs } = mark === OF_AN_ERA_BEFORE ? this.#takeOld(at) : this.#read(mark)
    this.meter.observe(stage, source, this.#nowMs - sinceMs)
  }

  /** Something is delivered for the first time, or for the first time since a vCPU has come. */
  #reach(): void {
    const vcpus = Math.max(this.#expected, Math.min((2 * this.#marks.length) / MARKS, VCPU_ID_LIMIT))
    const marks = new Int32Array(vcpus * MARKS)
    marks.set(this.#marks)
    this.#marks = marks
  }
}

/** What took no time. */
function countInstant(stage: number, source: number): void {
  t.TALLY[t.TALLY_INSTANT + stage * t.KINDS_COUNT + source]++
}

function slotMark(vcpu: number, about: number): number {
  return vcpu * MARKS + VECTORS + slotOf(about)
}

/** The slot of a SINT, whose number stands in bits 15:8, with its file in bit 16. */
function slotOf(about: number): number {
  return ((about >> 8) & 0xf) | ((about >> 12) & 0x10)
}
