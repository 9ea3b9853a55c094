/**
 * Messages that wait behind a full slot: one FIFO per register file and SINT (TLFS "Message Buffers"; OpenVMM
 * message_queues.rs).
 */
import type { Source } from './effects.js'
import { LOW_MASK, SINT_MASKS } from './layout.js'
import type { Machine } from './machine.js'
import type { Message } from './message-slot.js'
import { MODEL_TLFS } from './profile.js'

/** Whose buffer a message occupies: a port's id, or one of these. Timer i is FROM_TIMERS - i. */
export const OWNER_HOST = -1
export const OWNER_INTERCEPT = -2
export const OWNER_TIMERS = -3

export interface QueuedMessage extends Message {
  readonly owner: number
  readonly source: Source
  /** What it waits under for who measures how long; no part of a saved state. */
  readonly ticket: number
}

/** Of a message that was restored: when it began to wait is not known. */
export const NO_TICKET = 0

/** A copy that outlives the op it came with, and waits from now on. */
export function keep(m: Machine, message: Message, owner: number, source: Source): QueuedMessage {
  const words = message.words.slice(message.at, message.at + ((message.bytes + 3) >> 2))
  const { type, bytes, senderLo, senderHi } = message
  return { type, bytes, senderLo, senderHi, words, at: 0, owner, source, ticket: m.effects.waits() }
}

export function enqueue(m: Machine, f: number, sint: number, message: QueuedMessage): void {
  const key = m.queueKey(f, sint)
  const queue = m.queues.get(key)
  if (queue === undefined) m.queues.set(key, [message])
  else queue.push(message)
  if (m.profile.model === MODEL_TLFS) m.w[f + SINT_MASKS] |= 1 << sint
}

export function queueLength(m: Machine, f: number, sint: number): number {
  return m.queues.get(m.queueKey(f, sint))?.length ?? 0
}

/** Buffers of an owner in use: a port's wherever they wait, anyone else's behind this SINT. */
export function buffersUsed(m: Machine, f: number, sint: number, owner: number): number {
  if (m.queues.size === 0) return 0
  if (owner < 0) return countOwned(m.queues.get(m.queueKey(f, sint)), owner)
  let used = 0
  for (const queue of m.queues.values()) used += countOwned(queue, owner)
  return used
}

function countOwned(queue: readonly QueuedMessage[] | undefined, owner: number): number {
  let used = 0
  for (const message of queue ?? []) if (message.owner === owner) used++
  return used
}

export function front(m: Machine, f: number, sint: number): QueuedMessage | undefined {
  return m.queues.get(m.queueKey(f, sint))?.[0]
}

export function dequeue(m: Machine, f: number, sint: number): void {
  const key = m.queueKey(f, sint)
  const queue = m.queues.get(key) as QueuedMessage[]
  queue.shift()
  if (queue.length === 0) forget(m, f, sint)
}

function forget(m: Machine, f: number, sint: number): void {
  m.queues.delete(m.queueKey(f, sint))
  if (m.profile.model === MODEL_TLFS) m.w[f + SINT_MASKS] &= ~(1 << sint)
}

/** Empties every queue of a file, as a reset does. */
export function emptyQueues(m: Machine, f: number): void {
  for (let sint = 0; sint < 16; sint++) m.queues.delete(m.queueKey(f, sint))
  if (m.profile.model === MODEL_TLFS) m.w[f + SINT_MASKS] &= ~LOW_MASK
}

/** Removes the undelivered messages of a deleted port, wherever they wait. Returns how many. */
export function removeOwned(m: Machine, owner: number): number {
  let removed = 0
  for (const [key, queue] of [...m.queues]) {
    const kept = queue.filter((message) => message.owner !== owner)
    removed += queue.length - kept.length
    if (kept.length > 0) m.queues.set(key, kept)
    else forget(m, Math.floor(key / 16), key % 16)
  }
  return removed
}
