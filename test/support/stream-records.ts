/** Records of `synic.v1.bin` written word by word, so that they can be wrong. */
import * as r from '../../src/api/records.js'
import * as o from '../../src/synic/op.js'

export interface OpRecord {
  /** First word: the code and its bits. */
  readonly first: number
  readonly args?: readonly number[]
  readonly vcpu?: number
  readonly actor?: number
  /** What the record claims; left out, the truth. */
  readonly length?: number
}

export function opRecord({ first, args = [], vcpu = 0, actor = 0, length }: OpRecord): number[] {
  return [first, length ?? o.OP_HEADER_WORDS + args.length, actor, vcpu, ...args]
}

/** A batch whose count is the truth. */
export function batch(...ops: readonly OpRecord[]): number[] {
  return [r.RECORD_BATCH, r.BATCH_WORDS, 7, ops.length, ...ops.flatMap(opRecord)]
}

/** Bytes as words, the last one filled up. */
export function packed(bytes: Uint8Array, filling = 0): number[] {
  const whole = new Uint8Array(((bytes.length + 3) >> 2) * 4).fill(filling)
  whole.set(bytes)
  return [...new Int32Array(whole.buffer)]
}

export function name(number: number, text: string): number[] {
  const bytes = new TextEncoder().encode(text)
  const words = packed(bytes)
  return [r.RECORD_NAME, r.NAME_WORDS + words.length, number, bytes.length, ...words]
}
