/** Message slots and SynIC pages as they stand in memory, looked at without touching anything. */
import { gpnOf } from '../hv/bits.js'
import { SLOT_SIZE_FLAGS, SLOT_TYPE, SLOT_WORDS } from '../hv/messages.js'
import { SINT_COUNT } from '../hv/registers.js'
import { EVENT_FRAME, MESSAGE_FRAME, SIEFP, SIMP } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'

const PAGE_WORDS = 1024

/** Frame that holds a file's message page, wherever it lies; 0: nothing was ever written there. */
export function messageFrameOf(m: Machine, f: number): number {
  const frame = m.w[f + MESSAGE_FRAME]
  // A frame of its own is where the host writes; one shared with a fork may have been copied since.
  if (m.profile.pages !== 'ram' || frame >= m.memory.ownFrom) return frame
  return m.memory.frameAt(gpnOf(m.w[f + SIMP], m.w[f + SIMP + 1]))
}

export function eventFrameOf(m: Machine, f: number): number {
  if (m.profile.pages !== 'ram') return m.w[f + EVENT_FRAME]
  return m.memory.frameAt(gpnOf(m.w[f + SIEFP], m.w[f + SIEFP + 1]))
}

/** One word of a slot. */
function wordIn(m: Machine, frame: number, sint: number, word: number): number {
  return frame === 0 ? 0 : m.memory.chunk(frame)[m.memory.offset(frame) + sint * SLOT_WORDS + word]
}

export function typeIn(m: Machine, frame: number, sint: number): number {
  return wordIn(m, frame, sint, SLOT_TYPE)
}

/** Payload size and flags. */
export function flagsIn(m: Machine, frame: number, sint: number): number {
  return wordIn(m, frame, sint, SLOT_SIZE_FLAGS)
}

/** One bit a SINT whose slot holds a message. */
export function occupiedSlots(m: Machine, frame: number): number {
  let occupied = 0
  for (let sint = 0; sint < SINT_COUNT; sint++) if (typeIn(m, frame, sint) !== 0) occupied |= 1 << sint
  return occupied
}

/** Lowest SINT of such a mask. */
export function lowestOf(mask: number): number {
  return 31 - Math.clz32(mask & -mask)
}

/** A number that tells whether a page still holds the same: FNV-1a over its words. */
export function digestOf(m: Machine, frame: number): number {
  const words = m.memory.view(frame)
  let hash = 0x811c9dc5 | 0
  for (let i = 0; i < PAGE_WORDS; i++) hash = Math.imul(hash ^ words[i], 0x01000193)
  return hash
}

export function isZeroPage(m: Machine, frame: number): boolean {
  if (frame === 0) return true
  const words = m.memory.view(frame)
  for (let i = 0; i < PAGE_WORDS; i++) if (words[i] !== 0) return false
  return true
}
