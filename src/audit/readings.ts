/**
 * Who has read which message slot, and what came into it since: known where reads are ops. And for the op at
 * hand, which messages were cleared by somebody who had read the slot before them.
 */
import { SINT_COUNT } from '../hv/registers.js'
import * as e from '../synic/effects.js'
import { fileIn, sintIn } from './effect-words.js'
import type { Desk } from './rule.js'
import { forgetReset } from './slots.js'

/** What an actor read in a slot; `staleSeq` is the op that put another message there since, 0 = none. */
interface Reading {
  readonly seq: number
  staleSeq: number
}

/** A message cleared by an actor that had not read it. */
export interface BlindClear {
  /** File * 16 + SINT. */
  readonly slot: number
  /** When it read the slot, and when the message came that it cleared. */
  readonly readSeq: number
  readonly staleSeq: number
  /** Had nobody else read it either? */
  readonly isUnseen: boolean
}

export class Readings {
  /** Of the op at hand. */
  blind: readonly BlindClear[] = []
  /** By file and SINT, then by actor. */
  readonly #bySlot = new Map<number, Map<number, Reading>>()
  #seq = -1

  constructor(private readonly desk: Desk) {}

  get size(): number {
    return this.#bySlot.size
  }

  /** The op at hand resets a vCPU, or the machine, or another kernel starts. */
  forget(): void {
    this.blind = []
    forgetReset(this.desk, this.#bySlot, SINT_COUNT)
  }

  /** The op at hand reads the slot. */
  note(slot: number): void {
    const { op } = this.desk
    const readings = this.#bySlot.get(slot) ?? new Map<number, Reading>()
    readings.set(op.actor, { seq: op.seq, staleSeq: 0 })
    this.#bySlot.set(slot, readings)
  }

  /** Has anybody read what is in the slot now? */
  isSeen(slot: number): boolean {
    return [...(this.#bySlot.get(slot)?.values() ?? [])].some(({ staleSeq }) => staleSeq === 0)
  }

  /** Takes in the op at hand, once: messages that arrive make readings old. */
  follow(): void {
    const { op, m } = this.desk
    if (op.seq === this.#seq) return
    this.#seq = op.seq
    if (this.blind.length > 0) this.blind = []
    if (this.#bySlot.size === 0) return
    const { words, length } = m.effects
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      const kind = words[at]
      if (kind !== e.EFFECT_MESSAGE && kind !== e.EFFECT_FREED) continue
      const slot = m.queueKey(fileIn(m, words[at + 1], words[at + 2]), sintIn(words[at + 2]))
      const readings = this.#bySlot.get(slot)
      if (readings === undefined) continue
      if (kind === e.EFFECT_FREED) this.#cleared(slot, readings)
      else for (const reading of readings.values()) reading.staleSeq ||= op.seq
    }
  }

  #cleared(slot: number, readings: Map<number, Reading>): void {
    const { actor, byHost } = this.desk.op
    const reading = readings.get(actor)
    if (reading === undefined || byHost) return
    const isUnseen = !this.isSeen(slot)
    readings.delete(actor)
    if (readings.size === 0) this.#bySlot.delete(slot)
    const { seq: readSeq, staleSeq } = reading
    if (staleSeq !== 0) this.blind = [...this.blind, { slot, readSeq, staleSeq, isUnseen }]
  }
}

const READINGS = new WeakMap<Desk, Readings>()

/** One for all rules of a partition. */
export function readingsOf(desk: Desk): Readings {
  const known = READINGS.get(desk)
  if (known !== undefined) return known
  const readings = new Readings(desk)
  READINGS.set(desk, readings)
  return readings
}
