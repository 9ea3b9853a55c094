/** Event rings in the SIRBP page, the producer's side (inferred from Linux mshv_synic.c). */
import { gpnOf } from '../hv/bits.js'
import { PAGE_ENABLE, SINT_COUNT, SINT_DOORBELL } from '../hv/registers.js'
import { EFFECT_DOORBELL, FROM_EVENT } from './effects.js'
import { SIRBP } from './layout.js'
import type { Machine } from './machine.js'
import { hasRoom, isBacked, writableVisibleFrame } from './pages.js'
import { assertSint } from './sint.js'

const RING_WORDS = 64
const RING_ENTRIES = 63
/** First word of a ring: byte 0 signal_masked, byte 1 ring_full. */
const SIGNAL_MASKED = 0xff
const RING_FULL = 0x100

/** The producer's private state of one ring. */
export interface EventRing {
  head: number
  /** Port ids that found the ring full, in order. */
  readonly waiting: number[]
}

/** Entries that may wait behind a full ring; a doorbell beyond is already implied by those before it. */
const WAITING_MAX = 4096

function ringOf(m: Machine, f: number, sint: number): EventRing {
  const key = m.queueKey(f, sint)
  let ring = m.rings.get(key)
  if (ring === undefined) {
    ring = { head: 0, waiting: [] }
    m.rings.set(key, ring)
  }
  return ring
}

/** The rings of a register file begin anew. */
export function forgetRings(m: Machine, f: number): void {
  for (let sint = 0; sint < SINT_COUNT; sint++) m.rings.delete(m.queueKey(f, sint))
}

/** Word in the chunk where a ring begins, and its chunk; undefined if SIRBP is off or without memory. */
function ringWords(m: Machine, f: number, sint: number): { chunk: Int32Array; at: number } | undefined {
  if ((m.w[f + SIRBP] & PAGE_ENABLE) === 0) return undefined
  const gpn = gpnOf(m.w[f + SIRBP], m.w[f + SIRBP + 1])
  if (!isBacked(m, gpn) || !hasRoom(m, gpn)) return undefined
  const frame = writableVisibleFrame(m, gpn)
  return { chunk: m.memory.chunk(frame), at: m.memory.offset(frame) + sint * RING_WORDS }
}

/** A doorbell was rung: append its port id to SINT5's ring and notify. False if there is no ring. */
export function ringDoorbell(m: Machine, f: number, port: number): boolean {
  const place = ringWords(m, f, SINT_DOORBELL)
  if (place === undefined) return false
  m.effects.push(EFFECT_DOORBELL, port)
  const ring = ringOf(m, f, SINT_DOORBELL)
  if (!append(ring, place.chunk, place.at, port)) {
    place.chunk[place.at] |= RING_FULL
    if (ring.waiting.length < WAITING_MAX) ring.waiting.push(port)
  }
  if ((place.chunk[place.at] & SIGNAL_MASKED) === 0) assertSint(m, f, SINT_DOORBELL, FROM_EVENT)
  return true
}

function append(ring: EventRing, chunk: Int32Array, at: number, port: number): boolean {
  const entry = at + 1 + ring.head
  if (chunk[entry] !== 0) return false
  chunk[entry] = port
  ring.head = (ring.head + 1) % RING_ENTRIES
  return true
}

/** HvNotifyPortRingEmpty: the consumer made room; append what waited. */
export function refillRing(m: Machine, f: number, sint: number): void {
  const place = ringWords(m, f, sint)
  if (place === undefined) return
  const ring = ringOf(m, f, sint)
  let moved = 0
  while (moved < ring.waiting.length && append(ring, place.chunk, place.at, ring.waiting[moved])) moved++
  ring.waiting.splice(0, moved)
  // The consumer cleared ring_full before it called. What still waits is lost unless it calls again.
  if (ring.waiting.length > 0) place.chunk[place.at] |= RING_FULL
}
