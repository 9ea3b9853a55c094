/** What stands in the pages of a SynIC, and what waits outside them; looks and changes nothing. */
import { gpnOf } from '../hv/bits.js'
import { FLAGS_PER_SINT, flagWord } from '../hv/event-flags.js'
import { SLOT_TYPE, SLOT_WORDS } from '../hv/messages.js'
import { PAGE_ENABLE, STIMER_COUNT, STIMER_DIRECT, stimerSint } from '../hv/registers.js'
import {
  CONFIG,
  EVENT_FRAME,
  FLAGS,
  MESSAGE_FRAME,
  MSG_PENDING,
  MSG_PENDING_SHIFT,
  SIMP,
} from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import { deliveredFrame } from '../synic/pages.js'
import { MODEL_QEMU } from '../synic/profile.js'
import { SPLIT_WRITTEN } from '../synic/split-delivery.js'
import { timerAt } from '../synic/stimer.js'

/** Frame of the message page, enabled or hidden; 0 where none was ever made. */
function messagePage(m: Machine, f: number): number {
  if (m.profile.model === MODEL_QEMU) return deliveredFrame(m, f)
  if (m.profile.pages !== 'ram') return m.w[f + MESSAGE_FRAME]
  return (m.w[f + SIMP] & PAGE_ENABLE) === 0 ? 0 : m.memory.frameAt(gpnOf(m.w[f + SIMP], m.w[f + SIMP + 1]))
}

/** Word of a slot: see SLOT_TYPE and its neighbours. */
export function slotWord(m: Machine, f: number, sint: number, word: number): number {
  const frame = messagePage(m, f)
  return frame === 0 ? 0 : m.memory.chunk(frame)[m.memory.offset(frame) + sint * SLOT_WORDS + word]
}

export const slotTypeOf = (m: Machine, f: number, sint: number) => slotWord(m, f, sint, SLOT_TYPE)

/**
 * The lowest flag set in a SINT's area, or -1. `gpn` is where the page lay, for pages in plain RAM.
 * @param from flags below are left out: none but 0 and 1
 */
export function lowestFlag(m: Machine, f: number, sint: number, gpn: number, from: 0 | 1 = 0): number {
  const frame = m.profile.pages === 'ram' ? m.memory.frameAt(gpn) : m.w[f + EVENT_FRAME]
  if (frame === 0) return -1
  const start = m.memory.offset(frame) + flagWord(sint, 0)
  const chunk = m.memory.chunk(frame)
  for (let i = 0; i < FLAGS_PER_SINT / 32; i++) {
    const word = i === 0 ? chunk[start] & ~from : chunk[start + i]
    if (word !== 0) return 32 * i + 31 - Math.clz32(word & -word)
  }
  return -1
}

/** Does a message wait for this slot: queued, staged, half delivered, or a timer's? */
export function isAwaited(m: Machine, f: number, sint: number): boolean {
  const key = m.queueKey(f, sint)
  if (m.queues.has(key) || (m.qemuRoutes.get(key)?.staged ?? null) !== null) return true
  if (m.splits.some((each) => each.f === f && each.sint === sint && each.state !== SPLIT_WRITTEN)) return true
  if (m.rowOfFile(f) !== f || (m.w[f + FLAGS] & MSG_PENDING) === 0) return false
  for (let i = 0; i < STIMER_COUNT; i++) {
    const config = m.w[timerAt(f, i) + CONFIG]
    const waits = ((m.w[f + FLAGS] >> (MSG_PENDING_SHIFT + i)) & 1) !== 0
    if (waits && (config & STIMER_DIRECT) === 0 && stimerSint(config) === sint) return true
  }
  return false
}
