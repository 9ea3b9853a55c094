/**
 * When each message, flag and interrupt of one partition was last seen: feeds the meter's delivery latencies.
 */
import * as e from '../synic/effects.js'
import { OP_APIC_ACK, OP_HV_POST_MESSAGE, OP_MESSAGE_POST } from '../synic/op.js'
import { type Meter, STAGE_ACK, STAGE_EOM, STAGE_SLOT } from './meter.js'

/** Per vCPU: sixteen SINTs of each of two files, then the four direct timers and one place for IPIs. */
const PLACES = 37
const FIRST_DIRECT = 32
/**
 * Columns of a place: when its slot was filled, by what; when its interrupt was raised, which vector, by
 * what.
 */
const COLUMNS = 5
const SLOT_TIME = 0
const SLOT_KIND = 1
const RAISED_TIME = 2
const RAISED_VECTOR = 3
const RAISED_KIND = 4
/** Behind the places: which of them wait to be taken, one bit each. */
const WAITING = PLACES * COLUMNS
const WAITING_DIRECT = WAITING + 1
const ROW = WAITING + 2
const IPI_KIND = 4

/** Kinds of consequence that say something of a delivery, one bit each. */
const FOLLOWED =
  (1 << e.EFFECT_IRQ) |
  (1 << e.EFFECT_MESSAGE) |
  (1 << e.EFFECT_FREED) |
  (1 << e.EFFECT_EVENT) |
  (1 << e.EFFECT_EOM) |
  (1 << e.EFFECT_DROPPED)

export class LatencyTracker {
  /** By vCPU; rows are made when something is first delivered there. Time 0 = nothing outstanding. */
  readonly #vcpus: Float64Array[] = []
  /** Times of posts that wait behind a slot, by vCPU * PLACES + place. */
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
    const isPost = code === OP_MESSAGE_POST || code === OP_HV_POST_MESSAGE
    const direct = isPost && effects.delivery === e.DELIVERED
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      switch (words[at]) {
        case e.EFFECT_IRQ:
          this.#raised(words[at + 1], words[at + 2], words[at + 3], nowMs)
          break
        case e.EFFECT_MESSAGE:
          this.#filled(words[at + 1], words[at + 2], direct, nowMs)
          break
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
          this.#posted.get(words[at + 1] * PLACES + placeOf(words[at + 2]))?.shift()
          break
      }
    }
  }

  /** A host post of this op waits behind the slot. */
  noteQueued(vcpu: number, sint: number, nowMs: number): void {
    const key = vcpu * PLACES + sint
    const times = this.#posted.get(key)
    if (times === undefined) this.#posted.set(key, [nowMs])
    else times.push(nowMs)
  }

  #row(vcpu: number): Float64Array {
    let row = this.#vcpus[vcpu]
    if (row === undefined) {
      row = new Float64Array(ROW)
      this.#vcpus[vcpu] = row
    }
    return row
  }

  #raised(vcpu: number, vector: number, source: number, nowMs: number): void {
    const kind = source & 0xff
    this.meter.interrupts[kind]++
    if (kind === IPI_KIND) return
    const row = this.#row(vcpu)
    const place = placeOf(source)
    const at = place * COLUMNS
    // A request that merges with one not yet taken does not start anew.
    if (row[at + RAISED_TIME] !== 0) return
    if (place < FIRST_DIRECT) row[WAITING] |= 1 << place
    else row[WAITING_DIRECT] |= 1 << (place - FIRST_DIRECT)
    row[at + RAISED_TIME] = nowMs
    row[at + RAISED_VECTOR] = vector
    row[at + RAISED_KIND] = kind
  }

  #taken(vcpu: number, vector: number, nowMs: number): void {
    const row = this.#vcpus[vcpu]
    if (row === undefined) return
    row[WAITING] = this.#takeFrom(row, row[WAITING], 0, vector, nowMs)
    if (row[WAITING_DIRECT] === 0) return
    row[WAITING_DIRECT] = this.#takeFrom(row, row[WAITING_DIRECT], FIRST_DIRECT, vector, nowMs)
  }

  /** Places from `first` on that wait for this vector have it; returns those that still wait. */
  #takeFrom(row: Float64Array, waiting: number, first: number, vector: number, nowMs: number): number {
    let left = waiting
    for (let rest = waiting; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest)
      const at = (first + bit) * COLUMNS
      if (row[at + RAISED_VECTOR] !== vector) continue
      this.meter.observe(STAGE_ACK, row[at + RAISED_KIND], nowMs - row[at + RAISED_TIME])
      row[at + RAISED_TIME] = 0
      left &= ~(1 << bit)
    }
    return left
  }

  #filled(vcpu: number, source: number, direct: boolean, nowMs: number): void {
    this.meter.messages[e.DELIVERED]++
    const kind = source & 0xff
    const place = placeOf(source)
    const posted =
      direct || kind !== e.FROM_MESSAGE || this.#posted.size === 0
        ? nowMs
        : this.#posted.get(vcpu * PLACES + place)?.shift()
    this.meter.observe(STAGE_SLOT, kind, nowMs - (posted ?? nowMs))
    const row = this.#row(vcpu)
    row[place * COLUMNS + SLOT_TIME] = nowMs
    row[place * COLUMNS + SLOT_KIND] = kind
  }

  #freed(vcpu: number, source: number, nowMs: number): void {
    const row = this.#row(vcpu)
    const at = placeOf(source) * COLUMNS
    if (row[at + SLOT_TIME] === 0) return
    this.meter.observe(STAGE_EOM, row[at + SLOT_KIND], nowMs - row[at + SLOT_TIME])
    row[at + SLOT_TIME] = 0
  }
}

/** Place of a SINT (with nested in bit 16) or of a direct timer (its number in bits 31:24). */
function placeOf(source: number): number {
  const sint = (source >> 8) & 0xff
  if (sint === e.NO_SINT) return FIRST_DIRECT + (source >>> 24)
  return (sint & 0xf) + ((source & 0x1_0000) !== 0 ? 16 : 0)
}
