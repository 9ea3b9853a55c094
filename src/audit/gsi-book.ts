/** GSIs as their eventfds see them: the edge that was accepted last, and who was told of its end. */
import { SINT_COUNT } from '../hv/registers.js'
import { EFFECT_ACK, EFFECT_IRQ, EFFECT_WORDS } from '../synic/effects.js'
import {
  OP_ARGS,
  OP_GSI_ASSERT,
  OP_GSI_ROUTE,
  OP_IRQFD_BIND,
  OP_KERNEL_BOOT,
  OP_PARTITION_RESET,
  OP_VCPU_RESET,
} from '../synic/op.js'
import { fileIn, sintIn } from './effect-words.js'
import type { Desk } from './rule.js'

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

/** Words of an edge: those of its interrupt's effect, and the actor. */
const COLUMNS = 4

/** Ops that change the book. Rules that read it watch them, and acknowledgements. */
export const BOOK_OPS = [
  OP_GSI_ASSERT,
  OP_GSI_ROUTE,
  OP_IRQFD_BIND,
  OP_PARTITION_RESET,
  OP_VCPU_RESET,
  OP_KERNEL_BOOT,
]
export const BOOK_EFFECTS = [EFFECT_ACK]

export class GsiBook {
  /** When each GSI's edge was accepted, 0 = it has none; and its words. GSIs are few and close together. */
  #seqs = new Float64Array(0)
  #words = new Int32Array(0)
  /** When a GSI was bound last. */
  readonly #bound = new Map<number, number>()
  /** When the table was replaced last. */
  routedSeq = 0
  /** GSIs that were acknowledged in this op, and the edge each acknowledgement was for: 0 = none. */
  ackedCount = 0
  acked = new Int32Array(SINT_COUNT)
  ackedSeq = new Float64Array(SINT_COUNT)
  #seq = -1

  constructor(private readonly desk: Desk) {}

  /** Takes in the op at hand, once. */
  read(): void {
    const { op, m } = this.desk
    const { code, seq } = op
    const { effects } = m
    if (code === OP_GSI_ASSERT) {
      this.ackedCount = 0
      // An edge stands alone, and twice is like once.
      if ((effects.kinds & (1 << EFFECT_IRQ)) !== 0) this.#asserted(op.words[op.at + OP_ARGS], seq)
      return
    }
    if (seq === this.#seq) return
    this.#seq = seq
    this.ackedCount = 0
    if (!effects.ok) return
    switch (code) {
      case OP_GSI_ROUTE:
        this.routedSeq = seq
        return
      case OP_IRQFD_BIND:
        this.wasNeverBound = false
        this.#bound.set(op.words[op.at + OP_ARGS], seq)
        return
      case OP_PARTITION_RESET:
      case OP_VCPU_RESET:
      case OP_KERNEL_BOOT:
        this.wasNeverBound = true
        this.#bound.clear()
        return void this.#seqs.fill(0)
      default:
        return this.#acknowledged()
    }
  }

  /** GSIs with an edge that was not acknowledged, ascending. */
  *edges(): Generator<Edge> {
    for (let gsi = 0; gsi < this.#seqs.length; gsi++) {
      const seq = this.#seqs[gsi]
      if (seq === 0) continue
      const [vcpu, vector, about, actor] = this.#words.subarray(gsi * COLUMNS, (gsi + 1) * COLUMNS)
      yield { gsi, seq, f: fileIn(this.desk.m, vcpu, about), sint: sintIn(about), vector, actor }
    }
  }

  /** No GSI was bound since the last reset. */
  wasNeverBound = true

  /** When the GSI was bound last; 0: never. */
  boundSeq(gsi: number): number {
    return this.#bound.get(gsi) ?? 0
  }

  #asserted(gsi: number, seq: number): void {
    const { op, m } = this.desk
    const { words } = m.effects
    let at = 0
    while (words[at] !== EFFECT_IRQ) at += EFFECT_WORDS[words[at]]
    if (gsi >= this.#seqs.length) this.#growTo(gsi)
    const to = gsi * COLUMNS
    this.#seqs[gsi] = seq
    // vCPUs stay: where its file lies can be looked up when somebody asks.
    this.#words[to] = words[at + 1]
    this.#words[to + 1] = words[at + 2]
    this.#words[to + 2] = words[at + 3]
    this.#words[to + 3] = op.actor
  }

  #acknowledged(): void {
    const { words, length } = this.desk.m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_ACK) continue
      const gsi = words[at + 1]
      if (this.ackedCount === this.acked.length) this.#grow()
      this.acked[this.ackedCount] = gsi
      const seq = gsi < this.#seqs.length ? this.#seqs[gsi] : 0
      this.ackedSeq[this.ackedCount++] = seq
      if (seq !== 0) this.#seqs[gsi] = 0
    }
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
    const seqs = new Float64Array(2 * (gsi + 1))
    seqs.set(this.#seqs)
    this.#seqs = seqs
    const words = new Int32Array(COLUMNS * seqs.length)
    words.set(this.#words)
    this.#words = words
  }
}

const BOOKS = new WeakMap<Desk, GsiBook>()

/** One book for all rules of a partition. */
export function gsiBookOf(desk: Desk): GsiBook {
  const known = BOOKS.get(desk)
  if (known !== undefined) return known
  const book = new GsiBook(desk)
  BOOKS.set(desk, book)
  return book
}
