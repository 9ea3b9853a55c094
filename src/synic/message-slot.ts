/** Reading and writing message slots and event flags in their pages. */
import { flagWord } from '../hv/event-flags.js'
import {
  FLAGS_BYTE,
  MESSAGE_PENDING,
  SLOT_PAYLOAD,
  SLOT_SENDER,
  SLOT_SIZE_FLAGS,
  SLOT_TYPE,
  SLOT_WORDS,
} from '../hv/messages.js'
import { EFFECT_EVENT, EFFECT_MESSAGE, FROM_EVENT, type Source } from './effects.js'
import type { Machine } from './machine.js'

/** A message to be put into a slot: header fields, and the payload as words of `source` from `at`. */
export interface Message {
  type: number
  bytes: number
  senderLo: number
  senderHi: number
  words: Int32Array
  at: number
}

/** Word of the frame's chunk where a SINT's slot begins. */
export function slotAt(m: Machine, frame: number, sint: number): number {
  return m.memory.offset(frame) + sint * SLOT_WORDS
}

export function slotType(m: Machine, frame: number, sint: number): number {
  return m.memory.chunk(frame)[slotAt(m, frame, sint) + SLOT_TYPE]
}

/** KVM writes the whole flags byte; everyone else sets its bit 0 (synic_deliver_msg; QEMU cpu_post_msg). */
export function setPending(m: Machine, frame: number, sint: number, wholeByte: boolean): void {
  const chunk = m.memory.chunk(frame)
  const at = slotAt(m, frame, sint) + SLOT_SIZE_FLAGS
  chunk[at] = (wholeByte ? chunk[at] & ~FLAGS_BYTE : chunk[at]) | MESSAGE_PENDING
}

export function clearPending(m: Machine, frame: number, sint: number): void {
  m.memory.chunk(frame)[slotAt(m, frame, sint) + SLOT_SIZE_FLAGS] &= ~MESSAGE_PENDING
}

/**
 * Copy a message into an empty slot and say so.
 * @param whole true: all 256 bytes, the rest zero; false: header and payload only, as KVM does
 * @param pending more messages wait for this SINT
 */
export function writeSlot(
  m: Machine,
  f: number,
  frame: number,
  sint: number,
  message: Message,
  source: Source,
  whole: boolean,
  pending: boolean,
): void {
  const chunk = m.memory.chunk(frame)
  const at = slotAt(m, frame, sint)
  chunk[at + SLOT_TYPE] = message.type
  chunk[at + SLOT_SIZE_FLAGS] = message.bytes | (pending ? MESSAGE_PENDING : 0)
  chunk[at + SLOT_SENDER] = message.senderLo
  chunk[at + SLOT_SENDER + 1] = message.senderHi
  const { words, at: from, bytes } = message
  const to = at + SLOT_PAYLOAD
  const full = bytes >> 2
  for (let i = 0; i < full; i++) chunk[to + i] = words[from + i]
  const rest = (bytes & 3) * 8
  if (rest !== 0) {
    const mask = (1 << rest) - 1
    chunk[to + full] = (words[from + full] & mask) | (whole ? 0 : chunk[to + full] & ~mask)
  }
  if (!whole) return announce(m, f, sint, source, message.type)
  for (let i = to + full + (rest === 0 ? 0 : 1); i < at + SLOT_WORDS; i++) chunk[i] = 0
  announce(m, f, sint, source, message.type)
}

function announce(m: Machine, f: number, sint: number, source: Source, type: number): void {
  m.effects.push(EFFECT_MESSAGE, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint, source), type)
}

/** Set an event flag; false if it was set already. */
export function setFlag(m: Machine, f: number, frame: number, sint: number, flag: number): boolean {
  const chunk = m.memory.chunk(frame)
  const at = m.memory.offset(frame) + flagWord(sint, flag)
  const bit = 1 << (flag & 31)
  if ((chunk[at] & bit) !== 0) return false
  chunk[at] |= bit
  m.effects.push(EFFECT_EVENT, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint, FROM_EVENT), flag)
  return true
}
