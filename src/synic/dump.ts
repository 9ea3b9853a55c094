/** `synic.dump`: one vCPU's SynIC as the golden traces write it. */
import { bitsSet, gpnOf, setBit, toBigInt } from '../hv/bits.js'
import { hexOfBytes } from '../hv/hex.js'
import { SLOT_WORDS } from '../hv/messages.js'
import {
  FIRST_VALID_VECTOR,
  PAGE_ENABLE,
  SINT_AUTO_EOI,
  SINT_COUNT,
  SINT_MASKED,
  SINT_VECTOR,
} from '../hv/registers.js'
import {
  AUTO_EOI_VECTORS,
  CONFIG,
  COUNT,
  EXP_TIME,
  FLAGS,
  IRR,
  ISR,
  MSG_PENDING_SHIFT,
  NESTED_FILE,
  SCONTROL,
  SIEFP,
  SIMP,
  SINTS,
  SIRBP,
  SVERSION,
} from './layout.js'
import type { Machine } from './machine.js'
import { isAccessible, visibleFrame } from './pages.js'
import { sintGsi } from './sint.js'
import { timerAt } from './stimer.js'

export interface PageDump {
  gpa: string
  readable: boolean
  slots: { sint: number; hex: string }[]
}

export interface FileDump {
  active: boolean
  scontrol: string
  sversion: string
  siefp: string
  simp: string
  sints: string[]
  sint_to_gsi: number[]
  vectors: number[]
  auto_eoi_vectors: number[]
  msg_page: PageDump | null
  evt_page: PageDump | null
  sirbp?: string
}

export interface TimerDump {
  config: string
  count: string
  exp_time: string
  msg_pending: boolean
}

export interface SynicDump extends FileDump {
  stimers: TimerDump[]
  irr: number[]
  isr: number[]
  nested?: FileDump
}

/** A u64 as the wire writes it: lower-case hex without leading zeros. */
export function hex64(words: Int32Array, at: number): string {
  return `0x${toBigInt(words[at], words[at + 1]).toString(16)}`
}

function dumpPage(m: Machine, register: number): PageDump | null {
  const lo = m.w[register]
  if ((lo & PAGE_ENABLE) === 0) return null
  const gpn = gpnOf(lo, m.w[register + 1])
  const page: PageDump = {
    gpa: `0x${(BigInt(gpn) << 12n).toString(16)}`,
    readable: isAccessible(m, gpn),
    slots: [],
  }
  if (!page.readable) return page
  const view = m.memory.view(visibleFrame(m, gpn))
  for (let sint = 0; sint < SINT_COUNT; sint++) {
    const slot = view.subarray(sint * SLOT_WORDS, (sint + 1) * SLOT_WORDS)
    if (slot.every((word) => word === 0)) continue
    page.slots.push({ sint, hex: hexOfBytes(new Uint8Array(slot.buffer, slot.byteOffset, slot.byteLength)) })
  }
  return page
}

/** Vectors some unmasked SINT has; with `auto`, some unmasked auto-EOI SINT. */
function vectorsOf(m: Machine, f: number, auto: boolean): number[] {
  const bitmap = new Int32Array(8)
  for (let sint = 0; sint < SINT_COUNT; sint++) {
    const lo = m.w[f + SINTS + 2 * sint]
    const vector = lo & SINT_VECTOR
    if ((lo & SINT_MASKED) !== 0 || vector < FIRST_VALID_VECTOR) continue
    if (!auto || (lo & SINT_AUTO_EOI) !== 0) setBit(bitmap, 0, vector)
  }
  return bitsSet(bitmap, 0)
}

function dumpFile(m: Machine, f: number): FileDump {
  const sints = Array.from({ length: SINT_COUNT }, (_, sint) => sint)
  return {
    active: m.isActive(f),
    scontrol: hex64(m.w, f + SCONTROL),
    sversion: hex64(m.w, f + SVERSION),
    siefp: hex64(m.w, f + SIEFP),
    simp: hex64(m.w, f + SIMP),
    sints: sints.map((sint) => hex64(m.w, f + SINTS + 2 * sint)),
    sint_to_gsi: sints.map((sint) => sintGsi(m, f, sint)),
    vectors: vectorsOf(m, f, false),
    // On KVM the bitmap itself, so that a bookkeeping error would show.
    auto_eoi_vectors: m.profile.kvm ? bitsSet(m.w, f + AUTO_EOI_VECTORS) : vectorsOf(m, f, true),
    msg_page: dumpPage(m, f + SIMP),
    evt_page: dumpPage(m, f + SIEFP),
    ...(m.profile.microsoftRegisters && f % m.stride === 0 ? { sirbp: hex64(m.w, f + SIRBP) } : {}),
  }
}

/** Everything about one vCPU's SynIC, timers and APIC vectors; looks, changes nothing. */
export function dumpSynic(m: Machine, v: number): SynicDump {
  const { w } = m
  const stimers = [0, 1, 2, 3].map((i) => ({
    config: hex64(w, timerAt(v, i) + CONFIG),
    count: hex64(w, timerAt(v, i) + COUNT),
    exp_time: hex64(w, timerAt(v, i) + EXP_TIME),
    msg_pending: ((w[v + FLAGS] >> (MSG_PENDING_SHIFT + i)) & 1) !== 0,
  }))
  return {
    ...dumpFile(m, v),
    stimers,
    irr: bitsSet(w, v + IRR),
    isr: bitsSet(w, v + ISR),
    ...(m.nested ? { nested: dumpFile(m, v + NESTED_FILE) } : {}),
  }
}
