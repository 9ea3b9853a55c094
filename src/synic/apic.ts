/** The local APIC as far as fixed, edge-triggered interrupts need it (KVM lapic.c). */
import { highestBit, setBit, testBit } from '../hv/bits.js'
import { FIRST_VALID_VECTOR } from '../hv/registers.js'
import { EFFECT_IRQ, EFFECT_LOST, EFFECT_WAKE, FROM_TIMER, NO_SINT, sintWord } from './effects.js'
import { APIC_ENABLED, AUTO_EOI_VECTORS, FLAGS, HALTED, IRR, ISR, NESTED_FILE, TPR } from './layout.js'
import type { Machine } from './machine.js'
import { MODEL_OPENVMM } from './profile.js'

const PRIORITY_CLASS = 0xf0

/** __apic_update_ppr, class bits only: the higher of TPR and the highest vector in service. */
function processorPriority(m: Machine, v: number): number {
  const inService = highestBit(m.w, v + ISR)
  const isr = inService < 0 ? 0 : inService & PRIORITY_CLASS
  const tpr = m.w[v + TPR] & PRIORITY_CLASS
  return tpr >= isr ? tpr : isr
}

/**
 * Accept a fixed, edge-triggered vector (__apic_accept_irq). Returns 1, also when the vector was already
 * requested, or 0 when the APIC is off: the request is lost.
 * @param sourceWord who asks, as in the irq effect
 * @param autoEoi the request says that no EOI will come; only SINTs ask so
 */
export function accept(m: Machine, v: number, vector: number, sourceWord: number, autoEoi = false): 0 | 1 {
  const w = m.w
  const flags = w[v + FLAGS]
  if ((flags & APIC_ENABLED) === 0) return 0
  // OpenVMM and the Microsoft hypervisor drop exception vectors; KVM lets them rest in IRR for ever.
  if (vector < FIRST_VALID_VECTOR && !m.profile.kvm) return 0
  setBit(w, v + IRR, vector)
  if (m.profile.model === MODEL_OPENVMM) noteRequestedAutoEoi(m, v, vector, autoEoi)
  m.effects.push(EFFECT_IRQ, m.vcpuId(v), vector, sourceWord)
  if ((flags & HALTED) !== 0 && (vector & PRIORITY_CLASS) > processorPriority(m, v)) wake(m, v)
  return 1
}

/** The interrupt of a direct timer; one that the APIC does not take is lost, and said to be. */
export function acceptTimer(m: Machine, v: number, vector: number, timer: number): 0 | 1 {
  const source = directSource(FROM_TIMER, timer)
  const accepted = accept(m, v, vector, source)
  if (accepted === 0) m.effects.push(EFFECT_LOST, m.vcpuId(v), source, 0)
  return accepted
}

export function wake(m: Machine, v: number): void {
  m.w[v + FLAGS] &= ~HALTED
  m.effects.push(EFFECT_WAKE, m.vcpuId(v))
}

/** Highest requested vector the processor would take now, or -1. */
export function deliverable(m: Machine, v: number): number {
  const vector = highestBit(m.w, v + IRR)
  if (vector < 0 || (vector & PRIORITY_CLASS) <= processorPriority(m, v)) return -1
  return vector
}

/** Take the highest deliverable vector (kvm_get_apic_interrupt); -1 if none. */
export function take(m: Machine, v: number): number {
  const vector = deliverable(m, v)
  if (vector < 0) return -1
  m.w[v + IRR + (vector >> 5)] &= ~(1 << (vector & 31))
  // With auto-EOI nothing comes into service, so no EOI will follow and nothing is acknowledged.
  if (!isAutoEoi(m, v, vector)) setBit(m.w, v + ISR, vector)
  return vector
}

function isAutoEoi(m: Machine, v: number, vector: number): boolean {
  if (testBit(m.w, v + AUTO_EOI_VECTORS, vector)) return true
  return m.nested && testBit(m.w, v + NESTED_FILE + AUTO_EOI_VECTORS, vector)
}

/** End the highest vector in service; returns it, or -1 when none was. */
export function endOfInterrupt(m: Machine, v: number): number {
  const vector = highestBit(m.w, v + ISR)
  if (vector >= 0) m.w[v + ISR + (vector >> 5)] &= ~(1 << (vector & 31))
  return vector
}

/** RESET or INIT: nothing requested, nothing in service. */
export function resetApic(m: Machine, v: number, enabled: boolean): void {
  m.w.fill(0, v + IRR, v + ISR + 8)
  m.w[v + TPR] = 0
  if (enabled) m.w[v + FLAGS] |= APIC_ENABLED
  else m.w[v + FLAGS] &= ~APIC_ENABLED
}

/**
 * OpenVMM: auto-EOI belongs to the request, and the last request of a vector wins, whoever makes it
 * (virt_support_apic request_interrupt).
 */
function noteRequestedAutoEoi(m: Machine, v: number, vector: number, autoEoi: boolean): void {
  const at = v + AUTO_EOI_VECTORS + (vector >> 5)
  if (autoEoi) m.w[at] |= 1 << (vector & 31)
  else m.w[at] &= ~(1 << (vector & 31))
}

/** Effect word of an interrupt that no SINT stands behind. */
export function directSource(source: number, timer = 0): number {
  return sintWord(source, NO_SINT, false) | (timer << 24)
}
