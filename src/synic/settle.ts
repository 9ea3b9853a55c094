/**
 * What follows an op before the next one: timers, the VMM's bottom halves, the scan (KVM vcpu_enter_guest).
 */
import { testBit } from '../hv/bits.js'
import { endOfInterrupt } from './apic.js'
import { EFFECT_EOI } from './effects.js'
import { NESTED_FILE, VECTORS } from './layout.js'
import type { Machine } from './machine.js'
import { scanRows } from './openvmm.js'
import { MODEL_TLFS } from './profile.js'
import { runBottomHalves } from './qemu.js'
import { acknowledgeVector, notifyVector } from './sint.js'
import { wakeSenders } from './split-delivery.js'
import { processTimers } from './stimer.js'
import { endOfVector } from './tlfs.js'

/** Carry every vCPU to the point where it would run guest code again. While paused nobody enters. */
export function settle(m: Machine): void {
  if (m.paused) return
  while (m.timerRows.length > 0 || m.bottomHalves.length > 0) {
    if (m.timerRows.length > 0) processTimers(m)
    else runBottomHalves(m)
  }
  if (m.scanRows.length > 0) scanRows(m)
}

/**
 * EOI: end the highest vector in service and tell the SynIC (KVM apic_set_eoi). Nothing in service: nothing.
 */
export function endInterrupt(m: Machine, v: number, accelerated = isAccelerated(m)): void {
  const vector = endOfInterrupt(m, v)
  if (vector < 0) return
  m.effects.push(EFFECT_EOI, m.vcpuId(v), vector)
  endVector(m, v, vector, accelerated)
  if (m.nested) endVector(m, v + NESTED_FILE, vector, accelerated)
}

function endVector(m: Machine, f: number, vector: number, accelerated: boolean): void {
  if (m.profile.kvm) {
    if (testBit(m.w, f + VECTORS, vector) && !accelerated) acknowledgeVector(m, f, vector)
    return
  }
  if (m.profile.model === MODEL_TLFS) endOfVector(m, f, vector)
  if (m.splits.length > 0) wakeSenders(m, f, vector)
  notifyVector(m, f, vector)
}

/** With active APICv an EOI exit does the I/O APIC's part alone (kvm_apic_set_eoi_accelerated). */
function isAccelerated(m: Machine): boolean {
  return m.options.apicv && m.autoEoiUsers === 0
}
