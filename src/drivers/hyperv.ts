/** Linux as a Hyper-V guest beside its drivers (hv_init.c): hypercalls, assist page, TSC page. */
import { gpnOf, type Halves } from '../hv/bits.js'
import * as msrs from '../hv/msrs.js'
import { PAGE_ENABLE } from '../hv/registers.js'
import type { Gpn, Kernel } from './kernel.js'
import { allocate } from './memory.js'
import { isRoot } from './mshv.js'
import { type Place, read, type Strand, update, wrmsr } from './step.js'
import { pageAt } from './vmbus.js'

export const LINUX = 'linux'
/** hv_generate_guest_id: open source, Linux, version 6.1. */
const GUEST_OS_ID: Halves = { lo: 0x0100_0000, hi: 0x8100_0006 | 0 }
const ASSIST_PAGE = 'linux VP assist page'

const CRASH_PARAMETERS = 5
/** HV_CRASH_CTL_CRASH_NOTIFY, bit 63. */
const CRASH_NOTIFY = 0x8000_0000 | 0
const NOTHING: Halves = { lo: 0, hi: 0 }

const disabled = ({ lo, hi }: Halves): Halves => ({ lo: lo & ~PAGE_ENABLE, hi })

/** hv_init_tsc_clocksource and hyperv_init, on the CPU that boots. */
export function* hypervInit(kernel: Kernel): Strand {
  const at: Place = { actor: LINUX, vcpu: kernel.bootCpu }
  const tsc = yield* allocate(kernel, at, 'linux TSC page')
  yield* update(at, msrs.HV_X64_MSR_REFERENCE_TSC, (old) => pageAt(old, tsc))
  yield* hypervInitCpu(kernel, kernel.bootCpu)
  yield wrmsr(at, msrs.HV_X64_MSR_GUEST_OS_ID, GUEST_OS_ID.lo, GUEST_OS_ID.hi)
  const call = yield* allocate(kernel, at, 'linux hypercall page')
  yield* update(at, msrs.HV_X64_MSR_HYPERCALL, (old) => pageAt(old, call))
}

/** hv_cpu_init: a root uses the assist page it was given, if it was. */
export function* hypervInitCpu(kernel: Kernel, vcpu: number): Strand {
  const at: Place = { actor: LINUX, vcpu }
  let given: Gpn = 0
  if (isRoot(kernel.config.kind)) {
    const old = yield* read(at, msrs.HV_X64_MSR_VP_ASSIST_PAGE)
    given = gpnOf(old.lo, old.hi)
  }
  if (given === 0 && !kernel.hasPage(ASSIST_PAGE, vcpu)) yield* allocate(kernel, at, ASSIST_PAGE)
  const { lo, hi } = pageAt({ lo: 0, hi: 0 }, given === 0 ? kernel.page(ASSIST_PAGE, vcpu) : given)
  yield wrmsr(at, msrs.HV_X64_MSR_VP_ASSIST_PAGE, lo, hi)
}

/** hv_cpu_die. */
export function* hypervCleanupCpu(kernel: Kernel, vcpu: number): Strand {
  const at: Place = { actor: LINUX, vcpu }
  if (isRoot(kernel.config.kind)) yield* update(at, msrs.HV_X64_MSR_VP_ASSIST_PAGE, disabled)
  else yield wrmsr(at, msrs.HV_X64_MSR_VP_ASSIST_PAGE, 0)
}

/**
 * hyperv_report_panic, from the panic notifier: crash_kexec_post_notifiers is set wherever the crash MSRs are
 * there, so that the hypervisor hears of the crash before the next kernel starts.
 */
export function* hypervReportPanic(vcpu: number): Strand {
  const at: Place = { actor: LINUX, vcpu }
  for (let n = 0; n < CRASH_PARAMETERS; n++) {
    // P1 is the guest OS id; error, IP, AX and SP of a crash that nobody debugs are 0.
    const { lo, hi } = n === 1 ? GUEST_OS_ID : NOTHING
    yield wrmsr(at, msrs.HV_X64_MSR_CRASH_P0 + n, lo, hi)
  }
  yield wrmsr(at, msrs.HV_X64_MSR_CRASH_CTL, 0, CRASH_NOTIFY)
}

/** hyperv_cleanup: the last thing that a kernel says to the hypervisor. */
export function* hypervCleanup(vcpu: number): Strand {
  const at: Place = { actor: LINUX, vcpu }
  yield wrmsr(at, msrs.HV_X64_MSR_GUEST_OS_ID, 0)
  yield* update(at, msrs.HV_X64_MSR_HYPERCALL, disabled)
  yield* update(at, msrs.HV_X64_MSR_REFERENCE_TSC, disabled)
}
