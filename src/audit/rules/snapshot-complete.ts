/**
 * I19, a snapshot is complete: restored and saved again it gives the same document, and both partitions
 * answer whatever comes next alike (QEMU vmstate; OpenVMM's saved state). Asked for by harnesses, so it is no
 * watcher.
 */
import {
  EFFECT_LEFT,
  EFFECT_WAITS,
  EFFECT_WORDS,
  type Effects,
  HAS_BYTES,
  HAS_DELIVERY,
  HAS_HALTED,
  HAS_STATUS,
  HAS_VALUE,
  HAS_VECTOR,
} from '../../synic/effects.js'
import { OP_CODE, OP_LENGTH, OP_NAMES } from '../../synic/op.js'
import type { Partition } from '../../synic/partition.js'
import { savePartition } from '../../synic/save-state.js'

/** Where two partitions part. */
export interface Difference {
  /** Op of the continuation after which they differ, from 0; -1: before the first. */
  readonly index: number
  /** What differs: a place in the saved state, or the answer to an op. */
  readonly where: string
  readonly one: string
  readonly other: string
}

/**
 * Compares a partition with what was restored from its snapshot, now and after each of the same ops. Both go
 * on by those ops: hand in forks if they are still needed.
 * @param ops records back to back
 */
export function differsAfter(
  partition: Partition,
  restored: Partition,
  ops: Int32Array = new Int32Array(0),
  length = ops.length,
): Difference | undefined {
  // Op records name actors by number, and a restored partition knows no names yet.
  for (let id = restored.names.size; id < partition.names.size; id++) {
    restored.names.intern(partition.names.text(id))
  }
  const before = stateDiffers(partition, restored, -1)
  if (before !== undefined) return before
  let index = 0
  for (let at = 0; at < length; at += ops[at + OP_LENGTH], index++) {
    partition.apply(ops, at)
    // The two may share one buffer for effects.
    const one = answerOf(partition.effects)
    restored.apply(ops, at)
    const other = answerOf(restored.effects)
    const where = `the answer to ${OP_NAMES[ops[at] & OP_CODE]}`
    if (one !== other) return { index, where, one, other }
  }
  return stateDiffers(partition, restored, index - 1)
}

function stateDiffers(partition: Partition, restored: Partition, index: number): Difference | undefined {
  // A snapshot's number in the journal is its own affair.
  const [one, other] = [partition, restored].map((each) => ({ ...savePartition(each), seq: 0 }))
  return firstDifference(one, other, '', index)
}

/** All that an op answered, as text. */
/** Tickets of what waits are no part of an answer: nobody is told them. */
function answerOf(effects: Effects): string {
  const { fault, errno, has, words, length } = effects
  const parts: unknown[] = [fault, errno, has]
  if ((has & HAS_VALUE) !== 0) parts.push(effects.valueLo, effects.valueHi)
  if ((has & HAS_VECTOR) !== 0) parts.push(effects.vector)
  if ((has & HAS_STATUS) !== 0) parts.push(effects.status)
  if ((has & HAS_DELIVERY) !== 0) parts.push(effects.delivery)
  if ((has & HAS_HALTED) !== 0) parts.push(effects.halted)
  if ((has & HAS_BYTES) !== 0) parts.push([...effects.bytes])
  for (let at = 0; at < length; at += EFFECT_WORDS[words[at]]) {
    const isTicket = words[at] === EFFECT_WAITS || words[at] === EFFECT_LEFT
    parts.push([...words.subarray(at, isTicket ? at + 1 : at + EFFECT_WORDS[words[at]])])
  }
  return JSON.stringify(parts)
}

/** Depth first, so that the innermost place is named. */
function firstDifference(one: unknown, other: unknown, where: string, index: number): Difference | undefined {
  if (one === other) return undefined
  if (!isBranch(one) || !isBranch(other)) {
    return { index, where, one: JSON.stringify(one) ?? 'nothing', other: JSON.stringify(other) ?? 'nothing' }
  }
  for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
    const found = firstDifference(one[key], other[key], where === '' ? key : `${where}.${key}`, index)
    if (found !== undefined) return found
  }
  return undefined
}

function isBranch(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
