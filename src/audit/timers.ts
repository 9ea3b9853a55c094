/** Timer registers by number (TLFS, "Synthetic Timers": config and count of each in turn). */
import { HV_X64_MSR_STIMER0_CONFIG } from '../hv/msrs.js'

/** Which of the four timers a register belongs to. */
export function timerOf(msr: number): number {
  return (msr - HV_X64_MSR_STIMER0_CONFIG) >> 1
}

export function isCount(msr: number): boolean {
  return ((msr - HV_X64_MSR_STIMER0_CONFIG) & 1) === 1
}
