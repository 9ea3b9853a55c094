/**
 * SINT registers: writing, asserting, acknowledging (KVM hyperv.c: synic_set_irq, kvm_hv_notify_acked_sint).
 */
import { clearBit, setBit, testBit } from '../hv/bits.js'
import { EINVAL, ENOENT } from '../hv/errno.js'
import {
  FIRST_VALID_VECTOR,
  SINT_AS_INTERCEPT,
  SINT_AUTO_EOI,
  SINT_COUNT,
  SINT_MASKED,
  SINT_POLLING,
  SINT_VECTOR,
  STIMER_COUNT,
  STIMER_DIRECT,
  STIMER_ENABLE,
  stimerSint,
} from '../hv/registers.js'
import { accept } from './apic.js'
import { EFFECT_LOST, type Source } from './effects.js'
import { notifyGsi } from './gsi-routes.js'
import {
  AUTO_EOI_VECTORS,
  CONFIG,
  FLAGS,
  LOW_MASK,
  MSG_PENDING,
  MSG_PENDING_SHIFT,
  SINT_MASKS,
  SINT_TO_GSI,
  SINTS,
  TIMER_PENDING_SHIFT,
  TIMER_WORDS,
  TIMERS,
  VECTORS,
} from './layout.js'
import type { Machine } from './machine.js'
import { MODEL_OPENVMM, MODEL_TLFS } from './profile.js'
import { acknowledgeSplit } from './split-delivery.js'
import { postSintIntercept, tryDeliver } from './tlfs.js'

/** A word of links, two SINTs', while neither has any. */
const NO_GSIS = -1
const BITMAP_FIELDS = SINT_VECTOR | SINT_MASKED | SINT_AUTO_EOI

/** KVM synic_set_sint; the profile says which vectors fault. Returns false for #GP. */
export function writeSint(
  m: Machine,
  f: number,
  sint: number,
  lo: number,
  hi: number,
  host: boolean,
): boolean {
  const w = m.w
  const unmasked = (lo & SINT_MASKED) === 0
  const low = (lo & SINT_VECTOR) < FIRST_VALID_VECTOR
  if (low && unmasked && !host && m.profile.lowVectorFaults) return false
  const at = f + SINTS + 2 * sint
  const old = w[at]
  w[at] = lo
  w[at + 1] = hi
  if (((old ^ lo) & BITMAP_FIELDS) !== 0) {
    // A masked SINT counts for no vector, so only what was or is unmasked can change a bitmap.
    if ((old & SINT_MASKED) === 0) recomputeVector(m, f, old & SINT_VECTOR)
    if (unmasked) enterVector(m, f, lo)
  }
  // A host that restores registers delivers nothing by it.
  const retries = m.options.masked_blocks_messages && m.profile.model === MODEL_TLFS && !host
  if (retries && unmasked) tryDeliver(m, f, sint)
  return true
}

/**
 * KVM synic_update_vector: which vectors end with a SynIC acknowledgement, which without EOI at all. A SINT
 * left the vector or changed on it: look whether another one still has it.
 */
function recomputeVector(m: Machine, f: number, vector: number): void {
  if (vector < FIRST_VALID_VECTOR) return
  const w = m.w
  const wasAuto = testBit(w, f + AUTO_EOI_VECTORS, vector)
  let connected = false
  let auto = false
  for (let at = f + SINTS; at < f + SINTS + 2 * SINT_COUNT; at += 2) {
    const lo = w[at]
    if ((lo & (SINT_VECTOR | SINT_MASKED)) !== vector) continue
    connected = true
    auto = (lo & SINT_AUTO_EOI) !== 0
    if (auto || !wasAuto) break
  }
  if (!connected) clearBit(w, f + VECTORS, vector)
  if (wasAuto && !auto) setAutoEoi(m, f, vector, false)
}

/** The other half: an unmasked SINT now has this vector. */
function enterVector(m: Machine, f: number, lo: number): void {
  const vector = lo & SINT_VECTOR
  if (vector < FIRST_VALID_VECTOR) return
  setBit(m.w, f + VECTORS, vector)
  if ((lo & SINT_AUTO_EOI) !== 0 && !testBit(m.w, f + AUTO_EOI_VECTORS, vector))
    setAutoEoi(m, f, vector, true)
}

/**
 * APICv is inhibited while any vCPU has an auto-EOI vector. OpenVMM decides auto-EOI at each request instead.
 */
function setAutoEoi(m: Machine, f: number, vector: number, auto: boolean): void {
  if (m.profile.model === MODEL_OPENVMM) return
  const was = usesAutoEoi(m, f)
  if (auto) setBit(m.w, f + AUTO_EOI_VECTORS, vector)
  else clearBit(m.w, f + AUTO_EOI_VECTORS, vector)
  const is = usesAutoEoi(m, f)
  if (was !== is) m.autoEoiUsers += is ? 1 : -1
}

function usesAutoEoi(m: Machine, f: number): boolean {
  for (let i = 0; i < 8; i++) if (m.w[f + AUTO_EOI_VECTORS + i] !== 0) return true
  return false
}

/**
 * Ask for a SINT's interrupt (KVM synic_set_irq). 1 accepted, 0 dropped by the APIC, -2 masked: the edge is
 * lost and nothing remembers it. Page registers and SCONTROL are not looked at.
 */
export function assertSint(m: Machine, f: number, sint: number, source: Source): number {
  const lo = m.w[f + SINTS + 2 * sint]
  if ((lo & SINT_MASKED) !== 0) return lost(m, f, sint, source, ENOENT)
  if ((lo & SINT_POLLING) !== 0 && m.profile.honoursPolling) return 1
  if ((lo & SINT_AS_INTERCEPT) !== 0 && m.profile.honoursIntercept && sint !== 0) {
    return postSintIntercept(m, f, sint)
  }
  const v = m.rowOfFile(f)
  const vector = lo & SINT_VECTOR
  const autoEoi = (lo & SINT_AUTO_EOI) !== 0
  if (accept(m, v, vector, m.sintWord(f, sint, source), autoEoi) === 0) return lost(m, f, sint, source, 0)
  return 1
}

function lost(m: Machine, f: number, sint: number, source: Source, code: number): number {
  m.effects.push(EFFECT_LOST, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint, source), code)
  return code
}

/** KVM kvm_hv_synic_set_irq: a SINT named by VP index, as routes do. */
export function setIrq(m: Machine, vp: number, sint: number, source: Source): number {
  const v = m.rowOfVp(vp)
  if (v < 0 || !m.isActive(v) || sint < 0 || sint >= SINT_COUNT) return EINVAL
  return assertSint(m, v, sint, source)
}

/** Does anything hear of this file's acknowledgements? Usually not, or only the SINTs with a GSI do. */
function listeners(m: Machine, f: number): number {
  const waits = (m.w[m.rowOfFile(f) + FLAGS] & MSG_PENDING) !== 0 || m.splits.length > 0
  return waits ? LOW_MASK : m.w[f + SINT_MASKS] & LOW_MASK
}

/** KVM kvm_hv_synic_send_eoi: every unmasked SINT with this vector is acknowledged, ascending. */
export function acknowledgeVector(m: Machine, f: number, vector: number): void {
  const hear = listeners(m, f)
  for (let sint = 0; hear >> sint !== 0; sint++) {
    const has = (m.w[f + SINTS + 2 * sint] & (SINT_VECTOR | SINT_MASKED)) === vector
    if (has && ((hear >> sint) & 1) !== 0) acknowledge(m, f, sint)
  }
}

/** KVM's EOM: every SINT is acknowledged, masked ones too, ascending. */
export function acknowledgeAll(m: Machine, f: number): void {
  const hear = listeners(m, f)
  for (let sint = 0; hear >> sint !== 0; sint++) {
    if (((hear >> sint) & 1) !== 0) acknowledge(m, f, sint)
  }
}

/** KVM kvm_hv_notify_acked_sint. Nothing is checked: neither slot, nor delivery, nor SCONTROL. */
function acknowledge(m: Machine, f: number, sint: number): void {
  const w = m.w
  const v = m.rowOfFile(f)
  const waiting = (w[v + FLAGS] & MSG_PENDING) >> MSG_PENDING_SHIFT
  for (let i = 0; waiting >> i !== 0 && i < STIMER_COUNT; i++) {
    const config = w[v + TIMERS + i * TIMER_WORDS + CONFIG]
    const retries =
      (config & (STIMER_ENABLE | STIMER_DIRECT)) === STIMER_ENABLE && stimerSint(config) === sint
    if (((waiting >> i) & 1) !== 0 && retries) {
      w[v + FLAGS] |= 1 << (TIMER_PENDING_SHIFT + i)
      m.listForTimers(v)
    }
  }
  if (m.splits.length > 0) acknowledgeSplit(m, f, sint)
  const gsi = sintGsi(m, f, sint)
  if (gsi >= 0) notifyGsi(m, gsi)
}

/**
 * Outside KVM, where SINTs have no GSIs of their own, a routed one still hears of each EOI. Links outlive
 * their table while an interrupt is under way, so they are asked and not the table.
 */
export function notifyVector(m: Machine, f: number, vector: number): void {
  for (let sint = 0; sint < SINT_COUNT; sint += 2) {
    if (m.w[f + SINT_TO_GSI + (sint >> 1)] === NO_GSIS) continue
    notifyRouted(m, f, sint, vector)
    notifyRouted(m, f, sint + 1, vector)
  }
}

function notifyRouted(m: Machine, f: number, sint: number, vector: number): void {
  const gsi = sintGsi(m, f, sint)
  if (gsi < 0 || (m.w[f + SINTS + 2 * sint] & (SINT_VECTOR | SINT_MASKED)) !== vector) return
  notifyGsi(m, gsi)
  // The link of a route that went while its interrupt was in service has done its duty.
  const stands = m.routed[gsi] === 1 && m.routes[2 * gsi + 1] === sint && m.rowOfVp(m.routes[2 * gsi]) === f
  if (!stands) setSintGsi(m, f, sint, -1)
}

/** GSI that hears of this SINT's acknowledgements, or -1. Stored as s16, two to a word. */
export function sintGsi(m: Machine, f: number, sint: number): number {
  return (m.w[f + SINT_TO_GSI + (sint >> 1)] << ((sint & 1) === 0 ? 16 : 0)) >> 16
}

export function setSintGsi(m: Machine, f: number, sint: number, gsi: number): void {
  const at = f + SINT_TO_GSI + (sint >> 1)
  const shift = (sint & 1) << 4
  m.w[at] = (m.w[at] & ~(0xffff << shift)) | ((gsi & 0xffff) << shift)
  // Elsewhere than on KVM the mask has another meaning.
  if (!m.profile.kvm) return
  if (gsi < 0) m.w[f + SINT_MASKS] &= ~(1 << sint)
  else m.w[f + SINT_MASKS] |= 1 << sint
}
