/** vCPUs and partitions coming, resetting, pausing, halting, going. */
import { highHalf, lowHalf } from '../hv/bits.js'
import { EEXIST, EINVAL, ENOMEM } from '../hv/errno.js'
import { VCPU_ID_LIMIT, VCPUS_MAX } from '../hv/limits.js'
import {
  HV_X64_MSR_ICR,
  HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG,
  HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT,
} from '../hv/msrs.js'
import { PAGE_ENABLE, SCONTROL_ENABLE, SINT_COUNT, SINT_RESET, SVERSION_VALUE } from '../hv/registers.js'
import { deliverable, resetApic, wake } from './apic.js'
import { forgetRings } from './event-ring.js'
import {
  ACTIVE,
  AUTO_EOI_VECTORS,
  DONT_ZERO_PAGES,
  FILE_FLAGS,
  FLAGS,
  HALTED,
  MSG_PENDING,
  OFFLINE,
  SCONTROL,
  SIEFP,
  SIMP,
  SINT_MASKS,
  SINT_TO_GSI,
  SINTS,
  SIRBP,
  SVERSION,
  TIMER_PENDING,
  TIMER_QUEUED,
  TIMER_WORDS,
  TIMERS,
  VCPU_ID,
  VECTORS,
  VP_ASSIST,
  VP_INDEX,
  WAKE_TOKEN,
} from './layout.js'
import type { Machine } from './machine.js'
import { emptyQueues } from './message-queue.js'
import { CAP_SYNIC2 } from './op.js'
import { dropContent, EVENT_PAGE, MESSAGE_PAGE, remap } from './pages.js'
import { MODEL_QEMU, MODEL_TLFS } from './profile.js'
import { dropRoutes } from './qemu.js'

const PAGE_BYTES = 4096
/** SIMP, SIEFP and SIRBP of one vCPU as the Microsoft hypervisor provisions them for a root partition. */
const PROVISIONED_PAGES = 3

/** `vcpu.create`; 0 or a negative errno, in KVM's order of checks (kvm_vm_ioctl_create_vcpu). */
export function createVcpu(m: Machine, id: number): number {
  // Outside KVM the id is the VP index, which has a smaller bound.
  const limit = m.profile.kvm ? VCPU_ID_LIMIT : VCPUS_MAX
  if (id < 0 || id >= limit || m.vcpuCount >= VCPUS_MAX) return EINVAL
  if (m.rowOf(id) >= 0) return EEXIST
  if (isProvisioned(m) && provisionedPage(m, id, 0) < 0) return ENOMEM
  m.growRows()
  const v = m.vcpuCount++ * m.stride
  m.w.fill(0, v, v + m.stride)
  m.w[v + VCPU_ID] = id
  // KVM's VP index is the order of creation; elsewhere it is the number the vCPU was given.
  m.w[v + VP_INDEX] = m.profile.kvm ? v / m.stride : id
  for (const f of m.filesOf(v)) m.w.fill(-1, f + SINT_TO_GSI, f + SINT_TO_GSI + 8)
  resetSynic(m, v)
  const { activation } = m.profile
  // Who makes the vCPU asks for the capability as anyone does, and may be refused it: the SynIC then waits.
  if (activation !== 'none' && m.hasIrqchip) activate(m, v, activation === 'synic2')
  resetApic(m, v, m.options.apic_enabled_at_reset)
  return 0
}

/** KVM_ENABLE_CAP on a vCPU; 0 or a negative errno. Again: SCONTROL and the zeroing mode are set anew. */
export function enableCap(m: Machine, v: number, cap: number): number {
  if (!m.profile.kvm || !m.hasIrqchip) return EINVAL
  activate(m, v, cap === CAP_SYNIC2)
  // KVM switches the SynIC on; it was QEMU that cleared SCONTROL when it created the vCPU.
  if (m.profile.model === MODEL_QEMU) m.w[v + SCONTROL] = SCONTROL_ENABLE
  return 0
}

function activate(m: Machine, v: number, dontZeroPages: boolean): void {
  m.w[v + FILE_FLAGS] = ACTIVE | (dontZeroPages ? DONT_ZERO_PAGES : 0)
  m.w[v + SCONTROL] = m.options.scontrol_reset
  m.w[v + SCONTROL + 1] = 0
}

function isProvisioned(m: Machine): boolean {
  return m.profile.microsoftRegisters && (m.config.kind === 'root' || m.config.kind === 'nested_root')
}

/** GPA of a provisioned page: from the top of memory downwards, three pages a vCPU. Negative = no room. */
function provisionedPage(m: Machine, id: number, page: number): number {
  return (m.config.gpaPages - PROVISIONED_PAGES * (id + 1) + page) * PAGE_BYTES
}

function setPageRegister(m: Machine, at: number, gpa: number, enable: boolean): void {
  m.w[at] = lowHalf(gpa) | (enable ? PAGE_ENABLE : 0)
  m.w[at + 1] = highHalf(gpa)
}

/** Registers, timers, pages and queues of one vCPU as at creation. */
function resetSynic(m: Machine, v: number): void {
  const { w } = m
  for (const f of m.filesOf(v)) {
    w.fill(0, f + SCONTROL, f + SINTS)
    w[f + SCONTROL] = m.profile.kvm ? 0 : m.options.scontrol_reset
    w[f + SVERSION] = SVERSION_VALUE
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      w[f + SINTS + 2 * sint] = SINT_RESET
      w[f + SINTS + 2 * sint + 1] = 0
    }
    forgetVectors(m, f)
    if (!m.profile.kvm) {
      w[f + FILE_FLAGS] = ACTIVE
      w[f + SINT_MASKS] = 0
    }
    emptyQueues(m, f)
    unmapPages(m, f)
    forgetRings(m, f)
  }
  m.splits = m.splits.filter((split) => m.rowOfFile(split.f) !== v)
  if (isProvisioned(m)) provision(m, v)
  resetTimers(m, v)
  w[v + VP_ASSIST] = 0
  w[v + VP_ASSIST + 1] = 0
}

function forgetVectors(m: Machine, f: number): void {
  const { w } = m
  const usedAutoEoi = w.subarray(f + AUTO_EOI_VECTORS, f + AUTO_EOI_VECTORS + 8).some((word) => word !== 0)
  if (usedAutoEoi && (m.profile.kvm || m.profile.model === MODEL_TLFS)) m.autoEoiUsers--
  w.fill(0, f + VECTORS, f + VECTORS + 16)
}

/** Overlays leave the guest's memory and forget what they held. */
function unmapPages(m: Machine, f: number): void {
  m.w.fill(0, f + SIEFP, f + SIMP + 2)
  for (const page of [MESSAGE_PAGE, EVENT_PAGE] as const) {
    remap(m, f, page)
    dropContent(m, f, page)
  }
}

/**
 * A root partition finds its pages provided. On a nested root the file below it may already be enabled:
 * nobody enables it later (Linux MSHV v2 to v4), so that is the default here.
 */
function provision(m: Machine, v: number): void {
  const enabled = m.nested && m.options.nested_root_l1_enabled
  const id = m.vcpuId(v)
  setPageRegister(m, v + SIMP, provisionedPage(m, id, 0), enabled)
  setPageRegister(m, v + SIEFP, provisionedPage(m, id, 1), enabled)
  setPageRegister(m, v + SIRBP, provisionedPage(m, id, 2), false)
  remap(m, v, MESSAGE_PAGE)
  remap(m, v, EVENT_PAGE)
  if (enabled) m.w[v + SCONTROL] |= SCONTROL_ENABLE
}

function resetTimers(m: Machine, v: number): void {
  for (let i = 0; i < 4; i++) m.due.cancel((v / m.stride) * 4 + i)
  m.w.fill(0, v + TIMERS, v + TIMERS + 4 * TIMER_WORDS)
  m.w[v + FLAGS] &= ~(TIMER_PENDING | MSG_PENDING | TIMER_QUEUED)
}

/** `vcpu.reset`: RESET. KVM resets the APIC alone and leaves SynIC and timers to the VMM. */
export function resetVcpu(m: Machine, v: number): void {
  if (m.profile.vcpuResetClearsSynic) {
    resetSynic(m, v)
    m.plain.delete(m.plainKey(v, HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG))
    m.plain.delete(m.plainKey(v, HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT))
  }
  resetApic(m, v, m.options.apic_enabled_at_reset)
  // The ICR is the APIC's, and goes with it on every machine (KVM kvm_lapic_reset).
  m.plain.delete(m.plainKey(v, HV_X64_MSR_ICR))
  m.w[v + FLAGS] &= ~(HALTED | WAKE_TOKEN)
}

/**
 * `partition.reset`: every vCPU, and under QEMU, OpenVMM and the TLFS the SynICs and shared registers too.
 */
export function resetPartition(m: Machine): void {
  const clears = m.profile.model === MODEL_QEMU || m.profile.vcpuResetClearsSynic
  if (m.profile.model === MODEL_QEMU) dropRoutes(m)
  for (const v of m.rowsById()) {
    if (clears) resetSynic(m, v)
    // QEMU writes the registers as the host; its copy of SCONTROL starts at its own reset value.
    if (m.profile.model === MODEL_QEMU && m.isActive(v)) m.w[v + SCONTROL] = m.options.scontrol_reset
    resetVcpu(m, v)
  }
  if (clears) {
    m.shared.fill(0)
    m.plain.clear()
  }
}

/** `vcpu.offline`: the hypervisor changes nothing; interrupts and timer bits go on gathering. */
export function setOffline(m: Machine, v: number, offline: boolean): void {
  if (offline) {
    m.w[v + FLAGS] |= OFFLINE
    return
  }
  m.w[v + FLAGS] &= ~OFFLINE
  if ((m.w[v + FLAGS] & TIMER_PENDING) !== 0) m.listForTimers(v)
}

/** `vcpu.halt`: block until a wake, unless one is kept or an interrupt could be taken. */
export function halt(m: Machine, v: number): void {
  const flags = m.w[v + FLAGS]
  const awake = (flags & WAKE_TOKEN) !== 0 || deliverable(m, v) >= 0
  m.w[v + FLAGS] = awake ? flags & ~WAKE_TOKEN : flags | HALTED
  m.effects.setHalted(!awake)
}

/** `vcpu.enter`: a vCPU that sleeps stays asleep; one that does not enters the guest. */
export function enter(m: Machine, v: number): void {
  m.effects.setHalted((m.w[v + FLAGS] & HALTED) !== 0)
}

/** `vcpu.kick`: wake a sleeper, or leave a token for who is about to sleep. */
export function kick(m: Machine, v: number, sticky: boolean): void {
  if ((m.w[v + FLAGS] & HALTED) !== 0) wake(m, v)
  else if (sticky) m.w[v + FLAGS] |= WAKE_TOKEN
}
