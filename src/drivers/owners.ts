/** Which registers each Linux driver counts as its own, by kind of partition: its claims. */
import type { PartitionKind } from '../hv/cpuid.js'
import * as msrs from '../hv/msrs.js'
import { SINT_DOORBELL, SINT_INTERCEPT, SINT_VMBUS } from '../hv/registers.js'

const SHARED = [msrs.HV_X64_MSR_SCONTROL, msrs.HV_X64_MSR_SIMP, msrs.HV_X64_MSR_SIEFP]
const INTERCEPTS = [
  msrs.HV_X64_MSR_SIRBP,
  msrs.HV_X64_MSR_SINT0 + SINT_INTERCEPT,
  msrs.HV_X64_MSR_SINT0 + SINT_DOORBELL,
]

/** VMBus owns what it needs for SINT2; on a nested root in the nested file, on a root it does not run. */
export function vmbusRegisters(kind: PartitionKind): readonly number[] {
  if (kind === 'root') return []
  const plain = [...SHARED, msrs.HV_X64_MSR_SINT0 + SINT_VMBUS]
  return kind === 'nested_root' ? plain.map((msr) => msr + msrs.NESTED_MSR_OFFSET) : plain
}

/** MSHV owns the rest of the SynIC only where no VMBus is ("mshv: limit SynIC management to ..."). */
export function mshvRegisters(kind: PartitionKind): readonly number[] {
  switch (kind) {
    case 'guest':
      return []
    case 'root':
      return [...SHARED, ...INTERCEPTS]
    case 'nested_root':
    case 'l1vh':
      return INTERCEPTS
  }
}
