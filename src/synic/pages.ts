/**
 * The message and event-flags pages: guest RAM on KVM, overlay pages elsewhere (TLFS "SIM Page", "SIEF
 * Page").
 */
import { gpnOf } from '../hv/bits.js'
import { PAGE_ENABLE } from '../hv/registers.js'
import { EVENT_FRAME, EVENT_MAP, MESSAGE_FRAME, MESSAGE_MAP, SIEFP, SIMP } from './layout.js'
import type { Machine } from './machine.js'
import { MODEL_QEMU } from './profile.js'

/** Which of a file's two pages; the number is part of keys in `Machine.synicPages`. */
export const MESSAGE_PAGE = 0
export const EVENT_PAGE = 1
export type SynicPage = typeof MESSAGE_PAGE | typeof EVENT_PAGE

const registerOf = (page: SynicPage) => (page === MESSAGE_PAGE ? SIMP : SIEFP)
const frameOf = (page: SynicPage) => (page === MESSAGE_PAGE ? MESSAGE_FRAME : EVENT_FRAME)
const mapOf = (page: SynicPage) => (page === MESSAGE_PAGE ? MESSAGE_MAP : EVENT_MAP)

/** Addresses are u64: the page after the last one is not the first. */
const GPN_LIMIT = 2 ** 52

/** Is there memory behind a guest page? With `pages_gpa_check` off, everywhere. */
export function isBacked(m: Machine, gpn: number): boolean {
  return gpn < m.config.gpaPages || (!m.options.pages_gpa_check && gpn < GPN_LIMIT)
}

/**
 * May guest RAM take a write here? A partition touches so many pages and no more; beyond, there is no memory.
 */
export function hasRoom(m: Machine, gpn: number): boolean {
  return m.memory.frameAt(gpn) !== 0 || m.memory.pageCount < m.config.memoryPagesMax
}

/** Frame of the message page, ready to be written; 0 if nothing can hold it. Enable bits are the caller's. */
export function messageFrame(m: Machine, f: number): number {
  const frame = m.w[f + MESSAGE_FRAME]
  return frame >= m.memory.ownFrom ? frame : resolveFrame(m, f, MESSAGE_PAGE)
}

/** Frame of the event-flags page, likewise. */
export function eventFrame(m: Machine, f: number): number {
  const frame = m.w[f + EVENT_FRAME]
  return frame >= m.memory.ownFrom ? frame : resolveFrame(m, f, EVENT_PAGE)
}

function resolveFrame(m: Machine, f: number, page: SynicPage): number {
  const cache = f + frameOf(page)
  if (m.profile.pages === 'ram') {
    const register = f + registerOf(page)
    const gpn = gpnOf(m.w[register], m.w[register + 1])
    if (!isBacked(m, gpn) || !hasRoom(m, gpn)) return 0
    m.w[cache] = m.memory.writableFrameAt(gpn)
  } else {
    m.w[cache] = m.memory.own(m.w[cache])
  }
  return m.w[cache]
}

/** GPN where a page of this file lies for the guest, or -1. */
export function mappedGpn(m: Machine, f: number, page: SynicPage): number {
  const at = f + mapOf(page)
  return gpnPlusOne(m, at) - 1
}

function gpnPlusOne(m: Machine, at: number): number {
  return (m.w[at + 1] >>> 0) * 0x1_0000_0000 + (m.w[at] >>> 0)
}

/**
 * A page register was stored: lay the page where it points now. KVM's pages are plain RAM, so only the
 * directory of SynIC pages changes. QEMU takes GPA 0 for "none" (hyperv_x86_synic_update).
 */
export function remap(m: Machine, f: number, page: SynicPage): void {
  const register = f + registerOf(page)
  let gpn = (m.w[register] & PAGE_ENABLE) === 0 ? -1 : gpnOf(m.w[register], m.w[register + 1])
  if (m.profile.model === MODEL_QEMU && gpn === 0) gpn = -1
  if (m.profile.pages === 'ram') m.w[f + frameOf(page)] = 0
  const old = mappedGpn(m, f, page)
  if (old === gpn) return
  if (old >= 0) unmap(m, f, page, old)
  const at = f + mapOf(page)
  m.w[at] = ((gpn + 1) % 0x1_0000_0000) | 0
  m.w[at + 1] = Math.floor((gpn + 1) / 0x1_0000_0000) | 0
  if (gpn >= 0) {
    const key = f * 2 + page
    const keys = m.synicPages.get(gpn)
    if (keys === undefined) m.synicPages.set(gpn, [key])
    else keys.push(key)
  }
}

function unmap(m: Machine, f: number, page: SynicPage, gpn: number): void {
  const keys = m.synicPages.get(gpn) as number[]
  const key = f * 2 + page
  if (m.profile.pages === 'overwriting-overlay' && keys.at(-1) === key) {
    // OpenVMM laid the overlay over guest RAM by copying; what was there last stays (openvmm pages.rs).
    const ram = m.memory.writableFrameAt(gpn)
    m.memory.bytes(ram).set(viewBytes(m, m.w[f + frameOf(page)]))
  }
  keys.splice(keys.indexOf(key), 1)
  if (keys.length === 0) m.synicPages.delete(gpn)
}

function viewBytes(m: Machine, frame: number): Uint8Array {
  const view = m.memory.view(frame)
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

/** Reset: overlays come back zero; on KVM the RAM underneath is the guest's business. */
export function dropContent(m: Machine, f: number, page: SynicPage): void {
  const frame = m.w[f + frameOf(page)]
  // An own frame is used again: frames are never given back, and resets may be many.
  if (m.profile.pages !== 'ram' && frame >= m.memory.ownFrom) m.memory.bytes(frame).fill(0)
  else m.w[f + frameOf(page)] = 0
}

/** Frame the guest sees at a page: the newest overlay there, else its RAM. 0 = zero page. */
export function visibleFrame(m: Machine, gpn: number): number {
  const key = overlayAt(m, gpn)
  return key < 0 ? m.memory.frameAt(gpn) : m.w[frameWord(key)]
}

/**
 * Frame where the message delivered last to this file stands. KVM may have written past QEMU's overlay, to
 * GPA 0.
 */
export function deliveredFrame(m: Machine, f: number): number {
  if (m.profile.model !== MODEL_QEMU || mappedGpn(m, f, MESSAGE_PAGE) >= 0) return m.w[f + MESSAGE_FRAME]
  return visibleFrame(m, gpnOf(m.w[f + SIMP], m.w[f + SIMP + 1]))
}

/** The same frame, ready to be written. */
export function writableVisibleFrame(m: Machine, gpn: number): number {
  const key = overlayAt(m, gpn)
  if (key < 0) return m.memory.writableFrameAt(gpn)
  return (key & 1) === MESSAGE_PAGE ? messageFrame(m, key >> 1) : eventFrame(m, key >> 1)
}

/** The same, or 0 where the guest has no memory or may touch no more of it. */
export function guestFrame(m: Machine, gpn: number): number {
  if (!isAccessible(m, gpn) || !(isOverlaid(m, gpn) || hasRoom(m, gpn))) return 0
  return writableVisibleFrame(m, gpn)
}

/** Does an overlay lie over guest RAM here? */
export function isOverlaid(m: Machine, gpn: number): boolean {
  return overlayAt(m, gpn) >= 0
}

function overlayAt(m: Machine, gpn: number): number {
  if (m.profile.pages === 'ram' || m.synicPages.size === 0) return -1
  return m.synicPages.get(gpn)?.at(-1) ?? -1
}

function frameWord(key: number): number {
  return (key >> 1) + frameOf((key & 1) as SynicPage)
}

/**
 * May the guest touch this page at all? QEMU's overlays are memory wherever they lie (docs/profiles.md row
 * 29).
 */
export function isAccessible(m: Machine, gpn: number): boolean {
  if (isBacked(m, gpn)) return true
  return m.profile.model === MODEL_QEMU && m.synicPages.has(gpn)
}
