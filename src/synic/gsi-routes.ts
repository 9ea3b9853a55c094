/** GSI routing, irqfds and resamplers (KVM irq_comm.c, irqchip.c, eventfd.c). */

import { testBit } from '../hv/bits.js'
import { EBADF, EBUSY, EINVAL, EPERM } from '../hv/errno.js'
import { GSI_LIMIT } from '../hv/limits.js'
import { SINT_COUNT, SINT_VECTOR } from '../hv/registers.js'
import { EFFECT_ACK, FROM_GSI } from './effects.js'
import { IRR, ISR, SINTS } from './layout.js'
import type { Machine } from './machine.js'
import { completeOnAck } from './qemu.js'
import { setIrq, setSintGsi } from './sint.js'

const NO_ROUTE = -1
const BOUND = 1
const RESAMPLED = 3

/** The bare fact of one table entry. */
export interface RouteEntry {
  readonly gsi: number
  readonly vcpu: number
  readonly sint: number
}

/**
 * KVM_SET_GSI_ROUTING: replace the whole table, or nothing.
 * @param words gsi, VP index, SINT of each entry, from `at`
 * @returns 0 or a negative errno
 */
export function setRoutes(m: Machine, words: Int32Array, at: number, count: number): number {
  if (count > GSI_LIMIT || !m.hasIrqchip) return EINVAL
  let highest = -1
  for (let i = 0; i < count; i++) {
    const gsi = words[at + 3 * i] >>> 0
    if (gsi >= GSI_LIMIT) return EINVAL
    highest = Math.max(highest, gsi)
  }
  const table = new Int32Array((highest + 1) * 2).fill(NO_ROUTE)
  const named = new Uint8Array(highest + 1)
  for (let i = 0; i < count; i++) {
    const gsi = words[at + 3 * i]
    // A second entry for a GSI when either is HV_SINT, also one that QEMU made for itself.
    if (named[gsi] !== 0 || m.qemuRoutes.ofGsi(gsi) !== undefined) return EINVAL
    named[gsi] = 1
    table[2 * gsi] = words[at + 3 * i + 1]
    table[2 * gsi + 1] = words[at + 3 * i + 2]
  }
  m.routes = table
  m.routed = named
  installRoutes(m)
  return 0
}

/**
 * After an installation every SINT learns which GSI its acknowledgement notifies (kvm_hv_irq_routing_update).
 * KVM never takes the link back: a removed route goes on being notified. Elsewhere only routes that stand
 * are.
 */
export function installRoutes(m: Machine): void {
  if (!m.profile.kvm) forgetLinks(m)
  for (const { gsi, vcpu, sint } of allRoutes(m)) {
    const v = m.rowOfVp(vcpu)
    if (v >= 0 && m.isActive(v) && sint >= 0 && sint < SINT_COUNT) setSintGsi(m, v, sint, gsi)
  }
}

/** Links of the old table go, but for interrupts under way, whose end is still to be told. */
function forgetLinks(m: Machine): void {
  for (const v of m.rowsById()) {
    for (const f of m.filesOf(v)) {
      for (let sint = 0; sint < SINT_COUNT; sint++) {
        const vector = m.w[f + SINTS + 2 * sint] & SINT_VECTOR
        const isUnderWay = testBit(m.w, v + ISR, vector) || testBit(m.w, v + IRR, vector)
        if (!isUnderWay) setSintGsi(m, f, sint, -1)
      }
    }
  }
}

/** The caller's entries and QEMU's own, ascending by GSI. */
function allRoutes(m: Machine): RouteEntry[] {
  const own = [...m.qemuRoutes.values()].filter((route) => route.gsi >= 0)
  const implicit = own.map((route) => ({ gsi: route.gsi, vcpu: route.vp, sint: route.sint }))
  return [...routeEntries(m), ...implicit].sort((a, b) => a.gsi - b.gsi)
}

/** The table as it was set, ascending by GSI. VP indexes and SINTs are u32 and were never checked. */
export function routeEntries(m: Machine): RouteEntry[] {
  const entries: RouteEntry[] = []
  for (let gsi = 0; gsi < m.routed.length; gsi++) {
    if (m.routed[gsi] === 0) continue
    entries.push({ gsi, vcpu: m.routes[2 * gsi] >>> 0, sint: m.routes[2 * gsi + 1] >>> 0 })
  }
  return entries
}

export function isRouted(m: Machine, gsi: number): boolean {
  return gsi >= 0 && gsi < m.routed.length && m.routed[gsi] !== 0
}

/**
 * One edge on a GSI. 1 accepted, 0 not accepted, or KVM's internal error, which an irqfd writer never sees.
 */
export function assertGsi(m: Machine, gsi: number): number {
  if (!isBound(m, gsi)) return EBADF
  if (isRouted(m, gsi)) return setIrq(m, m.routes[2 * gsi], m.routes[2 * gsi + 1], FROM_GSI)
  const implicit = m.qemuRoutes.ofGsi(gsi)
  return implicit === undefined ? EPERM : setIrq(m, implicit.vp, implicit.sint, FROM_GSI)
}

/**
 * Does KVM take resamplers at all? With a split chip the I/O APIC's EOIs are user space's, so it refuses them
 * (kvm_arch_irqfd_allowed), QEMU keeps its own to itself, and acknowledgements reach nobody.
 */
function takesResamplers(m: Machine): boolean {
  return !m.profile.kvm || m.options.irqchip === 'full'
}

/** Is an irqfd bound here? QEMU binds one to each of its own routes at once (hyperv_sint_route_new). */
export function isBound(m: Machine, gsi: number): boolean {
  return m.options.implicit_irqfds || m.irqfds.has(gsi) || m.qemuRoutes.ofGsi(gsi) !== undefined
}

/** Does anybody listen for this GSI's acknowledgements? QEMU does on its own routes, for what it staged. */
export function isResampled(m: Machine, gsi: number): boolean {
  if (!takesResamplers(m)) return false
  if (m.options.implicit_irqfds || m.irqfds.get(gsi) === RESAMPLED) return true
  return m.qemuRoutes.ofGsi(gsi) !== undefined
}

/** An acknowledged SINT notifies its GSI: one resampler a GSI signals all its eventfds. */
export function notifyGsi(m: Machine, gsi: number): void {
  if (!isResampled(m, gsi)) return
  m.effects.push(EFFECT_ACK, gsi)
  const implicit = m.qemuRoutes.ofGsi(gsi)
  if (implicit !== undefined) completeOnAck(m, implicit)
}

/** kvm_irqfd_assign, as far as one eventfd a GSI goes. */
export function bindIrqfd(m: Machine, gsi: number, resample: boolean): number {
  if (gsi < 0 || gsi >= GSI_LIMIT || !m.hasIrqchip || (resample && !takesResamplers(m))) return EINVAL
  if (m.irqfds.has(gsi)) return EBUSY
  m.irqfds.set(gsi, resample ? RESAMPLED : BOUND)
  return 0
}

/** Unbinding what is not bound is success. */
export function unbindIrqfd(m: Machine, gsi: number): void {
  m.irqfds.delete(gsi)
}
