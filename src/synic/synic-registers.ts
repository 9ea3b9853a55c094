/**
 * SCONTROL, SVERSION, SIEFP, SIMP, EOM, SIRBP and SINT0-15: read and write (TLFS "SynIC Registers"; KVM
 * synic_set_msr).
 */
import { gpnOf } from '../hv/bits.js'
import { HV_X64_MSR_SCONTROL, NESTED_MSR_OFFSET } from '../hv/msrs.js'
import { PAGE_ENABLE, SCONTROL_ENABLE, SINT_MASKED } from '../hv/registers.js'
import { EFFECT_EOM, EFFECT_VIOLATION, VIOLATION_DISABLED_WRITE } from './effects.js'
import { forgetRings } from './event-ring.js'
import { DONT_ZERO_PAGES, FILE_FLAGS, SCONTROL, SIEFP, SIMP, SINTS, SIRBP, SVERSION } from './layout.js'
import type { Machine } from './machine.js'
import { EVENT_PAGE, hasRoom, isBacked, MESSAGE_PAGE, remap, type SynicPage } from './pages.js'
import { MODEL_OPENVMM, MODEL_TLFS } from './profile.js'
import { acknowledgeAll, writeSint } from './sint.js'
import { wakeSenders } from './split-delivery.js'
import { endOfMessage } from './tlfs.js'

/** Distance of each register from SCONTROL's MSR. */
const R_SCONTROL = 0
const R_SVERSION = 1
const R_SIEFP = 2
const R_SIMP = 3
const R_EOM = 4
const R_SIRBP = 5
const R_SINT0 = 16

/** Where each register lies in its file. EOM holds nothing, and what has no register is refused: SCONTROL. */
const WORD_OF = Uint8Array.from({ length: 32 }, (_, r) =>
  r >= R_SINT0 ? SINTS + 2 * (r - R_SINT0) : SCONTROL,
)
for (const [r, word] of [
  [R_SVERSION, SVERSION],
  [R_SIEFP, SIEFP],
  [R_SIMP, SIMP],
  [R_SIRBP, SIRBP],
]) {
  WORD_OF[r] = word
}

/** SIRBP exists on the Microsoft hypervisor, for parent partitions, and has no nested twin. */
function hasSirbp(m: Machine, f: number): boolean {
  return m.profile.microsoftRegisters && m.config.kind !== 'guest' && !m.isNestedFile(f)
}

/**
 * Write the register `r` places behind SCONTROL. False for a refused access.
 * KVM's order: not active and (guest, or value not 0) refuses; then the register's own rule (synic_set_msr).
 */
export function writeSynic(m: Machine, f: number, r: number, lo: number, hi: number, host: boolean): boolean {
  const { effects, w } = m
  const at = f + WORD_OF[r]
  effects.file = f
  effects.register = r
  effects.oldLo = w[at]
  effects.oldHi = w[at + 1]
  if (r === R_SIRBP && !hasSirbp(m, f)) return false
  if (r >= R_SINT0 || r <= R_SIRBP) {
    if (!m.isActive(f) && (!host || (lo | hi) !== 0)) return false
    if (m.auditsDisabledWrites && !host && !passesDisabledWrite(m, f, r, lo)) return false
  }
  if (r >= R_SINT0) return writeSint(m, f, r - R_SINT0, lo, hi, host)
  switch (r) {
    case R_SCONTROL:
      store(m, f + SCONTROL, lo, hi)
      if (!host) exit(m, f, r)
      return true
    case R_SVERSION:
      // OpenVMM always reads 1 and lets nobody write it.
      if (!host || m.profile.model === MODEL_OPENVMM) return false
      store(m, f + SVERSION, lo, hi)
      return true
    case R_SIEFP:
      return writePage(m, f, EVENT_PAGE, r, lo, hi, host)
    case R_SIMP:
      return writePage(m, f, MESSAGE_PAGE, r, lo, hi, host)
    case R_EOM:
      if (m.isActive(f)) endMessage(m, f)
      return true
    case R_SIRBP:
      // Whoever gives the rings a page begins to read them at their first entry, and so does the producer.
      if (!host && (m.w[f + SIRBP] & PAGE_ENABLE) === 0 && (lo & PAGE_ENABLE) !== 0) forgetRings(m, f)
      store(m, f + SIRBP, lo, hi)
      return true
    default:
      return false
  }
}

/** Read the register `r` places behind SCONTROL. False for a refused access. */
export function readSynic(m: Machine, f: number, r: number, host: boolean): boolean {
  if (!m.isActive(f) && !host) return false
  const at = registerAt(m, f, r)
  if (at === -1) return false
  if (r === R_EOM) m.effects.value(0, 0)
  else m.effects.value(m.w[at], m.w[at + 1])
  return true
}

function registerAt(m: Machine, f: number, r: number): number {
  if (r >= R_SINT0) return f + SINTS + 2 * (r - R_SINT0)
  switch (r) {
    case R_SCONTROL:
    case R_EOM:
      return f + SCONTROL
    case R_SVERSION:
      return f + SVERSION
    case R_SIEFP:
      return f + SIEFP
    case R_SIMP:
      return f + SIMP
    case R_SIRBP:
      return hasSirbp(m, f) ? f + SIRBP : -1
    default:
      return -1
  }
}

function store(m: Machine, at: number, lo: number, hi: number): void {
  m.w[at] = lo
  m.w[at + 1] = hi
}

/** KVM synic_exit: user space hears of guest writes to SCONTROL, SIEFP and SIMP. */
function exit(m: Machine, f: number, r: number): void {
  if (!m.profile.kvm) return
  const msr = HV_X64_MSR_SCONTROL + r + (m.isNestedFile(f) ? NESTED_MSR_OFFSET : 0)
  m.effects.exit(m.vcpuId(m.rowOfFile(f)), msr, m.w, f + SCONTROL, f + SIEFP, f + SIMP)
}

/** SIEFP and SIMP. With KVM_CAP_HYPERV_SYNIC every enabling guest write clears the page it points at. */
function writePage(
  m: Machine,
  f: number,
  page: SynicPage,
  r: number,
  lo: number,
  hi: number,
  host: boolean,
): boolean {
  const enabling = (lo & PAGE_ENABLE) !== 0 && !host
  const gpn = gpnOf(lo, hi)
  if (enabling && m.profile.kvm && (m.w[f + FILE_FLAGS] & DONT_ZERO_PAGES) === 0) {
    if (!isBacked(m, gpn)) return false
    // A page that nothing was ever written to is zero already.
    if (m.memory.frameAt(gpn) !== 0) m.memory.bytes(m.memory.writableFrameAt(gpn)).fill(0)
  }
  // OpenVMM does not tell who writes. The RAM underneath will take the overlay's bytes when it goes: hold it
  // now.
  if ((lo & PAGE_ENABLE) !== 0 && m.profile.enableChecksMemory) {
    if (!isBacked(m, gpn) || !hasRoom(m, gpn)) return false
    m.memory.writableFrameAt(gpn)
  }
  store(m, f + (page === MESSAGE_PAGE ? SIMP : SIEFP), lo, hi)
  remap(m, f, page)
  if (!host) exit(m, f, r)
  return true
}

/** EOM: KVM acknowledges every SINT, TLFS scans its queues; OpenVMM finds out by itself at the next scan. */
export function endMessage(m: Machine, f: number): void {
  m.effects.push(EFFECT_EOM, m.vcpuId(m.rowOfFile(f)))
  if (m.profile.kvm) acknowledgeAll(m, f)
  else {
    if (m.profile.model === MODEL_TLFS) endOfMessage(m, f)
    wakeSenders(m, f, -1)
  }
}

/**
 * A teardown write while the SynIC is off, which the Microsoft hypervisor is reported not to tolerate (Linux,
 * "mshv: limit SynIC management to MSHV-owned resources"). Recorded, and refused where the option says so.
 */
function passesDisabledWrite(m: Machine, f: number, r: number, lo: number): boolean {
  if ((m.w[f + SCONTROL] & SCONTROL_ENABLE) !== 0 || !isTeardown(r, lo)) return true
  const msr = HV_X64_MSR_SCONTROL + r + (m.isNestedFile(f) ? NESTED_MSR_OFFSET : 0)
  m.effects.push(EFFECT_VIOLATION, VIOLATION_DISABLED_WRITE, m.vcpuId(m.rowOfFile(f)), msr)
  return !m.faultsDisabledWrites
}

function isTeardown(r: number, lo: number): boolean {
  if (r >= R_SINT0) return (lo & SINT_MASKED) !== 0
  return r !== R_EOM && r !== R_SVERSION && (lo & PAGE_ENABLE) === 0
}
