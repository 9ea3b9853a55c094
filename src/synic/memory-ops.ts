/** Guest memory as the vCPUs and the VMM see it, overlays included; and what guests do to slots in it. */
import { gpnOf } from '../hv/bits.js'
import { EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM } from '../hv/errno.js'
import { MEMORY_OP_BYTES_MAX, PAGE_CLAIMS_MAX } from '../hv/limits.js'
import { HVMSG_NONE, MESSAGE_PENDING, SLOT_SIZE_FLAGS, SLOT_TYPE, SLOT_WORDS } from '../hv/messages.js'
import { PAGE_ENABLE } from '../hv/registers.js'
import { EFFECT_FREED } from './effects.js'
import { SIMP } from './layout.js'
import type { Machine } from './machine.js'
import { slotAt } from './message-slot.js'
import {
  guestFrame,
  isAccessible,
  isOverlaid,
  MESSAGE_PAGE,
  messageFrame,
  visibleFrame,
  writableVisibleFrame,
} from './pages.js'
import { ringMatching } from './ports.js'

const PAGE_BYTES = 4096

/** Is all of [gpa, gpa + bytes) memory? */
function inMemory(m: Machine, lo: number, hi: number, bytes: number): boolean {
  const first = gpnOf(lo, hi)
  const last = first + Math.floor(((lo & 0xfff) + Math.max(bytes, 1) - 1) / PAGE_BYTES)
  for (let gpn = first; gpn <= last; gpn++) if (!isAccessible(m, gpn)) return false
  return true
}

/** Calls `visit` for each page of a range, with the part of it that lies there. */
function eachPage(
  lo: number,
  hi: number,
  bytes: number,
  visit: (gpn: number, at: number, n: number, done: number) => void,
): void {
  let gpn = gpnOf(lo, hi)
  let at = lo & 0xfff
  for (let done = 0; done < bytes; gpn++) {
    const n = Math.min(PAGE_BYTES - at, bytes - done)
    visit(gpn, at, n, done)
    done += n
    at = 0
  }
}

/** `count` words at an address that is 4-aligned, or undefined where there is no memory. */
export function readWords(m: Machine, lo: number, hi: number, count: number): Int32Array | undefined {
  const bytes = readBytes(m, lo, hi, count * 4)
  return bytes === undefined ? undefined : new Int32Array(bytes.buffer, 0, count)
}

function readBytes(m: Machine, lo: number, hi: number, bytes: number): Uint8Array | undefined {
  if (!inMemory(m, lo, hi, bytes)) return undefined
  const out = new Uint8Array(bytes)
  eachPage(lo, hi, bytes, (gpn, at, n, done) => {
    const view = m.memory.view(visibleFrame(m, gpn))
    out.set(new Uint8Array(view.buffer, view.byteOffset + at, n), done)
  })
  return out
}

/** `mem.read`: whole or not at all. */
export function memRead(m: Machine, lo: number, hi: number, bytes: number): void {
  if (bytes < 0 || bytes > MEMORY_OP_BYTES_MAX) return m.effects.fail(EINVAL)
  const out = readBytes(m, lo, hi, bytes)
  if (out === undefined) return m.effects.fail(EFAULT)
  m.effects.setBytes(out)
}

/**
 * `mem.write`: whole or not at all. Rings doorbells; a slot whose type becomes zero was freed by the guest.
 */
export function memWrite(
  m: Machine,
  lo: number,
  hi: number,
  bytes: number,
  words: Int32Array,
  from: number,
  host: boolean,
): void {
  const source = new Uint8Array(words.buffer, words.byteOffset + from * 4, bytes)
  const errno = store(m, lo, hi, source)
  if (errno !== 0) m.effects.fail(errno)
  else if (!host) ring(m, lo, hi, source)
}

function store(m: Machine, lo: number, hi: number, source: Uint8Array): number {
  const bytes = source.length
  if (!inMemory(m, lo, hi, bytes)) return EFAULT
  let missing = 0
  eachPage(lo, hi, bytes, (gpn) => {
    // What an overlay takes is no guest RAM.
    if (m.memory.frameAt(gpn) === 0 && !isOverlaid(m, gpn)) missing++
  })
  if (missing > 0 && m.memory.pageCount + missing > m.config.memoryPagesMax) return ENOMEM
  const full = m.synicPages.size > 0 ? fullSlots(m, lo, hi, bytes) : []
  eachPage(lo, hi, bytes, (gpn, at, n, done) => {
    const page = m.memory.bytes(writableVisibleFrame(m, gpn))
    page.set(source.subarray(done, done + n), at)
  })
  for (const slot of full) noteFreed(m, slot)
  return 0
}

/** A guest's store of one, two, four or eight bytes may be a doorbell. */
function ring(m: Machine, lo: number, hi: number, source: Uint8Array): void {
  const bytes = source.length
  if (m.doorbells === 0 || (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8)) return
  const value = new Int32Array(2)
  new Uint8Array(value.buffer).set(source)
  ringMatching(m, lo, hi, value[0], value[1], bytes)
}

interface OccupiedSlot {
  readonly f: number
  readonly sint: number
  readonly type: number
}

/** Slots in the range that hold a message now, of the message pages mapped there. */
function fullSlots(m: Machine, lo: number, hi: number, bytes: number): OccupiedSlot[] {
  const slots: OccupiedSlot[] = []
  eachPage(lo, hi, bytes, (gpn, at, n) => {
    for (const key of m.synicPages.get(gpn) ?? []) {
      if ((key & 1) !== MESSAGE_PAGE) continue
      const f = key >> 1
      const view = m.memory.view(visibleFrame(m, gpn))
      for (let sint = at >> 8; sint <= (at + n - 1) >> 8; sint++) {
        const type = view[sint * SLOT_WORDS + SLOT_TYPE]
        if (type !== HVMSG_NONE) slots.push({ f, sint, type })
      }
    }
  })
  return slots
}

function noteFreed(m: Machine, slot: OccupiedSlot): void {
  const { f, sint, type } = slot
  const gpn = gpnOf(m.w[f + SIMP], m.w[f + SIMP + 1])
  const view = m.memory.view(visibleFrame(m, gpn))
  if (view[sint * SLOT_WORDS + SLOT_TYPE] !== HVMSG_NONE) return
  m.effects.push(EFFECT_FREED, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint, 0), type)
}

/**
 * `mem.cas` and `mem.xchg`: one atomic guest step on 1, 4 or 8 bytes; result `value` is the old content.
 * @param expect lo, hi of what must stand there, or null to exchange always
 */
export function memExchange(
  m: Machine,
  lo: number,
  hi: number,
  bytes: number,
  expect: readonly [number, number] | null,
  valueLo: number,
  valueHi: number,
  host: boolean,
): void {
  if (bytes !== 1 && bytes !== 4 && bytes !== 8) return m.effects.fail(EINVAL)
  const old = readBytes(m, lo, hi, bytes)
  if (old === undefined) return m.effects.fail(EFAULT)
  const halves = new Int32Array(2)
  new Uint8Array(halves.buffer).set(old)
  if (expect === null || (halves[0] === expect[0] && halves[1] === expect[1])) {
    const stored = new Uint8Array(Int32Array.of(valueLo, valueHi).buffer, 0, bytes)
    const errno = store(m, lo, hi, stored)
    if (errno !== 0) return m.effects.fail(errno)
    // A doorbell is the child's store (TLFS HvConnectPort); the VMM writes past it.
    if (!host) ring(m, lo, hi, stored)
  }
  m.effects.value(halves[0], halves[1])
}

/**
 * `message.complete`: the guest empties its slot, then reads the pending flag. Result `value` is the type it
 * freed.
 * @returns true if the flag was set, so that EOM follows
 */
export function freeSlot(m: Machine, f: number, sint: number): boolean {
  const { effects, w } = m
  if ((w[f + SIMP] & PAGE_ENABLE) === 0) {
    effects.fail(ENOENT)
    return false
  }
  const frame = guestMessageFrame(m, f)
  if (frame === 0) {
    effects.fail(EFAULT)
    return false
  }
  const chunk = m.memory.chunk(frame)
  const at = slotAt(m, frame, sint)
  const type = chunk[at + SLOT_TYPE]
  effects.value(type, 0)
  if (type !== HVMSG_NONE) {
    chunk[at + SLOT_TYPE] = HVMSG_NONE
    effects.push(EFFECT_FREED, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint, 0), type)
  }
  return (chunk[at + SLOT_SIZE_FLAGS] & MESSAGE_PENDING) !== 0
}

/** The page the guest finds at its SIMP's address: with two overlays there, not always its own. */
function guestMessageFrame(m: Machine, f: number): number {
  if (m.profile.pages === 'ram') return messageFrame(m, f)
  return guestFrame(m, gpnOf(m.w[f + SIMP], m.w[f + SIMP + 1]))
}

/** `page.claim`: an actor's allocator hands out a page. */
export function claimPage(m: Machine, lo: number, hi: number, actor: string): void {
  const gpn = gpnOf(lo, hi)
  if (m.pageHolders.has(gpn)) return m.effects.fail(EEXIST)
  if (!isAccessible(m, gpn)) return m.effects.fail(EFAULT)
  if (m.pageHolders.size >= PAGE_CLAIMS_MAX) return m.effects.fail(ENOMEM)
  m.pageHolders.set(gpn, actor)
}

export function freePage(m: Machine, lo: number, hi: number): void {
  if (!m.pageHolders.delete(gpnOf(lo, hi))) m.effects.fail(ENOENT)
}
