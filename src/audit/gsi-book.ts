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

/** One GSI: the last edge that its SINT's vCPU accepted. */
export interface Edge {
  /** When it was accepted; 0: it was acknowledged since. */
  seq: number
  f: number
  sint: number
  vector: number
  actor: number
  /** When a binding was made last. */
  bound: number
}

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
  readonly edges = new Map<number, Edge>()
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
    if (op.seq === this.#seq) return
    this.#seq = op.seq
    this.ackedCount = 0
    if (!m.effects.ok) return
    switch (op.code) {
      case OP_GSI_ASSERT:
        return this.#asserted(op.words[op.at + OP_ARGS])
      case OP_GSI_ROUTE:
        this.routedSeq = op.seq
        return
      case OP_IRQFD_BIND:
        this.#edgeOf(op.words[op.at + OP_ARGS]).bound = op.seq
        return
      case OP_PARTITION_RESET:
      case OP_VCPU_RESET:
      case OP_KERNEL_BOOT:
        return this.edges.clear()
      default:
        return this.#acknowledged()
    }
  }

  #asserted(gsi: number): void {
    const { op, m } = this.desk
    const { words, length } = m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_IRQ) continue
      const edge = this.#edgeOf(gsi)
      edge.seq = op.seq
      edge.f = fileIn(m, words[at + 1], words[at + 3])
      edge.sint = sintIn(words[at + 3])
      edge.vector = words[at + 2]
      edge.actor = op.actor
      return
    }
  }

  #acknowledged(): void {
    const { words, length } = this.desk.m.effects
    for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
      if (words[at] !== EFFECT_ACK) continue
      const gsi = words[at + 1]
      if (this.ackedCount === this.acked.length) this.#grow()
      this.acked[this.ackedCount] = gsi
      const edge = this.edges.size === 0 ? undefined : this.edges.get(gsi)
      this.ackedSeq[this.ackedCount++] = edge === undefined ? 0 : edge.seq
      if (edge !== undefined) edge.seq = 0
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

  #edgeOf(gsi: number): Edge {
    let edge = this.edges.get(gsi)
    if (edge === undefined) {
      edge = { seq: 0, f: 0, sint: 0, vector: 0, actor: 0, bound: 0 }
      this.edges.set(gsi, edge)
    }
    return edge
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
