/** MSR number to reader and writer, with the checks that come before any register's own rule. */
import { gpnOf, highHalf, lowHalf } from '../hv/bits.js'
import * as cpuid from '../hv/cpuid.js'
import { VCPUS_MAX } from '../hv/limits.js'
import * as msrs from '../hv/msrs.js'
import { FIRST_VALID_VECTOR, ICR_RESERVED, PAGE_ENABLE } from '../hv/registers.js'
import { accept, directSource } from './apic.js'
import { EFFECT_LIFECYCLE, FROM_IPI, LIFECYCLE_CRASH, LIFECYCLE_SYSTEM_RESET } from './effects.js'
import { CONFIG, COUNT, NESTED_FILE, TPR, VP_ASSIST, VP_INDEX } from './layout.js'
import { CRASH_CTL, CRASH_P0, GUEST_OS_ID, HYPERCALL, type Machine, REFERENCE_TSC } from './machine.js'
import { hasRoom, isAccessible, isBacked, writableVisibleFrame } from './pages.js'
import { endInterrupt } from './settle.js'
import { timerAt, writeConfig, writeCount } from './stimer.js'
import { readSynic, writeSynic } from './synic-registers.js'

/** 2.1 GHz, so that both frequency registers are exact integers. */
const TSC_HZ = 2_100_000_000
const APIC_HZ = 1_000_000_000
/** VMCALL; RET: the call sequence a hypervisor writes into the hypercall page. */
const CALL_SEQUENCE = 0xc3c1_010f | 0
const CRASH_NOTIFY = 0x8000_0000 | 0

/** CPUID 0x40000003 bit that a guest needs for a register: EAX bits as they are, EDX bits below. */
function isPermitted(m: Machine, msr: number): boolean {
  if (!m.options.enforce_cpuid) return true
  const { eax, edx } = m.options.cpuid
  if (msr >= msrs.HV_X64_MSR_CRASH_P0 && msr <= msrs.HV_X64_MSR_CRASH_CTL)
    return (edx & cpuid.EDX_CRASH) !== 0
  if (isUnhalted(msr)) return (eax & cpuid.EAX_STIMER) !== 0 && (edx & cpuid.EDX_UNHALTED_TIMER) !== 0
  return (eax & eaxBit(msr)) !== 0
}

function isUnhalted(msr: number): boolean {
  return (
    msr === msrs.HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG || msr === msrs.HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT
  )
}

function eaxBit(msr: number): number {
  const plain = msr & ~msrs.NESTED_MSR_OFFSET
  if (plain >= msrs.HV_X64_MSR_SCONTROL && plain < msrs.HV_X64_MSR_STIMER0_CONFIG) return cpuid.EAX_SYNIC
  if (msr >= msrs.HV_X64_MSR_STIMER0_CONFIG && msr < msrs.HV_X64_MSR_STIMER0_CONFIG + 8)
    return cpuid.EAX_STIMER
  if (msr >= msrs.HV_X64_MSR_EOI && msr <= msrs.HV_X64_MSR_VP_ASSIST_PAGE) return cpuid.EAX_APIC
  switch (plain) {
    case msrs.HV_X64_MSR_GUEST_OS_ID:
    case msrs.HV_X64_MSR_HYPERCALL:
      return cpuid.EAX_HYPERCALL
    case msrs.HV_X64_MSR_VP_INDEX:
      return cpuid.EAX_VP_INDEX
    case msrs.HV_X64_MSR_RESET:
      return cpuid.EAX_RESET
    case msrs.HV_X64_MSR_VP_RUNTIME:
      return cpuid.EAX_VP_RUNTIME
    case msrs.HV_X64_MSR_TIME_REF_COUNT:
      return cpuid.EAX_TIME_REF_COUNT
    case msrs.HV_X64_MSR_REFERENCE_TSC:
      return cpuid.EAX_REFERENCE_TSC
    case msrs.HV_X64_MSR_TSC_FREQUENCY:
    case msrs.HV_X64_MSR_APIC_FREQUENCY:
      return cpuid.EAX_FREQUENCY
    default:
      return 0
  }
}

/**
 * Offset of the register file an MSR number belongs to, with the number of its plain twin; -1 = no such file.
 */
function fileOffset(m: Machine, msr: number): number {
  if (msr < msrs.HV_X64_MSR_NESTED_SCONTROL) return 0
  // There is no nested SIRBP, and nothing between EOM and SINT0.
  return m.nested ? NESTED_FILE : -1
}

/** WRMSR, or the VMM's KVM_SET_MSRS. False for a refused access; the register then keeps its value. */
export function writeMsr(m: Machine, v: number, msr: number, lo: number, hi: number, host: boolean): boolean {
  if (!host && !isPermitted(m, msr)) return false
  const synic = (msr & ~msrs.NESTED_MSR_OFFSET) - msrs.HV_X64_MSR_SCONTROL
  if (synic >= 0 && synic < 0x20) {
    const offset = fileOffset(m, msr)
    return offset >= 0 && writeSynic(m, v + offset, synic, lo, hi, host)
  }
  const timer = msr - msrs.HV_X64_MSR_STIMER0_CONFIG
  if (timer >= 0 && timer < 8) {
    if ((timer & 1) === 0) return writeConfig(m, v, timer >> 1, lo, hi, host)
    return writeCount(m, v, timer >> 1, lo, hi, host)
  }
  return writeOther(m, v, msr, lo, hi, host)
}

/** RDMSR, or KVM_GET_MSRS; the value goes into the effects. False for a refused access. */
export function readMsr(m: Machine, v: number, msr: number, host: boolean): boolean {
  if (!host && !isPermitted(m, msr)) return false
  const { effects, w } = m
  const synic = (msr & ~msrs.NESTED_MSR_OFFSET) - msrs.HV_X64_MSR_SCONTROL
  if (synic >= 0 && synic < 0x20) {
    const offset = fileOffset(m, msr)
    return offset >= 0 && readSynic(m, v + offset, synic, host)
  }
  const timer = msr - msrs.HV_X64_MSR_STIMER0_CONFIG
  if (timer >= 0 && timer < 8) {
    const at = timerAt(v, timer >> 1) + ((timer & 1) === 0 ? CONFIG : COUNT)
    effects.value(w[at], w[at + 1])
    return true
  }
  return readOther(m, v, msr)
}

function setShared(m: Machine, at: number, lo: number, hi: number): boolean {
  m.shared[at] = lo
  m.shared[at + 1] = hi
  return true
}

/** Registers that only hold what was written. */
function setPlain(m: Machine, v: number, msr: number, lo: number, hi: number): boolean {
  m.plain.set(m.plainKey(v, msr), [lo, hi])
  return true
}

function writeOther(m: Machine, v: number, msr: number, lo: number, hi: number, host: boolean): boolean {
  const { w } = m
  switch (msr) {
    case msrs.HV_X64_MSR_GUEST_OS_ID:
      // KVM: a guest that takes its id back gives its hypercall page back too.
      if ((lo | hi) === 0) m.shared[HYPERCALL] &= ~PAGE_ENABLE
      return setShared(m, GUEST_OS_ID, lo, hi)
    case msrs.HV_X64_MSR_HYPERCALL:
      return writeHypercall(m, lo, hi)
    case msrs.HV_X64_MSR_VP_INDEX:
      if (!host || lo >>> 0 >= VCPUS_MAX) return false
      w[v + VP_INDEX] = lo
      return true
    case msrs.HV_X64_MSR_RESET:
      if (!host && lo === 1 && hi === 0) m.effects.push(EFFECT_LIFECYCLE, LIFECYCLE_SYSTEM_RESET)
      return true
    case msrs.HV_X64_MSR_TIME_REF_COUNT:
      return host
    case msrs.HV_X64_MSR_VP_RUNTIME:
      return host && setPlain(m, v, msr, lo, hi)
    case msrs.HV_X64_MSR_TSC_FREQUENCY:
    case msrs.HV_X64_MSR_APIC_FREQUENCY:
      // Read-only; a VMM that restores every register is let through without effect.
      return host
    case msrs.HV_X64_MSR_REFERENCE_TSC:
      return writeReferenceTsc(m, lo, hi)
    case msrs.HV_X64_MSR_EOI:
      if (hi !== 0 || !m.hasIrqchip) return false
      // KVM lets its VMM write it, by an ioctl on that very vCPU (kvm_hv_set_msr); the others do not.
      if (host && !m.profile.kvm) return false
      // The write is intercepted: unlike an EOI at the APIC it is never accelerated.
      endInterrupt(m, v, false)
      return true
    case msrs.HV_X64_MSR_ICR:
      return writeIcr(m, v, lo, hi)
    case msrs.HV_X64_MSR_TPR:
      if (hi !== 0 || !m.hasIrqchip) return false
      w[v + TPR] = lo & 0xff
      return true
    case msrs.HV_X64_MSR_VP_ASSIST_PAGE:
      return writeVpAssist(m, v, lo, hi)
    case msrs.HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG:
      return writeUnhaltedConfig(m, v, lo, hi)
    case msrs.HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT:
      return m.profile.microsoftRegisters && setPlain(m, v, msr, lo, hi)
    default:
      return writeCrash(m, msr, lo, hi, host)
  }
}

function readOther(m: Machine, v: number, msr: number): boolean {
  const { effects, shared, w } = m
  const both = (words: Int32Array, at: number): true => {
    effects.value(words[at], words[at + 1])
    return true
  }
  const plain = m.plain.get(m.plainKey(v, msr))
  const stored = (value: number): true => {
    effects.value(plain?.[0] ?? lowHalf(value), plain?.[1] ?? highHalf(value))
    return true
  }
  switch (msr) {
    case msrs.HV_X64_MSR_GUEST_OS_ID:
      return both(shared, GUEST_OS_ID)
    case msrs.HV_X64_MSR_HYPERCALL:
      return both(shared, HYPERCALL)
    case msrs.HV_X64_MSR_VP_INDEX:
      effects.value(w[v + VP_INDEX], 0)
      return true
    case msrs.HV_X64_MSR_NESTED_VP_INDEX:
      if (m.nested) effects.value(w[v + VP_INDEX], 0)
      return m.nested
    case msrs.HV_X64_MSR_RESET:
      effects.value(0, 0)
      return true
    case msrs.HV_X64_MSR_TIME_REF_COUNT:
      effects.value(lowHalf(m.now), highHalf(m.now))
      return true
    case msrs.HV_X64_MSR_REFERENCE_TSC:
      return both(shared, REFERENCE_TSC)
    case msrs.HV_X64_MSR_TSC_FREQUENCY:
      return stored(TSC_HZ)
    case msrs.HV_X64_MSR_APIC_FREQUENCY:
      return stored(APIC_HZ)
    case msrs.HV_X64_MSR_VP_RUNTIME:
      return stored(0)
    case msrs.HV_X64_MSR_ICR:
      return m.hasIrqchip && stored(0)
    case msrs.HV_X64_MSR_TPR:
      effects.value(w[v + TPR], 0)
      return m.hasIrqchip
    case msrs.HV_X64_MSR_VP_ASSIST_PAGE:
      return both(w, v + VP_ASSIST)
    case msrs.HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG:
    case msrs.HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT:
      return m.profile.microsoftRegisters && stored(0)
    default:
      if (msr < msrs.HV_X64_MSR_CRASH_P0 || msr > msrs.HV_X64_MSR_CRASH_CTL) return false
      return both(shared, CRASH_P0 + 2 * (msr - msrs.HV_X64_MSR_CRASH_P0))
  }
}

/** First word of a page, for writing; null where there is no memory. */
function firstWord(m: Machine, lo: number, hi: number): { words: Int32Array; at: number } | null {
  const gpn = gpnOf(lo, hi)
  if (!isAccessible(m, gpn) || !hasRoom(m, gpn)) return null
  const frame = writableVisibleFrame(m, gpn)
  return { words: m.memory.chunk(frame), at: m.memory.offset(frame) }
}

/** kvm_hv_set_msr_pw: without a guest OS id the write is silently ignored. */
function writeHypercall(m: Machine, lo: number, hi: number): boolean {
  if ((m.shared[GUEST_OS_ID] | m.shared[GUEST_OS_ID + 1]) === 0) return true
  if ((lo & PAGE_ENABLE) !== 0) {
    const page = firstWord(m, lo, hi)
    if (page === null) return false
    page.words[page.at] = CALL_SEQUENCE
  }
  return setShared(m, HYPERCALL, lo, hi)
}

/** The page's sequence stays 0: with a virtual clock the guest must read the MSR. */
function writeReferenceTsc(m: Machine, lo: number, hi: number): boolean {
  if ((lo & PAGE_ENABLE) !== 0 && isBacked(m, gpnOf(lo, hi))) {
    const page = firstWord(m, lo, hi)
    if (page !== null) page.words[page.at] = 0
  }
  return setShared(m, REFERENCE_TSC, lo, hi)
}

/** kvm_hv_set_msr: the page must be mapped; its first word ("no EOI required") is cleared, the rest kept. */
function writeVpAssist(m: Machine, v: number, lo: number, hi: number): boolean {
  if ((lo & PAGE_ENABLE) !== 0) {
    const page = firstWord(m, lo, hi)
    if (page === null) return false
    page.words[page.at] = 0
  }
  m.w[v + VP_ASSIST] = lo
  m.w[v + VP_ASSIST + 1] = hi
  return true
}

/**
 * An IPI: fixed delivery mode, to one APIC id or by shorthand. Other delivery modes are stored and send
 * nothing.
 */
function writeIcr(m: Machine, v: number, lo: number, hi: number): boolean {
  if ((lo & ICR_RESERVED) !== 0 || !m.hasIrqchip) return false
  setPlain(m, v, msrs.HV_X64_MSR_ICR, lo, hi)
  if ((lo & 0x700) !== 0) return true
  const shorthand = (lo >>> 18) & 3
  for (const row of m.rowsById()) {
    const self = row === v
    const named = shorthand === 0 ? m.vcpuId(row) === hi : shorthand === 1 ? self : shorthand === 2 || !self
    if (named) accept(m, row, lo & 0xff, directSource(FROM_IPI))
  }
  return true
}

/** TLFS, "Time-Unhalted Timer": bits 7:0 vector (2 = NMI, or 16 and up), 8 enable, the rest RsvdZ. */
function writeUnhaltedConfig(m: Machine, v: number, lo: number, hi: number): boolean {
  const vector = lo & 0xff
  const valid = vector === 2 || vector >= FIRST_VALID_VECTOR || (lo & 0x100) === 0
  if (!m.profile.microsoftRegisters || !valid || (lo & ~0x1ff) !== 0 || hi !== 0) return false
  return setPlain(m, v, msrs.HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, lo, hi)
}

/** CRASH_P0 to P4 hold; CRASH_CTL bit 63 says that they are complete. */
function writeCrash(m: Machine, msr: number, lo: number, hi: number, host: boolean): boolean {
  if (msr < msrs.HV_X64_MSR_CRASH_P0 || msr > msrs.HV_X64_MSR_CRASH_CTL) return false
  if (msr !== msrs.HV_X64_MSR_CRASH_CTL) {
    return setShared(m, CRASH_P0 + 2 * (msr - msrs.HV_X64_MSR_CRASH_P0), lo, hi)
  }
  if (host) return setShared(m, CRASH_CTL, 0, hi & CRASH_NOTIFY)
  if ((hi & CRASH_NOTIFY) !== 0) m.effects.push(EFFECT_LIFECYCLE, LIFECYCLE_CRASH)
  return true
}
