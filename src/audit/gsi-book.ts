/**
 * GSIs as their eventfds see them: the edge that was accepted last, and who was told of its end. The auditor
 * keeps it up to date, so that rules only need to be asked about what is out of the ordinary.
 */
import { SINT_COUNT } from '../hv/registers.js'
import { EFFECT_ACK, EFFECT_IRQ, EFFECT_WORDS } from '../synic/effects.js'
import { isBound, isResampled } from '../synic/gsi-routes.js'
import type { Machine } from '../synic/machine.js'
import {
  OP_GSI_ROUTE,
  OP_IRQFD_BIND,
  OP_KERNEL_BOOT,
  OP_PARTITION_RESET,
  OP_VCPU_RESET,
} from '../synic/op.js'
import { fileIn, sintIn } from './effect-words.js'

/** The last edge of a GSI that its SINT's vCPU accepted and that nobody has acknowledged since. */
export interface Edge {
  readonly gsi: number
  /** When it was accepted. */
  readonly seq: number
  readonly f: number
  readonly sint: number
  readonly vector: number
  readonly actor: number
}

// Of an edge: when it was accepted, 0 = there is none; the words of its interrupt's effect; and the actor.
const SEQ = 0
const VCPU = 1
const VECTOR = 2
const ABOUT = 3
const ACTOR = 4
const COLUMNS = 5

/** Ops that change what the book says of all GSIs, or of one: nothing is as it was. */
export const BOOK_OPS = [OP_GSI_ROUTE, OP_IRQFD_BIND, OP_PARTITION_RESET, OP_VCPU_RESET, OP_KERNEL_BOOT]

export class GsiBook {
  /** Rows by GSI, which are few and close together. */
  #edges = new Float64Array(0)
  /** When a GSI was bound last. */
  readonly #bound = new Map<number, number>()
  readonly #isAllBound: boolean
  #wasNeverBound = true
  /** When the table was replaced last. */
  routedSeq = 0
  /** GSIs that an op acknowledged, and the edge each acknowledgement was for: 0 = none. */
  acked = new Int32Array(SINT_COUNT)
  ackedSeq = new Float64Array(SINT_COUNT)
  #ackedCount = 0
  /** The op that did. */
  #ackedBy = -1

  constructor(private readonly m: Machine) {
    this.#isAllBound = m.options.implicit_irqfds
  }

  /** How many the op with this number has acknowledged. */
  ackedCount(seq: number): number {
    return seq === this.#ackedBy ? this.#ackedCount : 0
  }

  /** An edge was accepted. @returns does it come through a binding? */
  asserted(gsi: number, actor: number, seq: number): boolean {
    const { words } = this.m.effects
    let at = 0
    while (words[at] !== EFFECT_IRQ) at += EFFECT_WORDS[words[at]]
    const to = gsi * COLUMNS
    if (to >= this.#edges.length) this.#growTo(gsi)
    const edges = this.#edges
    edges[to + SEQ] = seq
    // vCPUs stay: where its file lies can be looked up when somebody asks.
    edges[to + VCPU] = words[at + 1]
    edges[to + VECTOR] = words[at + 2]
    edges[to + ABOUT] = words[at + 3]
    edges[to + ACTOR] = actor
    return this.#isAllBound || isBound(this.m, gsi)
  }

  /**
   * The op acknowledged GSIs.
   * @returns is it the ordinary case: one is told, through a resampler that was there when its edge came?
   */
  acknowledged(seq: number): boolean {
    const { words, length } = this.m.effects
    let count = 0
    let isOrdinary = false
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_ACK) continue
      const gsi = words[at + 1]
      if (count === this.acked.length) this.#grow()
      const row = gsi * COLUMNS
      const since = row < this.#edges.length ? this.#edges[row + SEQ] : 0
      if (since !== 0) this.#edges[row + SEQ] = 0
      this.acked[count] = gsi
      this.ackedSeq[count++] = since
      isOrdinary = count === 1 && this.#isOrdinary(gsi, since)
    }
    this.#ackedBy = seq
    this.#ackedCount = count
    return isOrdinary
  }

  /** An op of BOOK_OPS was applied. @param first its first argument */
  changed(code: number, first: number, seq: number): void {
    if (!this.m.effects.ok) return
    switch (code) {
      case OP_GSI_ROUTE:
        this.routedSeq = seq
        return
      case OP_IRQFD_BIND:
        this.#wasNeverBound = false
        this.#bound.set(first, seq)
        return
      default:
        this.#wasNeverBound = true
        this.#bound.clear()
        this.#edges.fill(0)
    }
  }

  /** GSIs with an edge that was not acknowledged, ascending. */
  *edges(): Generator<Edge> {
    for (let row = 0; row < this.#edges.length; row += COLUMNS) {
      const [seq, vcpu, vector, about, actor] = this.#edges.subarray(row, row + COLUMNS)
      if (seq === 0) continue
      const gsi = row / COLUMNS
      yield { gsi, seq, f: fileIn(this.m, vcpu, about), sint: sintIn(about), vector, actor }
    }
  }

  /** When the GSI was bound last; 0: never. */
  boundSeq(gsi: number): number {
    return this.#bound.get(gsi) ?? 0
  }

  #isOrdinary(gsi: number, since: number): boolean {
    if (this.#isAllBound && this.#wasNeverBound) return true
    return isResampled(this.m, gsi) && (since === 0 || since >= this.boundSeq(gsi))
  }

  /** A nested root acknowledges through two register files. */
  #grow(): void {
    const [acked, seqs] = [this.acked, this.ackedSeq]
    this.acked = new Int32Array(2 * acked.length)
    this.acked.set(acked)
    this.ackedSeq = new Float64Array(2 * seqs.length)
    this.ackedSeq.set(seqs)
  }

  #growTo(gsi: number): void {
    const edges = new Float64Array(2 * (gsi + 1) * COLUMNS)
    edges.set(this.#edges)
    this.#edges = edges
  }
}
