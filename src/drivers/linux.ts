/** A Linux kernel with its Hyper-V drivers: boot, kexec, crash, and CPUs that go and come back. */
import {
  hypervCleanup,
  hypervCleanupCpu,
  hypervInit,
  hypervInitCpu,
  hypervReportPanic,
  LINUX,
} from './hyperv.js'
import type { Kernel } from './kernel.js'
import { mshvDown, mshvOffline, mshvOnline, mshvReboot, mshvUp, type Notifier } from './mshv-life.js'
import type { MshvVersion } from './mshv-state.js'
import { bootKernel, type Strand, vcpuOffline, vcpuOnline } from './step.js'
import { stimerCleanupCpu, stimerDown, stimerInitCpu, stimerShutdown, stimerUp } from './stimer.js'
import { vmbusCleanupCpu } from './vmbus.js'
import { type Patience, vmbusCrashUnload, vmbusUnload } from './vmbus-contact.js'
import { takeDown, vmbusOffline, vmbusOnline, vmbusUp } from './vmbus-life.js'

/** Old behaviour, and releases that are left out, by choice of a scenario. */
export interface Faults {
  /** Who ends without letting go of its registers at a restart, offline or removal; true: every driver. */
  readonly skipRelease?: boolean | 'mshv' | 'vmbus'
  readonly notifier?: Notifier
}

export interface BootOptions {
  /** MSHV's version; null: not loaded. */
  readonly mshv: MshvVersion | null
  /** How to wait for VMBus's host; null: there is none, and VMBus stays unconnected. */
  readonly host: Patience | null
  /** MSHV is loaded before VMBus, which its Kconfig dependency was to exclude. */
  readonly mshvFirst?: boolean
}

export interface KexecOptions {
  /** Name of the next kernel. */
  readonly next: string
  readonly patience?: Patience
  /** Goes on without UNLOAD_RESPONSE, where Linux would wait for ever. */
  readonly goesOnUnanswered?: boolean
  readonly faults?: Faults
}

export interface CrashOptions {
  readonly next: string
  /** Looks for UNLOAD_RESPONSE, 10 ms apart. */
  readonly rounds?: number
}

function skips(faults: Faults | undefined, driver: 'mshv' | 'vmbus'): boolean {
  return faults?.skipRelease === true || faults?.skipRelease === driver
}

/** 0, or the errno of the driver that did not start; the kernel runs on without it. */
export function* linuxBoot(kernel: Kernel, options: BootOptions): Strand<number> {
  yield* hypervInit(kernel)
  yield* stimerUp(kernel)
  yield* stimerInitCpu(kernel, kernel.bootCpu, 'direct')
  for (const vcpu of kernel.cpus()) {
    if (vcpu === kernel.bootCpu) continue
    yield vcpuOnline({ actor: LINUX, vcpu })
    yield* stimerInitCpu(kernel, vcpu, 'direct')
    yield* hypervInitCpu(kernel, vcpu)
  }
  const { mshv, host, mshvFirst = false } = options
  const early = mshvFirst && mshv !== null ? yield* mshvUp(kernel, mshv) : 0
  const vmbus = yield* vmbusUp(kernel, host)
  const late = !mshvFirst && mshv !== null ? yield* mshvUp(kernel, mshv) : 0
  return vmbus || early || late
}

/** kernel_restart with a loaded kernel. 0, or ETIMEDOUT where it hangs for want of UNLOAD_RESPONSE. */
export function* linuxKexec(kernel: Kernel, options: KexecOptions): Strand<number> {
  const { faults, patience, goesOnUnanswered = false } = options
  // kernel_restart_prepare: the notifiers come before every device.
  if (!skips(faults, 'mshv')) yield* mshvReboot(kernel, faults?.notifier)
  // hv_machine_shutdown: first the timers, then VMBus's handler.
  yield* stimerDown(kernel)
  if (kernel.vmbusExists) {
    const errno = yield* vmbusUnload(kernel, patience)
    if (errno < 0 && !goesOnUnanswered) return errno
    if (!skips(faults, 'vmbus')) yield* takeDown(kernel, false)
  }
  for (const vcpu of kernel.cpus()) yield* hypervCleanupCpu(kernel, vcpu)
  yield* stopOthers(kernel, kernel.bootCpu)
  yield* hypervCleanup(kernel.bootCpu)
  yield bootKernel(LINUX, options.next, 'kexec')
  return 0
}

/**
 * hyperv_report_panic, then hv_machine_crash_shutdown: what only the crashing CPU can do. The others stop
 * with their SynIC as it is, and MSHV has no part in it.
 */
export function* linuxCrash(kernel: Kernel, vcpu: number, options: CrashOptions): Strand<number> {
  let errno = 0
  yield* hypervReportPanic(vcpu)
  if (kernel.vmbusExists) {
    errno = yield* vmbusCrashUnload(kernel, vcpu, options.rounds)
    if (kernel.timersExist) yield* stimerShutdown(vcpu)
    yield* vmbusCleanupCpu(kernel, vcpu)
  }
  yield* stopOthers(kernel, vcpu)
  yield* hypervCleanup(vcpu)
  yield bootKernel(LINUX, options.next, 'crash')
  return errno
}

function* stopOthers(kernel: Kernel, vcpu: number): Strand {
  for (const other of kernel.cpus()) if (other !== vcpu) yield vcpuOffline({ actor: LINUX, vcpu: other })
}

/**
 * A CPU is taken offline: who registered last leaves first. Refused by VMBus, the hotplug core brings back
 * what has left. 0 or -EBUSY.
 */
export function* linuxOffline(kernel: Kernel, vcpu: number, faults?: Faults): Strand<number> {
  let hasMshvLeft = false
  for (const driver of [...kernel.hotplug].reverse()) {
    if (skips(faults, driver)) continue
    if (driver === 'mshv') {
      yield* mshvOffline(kernel, vcpu)
      hasMshvLeft = true
      continue
    }
    const busy = yield* vmbusOffline(kernel, vcpu)
    if (busy >= 0) continue
    if (hasMshvLeft) yield* mshvOnline(kernel, vcpu)
    return busy
  }
  yield* hypervCleanupCpu(kernel, vcpu)
  yield* stimerCleanupCpu(kernel, vcpu, 'direct')
  // hv_common_cpu_die frees the ring's tails; the next time the CPU starts at 0.
  kernel.mshv.tails.delete(vcpu)
  kernel.online.delete(vcpu)
  yield vcpuOffline({ actor: LINUX, vcpu })
  return 0
}

/** A CPU comes back: who registered first starts first. 0, or why MSHV could not start on it. */
export function* linuxOnline(kernel: Kernel, vcpu: number): Strand<number> {
  yield vcpuOnline({ actor: LINUX, vcpu })
  kernel.online.add(vcpu)
  yield* stimerInitCpu(kernel, vcpu, 'direct')
  yield* hypervInitCpu(kernel, vcpu)
  let errno = 0
  for (const driver of kernel.hotplug) {
    if (driver === 'mshv') errno = yield* mshvOnline(kernel, vcpu)
    else yield* vmbusOnline(kernel, vcpu)
  }
  return errno
}

/** rmmod mshv while everything else goes on. */
export function* linuxRemoveMshv(kernel: Kernel, faults?: Faults): Strand {
  if (!skips(faults, 'mshv')) yield* mshvDown(kernel)
}
