/**
 * Windows before Windows: the boot loader as iPXE meets it (hv_quiesce, hv_unquiesce), and boot debugging as
 * kvm_msr traces of a QEMU guest show it. Neither ever writes SCONTROL.
 */
import * as msrs from '../hv/msrs.js'
import { SCONTROL_ENABLE, SINT_MASKED, SINT_VMBUS } from '../hv/registers.js'
import * as s from './host-steps.js'
import type { Gpn, Kernel } from './kernel.js'
import { claimPage, freePage } from './memory.js'
import { attach, detach, type Place, read, type Strand, update, wrmsr } from './step.js'
import { pageAt } from './vmbus.js'

const WINLOAD = 'winload'
const BOOT_DEBUGGER = 'windows_kd'
/** Inferred; any vector will do for who polls, but a masked SINT brings no message. */
const LOADER_VECTOR = 0xd1
/** Where the debugger of the recorded guest had its message page. */
export const DEBUGGER_PAGE: Gpn = 0xfa1

const MESSAGE_PAGE = 'winload message page'
const EVENT_PAGE = 'winload event page'
const PAGES = [MESSAGE_PAGE, EVENT_PAGE] as const
const SINT2 = msrs.HV_X64_MSR_SINT0 + SINT_VMBUS
const CLAIMS = [msrs.HV_X64_MSR_SIEFP, msrs.HV_X64_MSR_SIMP, SINT2] as const

/** Is the SynIC on? The loader of Windows Server 2016 asks until it is; here so often at most. */
function* winloadAwaitsScontrol(at: Place, polls: number): Strand<boolean> {
  for (let poll = 0; poll < polls; poll++) {
    const { lo } = yield* read(at, msrs.HV_X64_MSR_SCONTROL)
    if ((lo & SCONTROL_ENABLE) !== 0) return true
  }
  return false
}

/** Pages and SINT2; the guest OS id stays whoever's it is. The order is inferred from Windows' drivers. */
function* winloadMapSynic(at: Place, messages: Gpn, events: Gpn): Strand {
  yield* update(at, msrs.HV_X64_MSR_SIMP, (old) => pageAt(old, messages))
  yield* update(at, msrs.HV_X64_MSR_SIEFP, (old) => pageAt(old, events))
  yield wrmsr(at, SINT2, LOADER_VECTOR)
}

/** What iPXE finds when it is called back: the message page disabled, SCONTROL as it was. */
function* winloadUnmapSynic(at: Place): Strand {
  yield* update(at, SINT2, ({ lo, hi }) => ({ lo: lo | SINT_MASKED, hi }))
  yield wrmsr(at, msrs.HV_X64_MSR_SIEFP, 0)
  yield wrmsr(at, msrs.HV_X64_MSR_SIMP, 0)
}

/**
 * The loader takes the connection. It looks at SIMP, and takes it all the same when somebody else has it
 * enabled. `waits_for_scontrol`: it would wait for ever, and took nothing.
 */
export function* winloadUp(
  kernel: Kernel,
  vcpu: number,
  polls: number,
): Strand<'running' | 'waits_for_scontrol'> {
  const at: Place = { actor: WINLOAD, vcpu }
  const simp = yield* read(at, msrs.HV_X64_MSR_SIMP)
  if (!(yield* winloadAwaitsScontrol(at, polls))) return 'waits_for_scontrol'
  yield* s.claimPages(kernel, at, PAGES)
  // An enabled page is the token of ownership: what is in use is robbed, and robbing makes no owner.
  yield attach(at.actor, s.isEnabled(simp) ? [] : CLAIMS)
  yield* winloadMapSynic(at, kernel.page(MESSAGE_PAGE, vcpu), kernel.page(EVENT_PAGE, vcpu))
  return 'running'
}

export function* winloadDown(kernel: Kernel, vcpu: number): Strand {
  const at: Place = { actor: WINLOAD, vcpu }
  yield* winloadUnmapSynic(at)
  yield detach(at.actor)
  yield* s.freePages(kernel, at, PAGES)
}

/** The debugger's look whether there is a SynIC: its page on, read back, off again with the base kept. */
function* bootDebuggerProbe(at: Place, page: Gpn = DEBUGGER_PAGE): Strand<boolean> {
  const { lo: on, hi } = pageAt({ lo: 0, hi: 0 }, page)
  yield* read(at, msrs.HV_X64_MSR_SIMP)
  yield wrmsr(at, msrs.HV_X64_MSR_SIMP, on, hi)
  const back = yield* read(at, msrs.HV_X64_MSR_SIMP)
  yield wrmsr(at, msrs.HV_X64_MSR_SIMP, on - 1, hi)
  return back.lo === on && back.hi === hi
}

/** The probe with its claim; the page is the debugger's own, so nobody's allocator is asked. */
export function* bootDebugger(vcpu: number, page: Gpn = DEBUGGER_PAGE): Strand<boolean> {
  const at: Place = { actor: BOOT_DEBUGGER, vcpu }
  yield attach(at.actor, [msrs.HV_X64_MSR_SIMP])
  yield claimPage(at, page)
  const works = yield* bootDebuggerProbe(at, page)
  yield detach(at.actor)
  yield freePage(at, page)
  return works
}
