/** Linux's clock event device on STIMER0 (hyperv_timer.c), direct or by message on SINT2. */
import { toNumber } from '../hv/bits.js'
import * as msrs from '../hv/msrs.js'
import { SINT_VMBUS, STIMER_AUTO_ENABLE, STIMER_DIRECT, STIMER_ENABLE } from '../hv/registers.js'
import type { Kernel } from './kernel.js'
import { attach, detach, halves, type Place, read, type Strand, wrmsr } from './step.js'

export const STIMER = 'stimer'
/** HYPERV_STIMER0_VECTOR. */
export const STIMER_VECTOR = 0xed
const CONFIG_DIRECT = STIMER_ENABLE | STIMER_AUTO_ENABLE | STIMER_DIRECT | (STIMER_VECTOR << 4)
const CONFIG_MESSAGE = STIMER_ENABLE | STIMER_AUTO_ENABLE | (SINT_VMBUS << 16)

/** The driver starts; in message mode this is all it does before VMBus is there (hv_stimer_alloc). */
export function* stimerUp(kernel: Kernel): Strand {
  yield attach(STIMER, [msrs.HV_X64_MSR_STIMER0_CONFIG, msrs.HV_X64_MSR_STIMER0_COUNT])
  kernel.timersExist = true
}

/** hv_ce_set_oneshot. */
export function* stimerOneShot(kernel: Kernel, vcpu: number): Strand {
  const config = kernel.config.hasDirectTimers ? CONFIG_DIRECT : CONFIG_MESSAGE
  yield wrmsr({ actor: STIMER, vcpu }, msrs.HV_X64_MSR_STIMER0_CONFIG, config)
}

/** hv_ce_set_next_event: writing COUNT enables the timer again (auto-enable). */
export function* stimerArm(vcpu: number, ticks: number): Strand {
  const at: Place = { actor: STIMER, vcpu }
  const now = yield* read(at, msrs.HV_X64_MSR_TIME_REF_COUNT)
  yield wrmsr(at, msrs.HV_X64_MSR_STIMER0_COUNT, ...halves(toNumber(now.lo, now.hi) + ticks))
}

/** hv_ce_shutdown. */
export function* stimerShutdown(vcpu: number): Strand {
  const at: Place = { actor: STIMER, vcpu }
  yield wrmsr(at, msrs.HV_X64_MSR_STIMER0_COUNT, 0)
  yield wrmsr(at, msrs.HV_X64_MSR_STIMER0_CONFIG, 0)
}

/** hv_stimer0_isr: the tick runs, and usually sets the next one. */
export function* stimerExpired(kernel: Kernel, vcpu: number): Strand {
  const ticks = kernel.rearm.get(vcpu)
  if (kernel.timersExist && ticks !== undefined) yield* stimerArm(vcpu, ticks)
}

/** A CPU comes up, early (direct mode) or behind VMBus's part (message mode: hv_stimer_legacy_init). */
export function* stimerInitCpu(kernel: Kernel, vcpu: number, mode: 'direct' | 'message'): Strand {
  if (isMode(kernel, mode)) yield* stimerOneShot(kernel, vcpu)
}

/** A CPU goes down: hv_stimer_cleanup, or before VMBus's part hv_stimer_legacy_cleanup. */
export function* stimerCleanupCpu(kernel: Kernel, vcpu: number, mode: 'direct' | 'message'): Strand {
  if (isMode(kernel, mode)) yield* stimerShutdown(vcpu)
}

/** hv_stimer_global_cleanup: from here on no CPU has a timer, and nobody cleans up another time. */
export function* stimerDown(kernel: Kernel): Strand {
  if (!kernel.timersExist) return
  for (const vcpu of kernel.cpus()) yield* stimerShutdown(vcpu)
  kernel.timersExist = false
  yield detach(STIMER)
}

function isMode({ config, timersExist }: Kernel, mode: 'direct' | 'message'): boolean {
  return timersExist && config.hasDirectTimers === (mode === 'direct')
}
