/** MSR numbers and names (TLFS; SIRBP and the nested file from Linux hvgdk_mini.h). */

export const HV_X64_MSR_GUEST_OS_ID = 0x4000_0000
export const HV_X64_MSR_HYPERCALL = 0x4000_0001
export const HV_X64_MSR_VP_INDEX = 0x4000_0002
export const HV_X64_MSR_RESET = 0x4000_0003
export const HV_X64_MSR_VP_RUNTIME = 0x4000_0010
export const HV_X64_MSR_TIME_REF_COUNT = 0x4000_0020
export const HV_X64_MSR_REFERENCE_TSC = 0x4000_0021
export const HV_X64_MSR_TSC_FREQUENCY = 0x4000_0022
export const HV_X64_MSR_APIC_FREQUENCY = 0x4000_0023
export const HV_X64_MSR_EOI = 0x4000_0070
export const HV_X64_MSR_ICR = 0x4000_0071
export const HV_X64_MSR_TPR = 0x4000_0072
export const HV_X64_MSR_VP_ASSIST_PAGE = 0x4000_0073
export const HV_X64_MSR_SCONTROL = 0x4000_0080
export const HV_X64_MSR_SVERSION = 0x4000_0081
export const HV_X64_MSR_SIEFP = 0x4000_0082
export const HV_X64_MSR_SIMP = 0x4000_0083
export const HV_X64_MSR_EOM = 0x4000_0084
export const HV_X64_MSR_SIRBP = 0x4000_0085
export const HV_X64_MSR_SINT0 = 0x4000_0090
export const HV_X64_MSR_STIMER0_CONFIG = 0x4000_00b0
export const HV_X64_MSR_STIMER0_COUNT = 0x4000_00b1
export const HV_X64_MSR_CRASH_P0 = 0x4000_0100
export const HV_X64_MSR_CRASH_CTL = 0x4000_0105
export const HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG = 0x4000_0114
export const HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT = 0x4000_0115
export const HV_X64_MSR_NESTED_VP_INDEX = 0x4000_1002
/** Nested register n is the plain one plus this (TLFS nested-virtualization, "Nested SynIC MSRs"). */
export const NESTED_MSR_OFFSET = 0x1000
export const HV_X64_MSR_NESTED_SCONTROL = HV_X64_MSR_SCONTROL + NESTED_MSR_OFFSET

const SYNIC_NAMES: readonly (readonly [string, number])[] = [
  ['SCONTROL', HV_X64_MSR_SCONTROL],
  ['SVERSION', HV_X64_MSR_SVERSION],
  ['SIEFP', HV_X64_MSR_SIEFP],
  ['SIMP', HV_X64_MSR_SIMP],
  ['EOM', HV_X64_MSR_EOM],
]
const numbered = (prefix: string, first: number, count: number) =>
  Array.from({ length: count }, (_, n) => [`${prefix}${n}`, first + n] as const)

/** Every register by name, in ascending order of number. */
export const MSR_BY_NAME: ReadonlyMap<string, number> = new Map<string, number>([
  ['GUEST_OS_ID', HV_X64_MSR_GUEST_OS_ID],
  ['HYPERCALL', HV_X64_MSR_HYPERCALL],
  ['VP_INDEX', HV_X64_MSR_VP_INDEX],
  ['RESET', HV_X64_MSR_RESET],
  ['VP_RUNTIME', HV_X64_MSR_VP_RUNTIME],
  ['TIME_REF_COUNT', HV_X64_MSR_TIME_REF_COUNT],
  ['REFERENCE_TSC', HV_X64_MSR_REFERENCE_TSC],
  ['TSC_FREQUENCY', HV_X64_MSR_TSC_FREQUENCY],
  ['APIC_FREQUENCY', HV_X64_MSR_APIC_FREQUENCY],
  ['EOI', HV_X64_MSR_EOI],
  ['ICR', HV_X64_MSR_ICR],
  ['TPR', HV_X64_MSR_TPR],
  ['VP_ASSIST_PAGE', HV_X64_MSR_VP_ASSIST_PAGE],
  ...SYNIC_NAMES,
  ['SIRBP', HV_X64_MSR_SIRBP],
  ...numbered('SINT', HV_X64_MSR_SINT0, 16),
  ...[0, 1, 2, 3].flatMap((n): [string, number][] => [
    [`STIMER${n}_CONFIG`, HV_X64_MSR_STIMER0_CONFIG + 2 * n],
    [`STIMER${n}_COUNT`, HV_X64_MSR_STIMER0_COUNT + 2 * n],
  ]),
  ...numbered('CRASH_P', HV_X64_MSR_CRASH_P0, 5),
  ['CRASH_CTL', HV_X64_MSR_CRASH_CTL],
  ['STIME_UNHALTED_TIMER_CONFIG', HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG],
  ['STIME_UNHALTED_TIMER_COUNT', HV_X64_MSR_STIME_UNHALTED_TIMER_COUNT],
  ['NESTED_VP_INDEX', HV_X64_MSR_NESTED_VP_INDEX],
  ...SYNIC_NAMES.map(([name, msr]): [string, number] => [`NESTED_${name}`, msr + NESTED_MSR_OFFSET]),
  ...numbered('NESTED_SINT', HV_X64_MSR_SINT0 + NESTED_MSR_OFFSET, 16),
])

export const MSR_NAMES: ReadonlyMap<number, string> = new Map(
  [...MSR_BY_NAME].map(([name, msr]) => [msr, name] as const),
)
