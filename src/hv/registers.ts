/**
 * Bit fields of the SynIC and timer registers, low words unless said otherwise (TLFS; Linux hvgdk_mini.h).
 */

export const SINT_COUNT = 16
export const STIMER_COUNT = 4

/** SCONTROL: messages may be queued and event flags posted to this vCPU. */
export const SCONTROL_ENABLE = 1
export const SVERSION_VALUE = 1

/** SIMP, SIEFP, SIRBP, HYPERCALL, REFERENCE_TSC, VP_ASSIST_PAGE: bit 0 enables, bits 63:12 are the GPN. */
export const PAGE_ENABLE = 1

/** HV_X64_MSR_SINT0 to SINT15. */
export const SINT_VECTOR = 0xff
export const SINT_MASKED = 1 << 16
export const SINT_AUTO_EOI = 1 << 17
/** Unmasked, but no interrupt is generated (TLFS; KVM ignores it). */
export const SINT_POLLING = 1 << 18
/** The assertion becomes a message on SINT0 instead of an interrupt (Linux hvgdk_mini.h). */
export const SINT_AS_INTERCEPT = 1 << 19
/** Deliver through the other SynIC, the paravisor's or the host's (OpenVMM hvdef). */
export const SINT_PROXY = 1 << 20
/** Every SINT after reset: masked, vector 0. */
export const SINT_RESET = SINT_MASKED
export const FIRST_VALID_VECTOR = 16

/** HV_X64_MSR_STIMERn_CONFIG. */
export const STIMER_ENABLE = 1
export const STIMER_PERIODIC = 1 << 1
export const STIMER_LAZY = 1 << 2
export const STIMER_AUTO_ENABLE = 1 << 3
export const STIMER_DIRECT = 1 << 12
/** Bits of the low word that TLFS defines; 15:13 and 31:20 are RsvdZ. */
export const STIMER_DEFINED = 0x000f_1fff
export function stimerVector(configLo: number): number {
  return (configLo >>> 4) & 0xff
}
export function stimerSint(configLo: number): number {
  return (configLo >>> 16) & 0xf
}

/** HV_X64_MSR_ICR, low word: bits 31:20, 17:16 and 13 are reserved (SDM, x2APIC ICR). */
export const ICR_RESERVED = 0xfff0_0000 | 0x0003_0000 | 0x2000

/** SINTs with a fixed use by convention (TLFS; Linux mshv_synic.c). */
export const SINT_INTERCEPT = 0
export const SINT_VMBUS = 2
export const SINT_DOORBELL = 5
