/** CPUID leaf 0x40000003: the privileges that gate registers and hypercalls. */

export const EAX_VP_RUNTIME = 1 << 0
export const EAX_TIME_REF_COUNT = 1 << 1
export const EAX_SYNIC = 1 << 2
export const EAX_STIMER = 1 << 3
export const EAX_APIC = 1 << 4
export const EAX_HYPERCALL = 1 << 5
export const EAX_VP_INDEX = 1 << 6
export const EAX_RESET = 1 << 7
export const EAX_REFERENCE_TSC = 1 << 9
export const EAX_FREQUENCY = 1 << 11
const EAX_REENLIGHTENMENT = 1 << 13

export const EBX_CREATE_PARTITIONS = 1 << 0
export const EBX_POST_MESSAGES = 1 << 4
export const EBX_SIGNAL_EVENTS = 1 << 5
export const EBX_CREATE_PORT = 1 << 6
export const EBX_CONNECT_PORT = 1 << 7
const EBX_DEBUGGING = 1 << 11
export const EBX_CPU_MANAGEMENT = 1 << 12

const EDX_GUEST_DEBUGGING = 1 << 1
const EDX_XMM_INPUT = 1 << 4
const EDX_FREQUENCY = 1 << 8
export const EDX_CRASH = 1 << 10
const EDX_DEBUG_MSRS = 1 << 11
export const EDX_SINT_POLLING = 1 << 17
export const EDX_DIRECT_STIMER = 1 << 19
export const EDX_UNHALTED_TIMER = 1 << 23

/** EAX, EBX and EDX of leaf 0x40000003. */
export interface Privileges {
  readonly eax: number
  readonly ebx: number
  readonly edx: number
}

/** All that KVM offers (Linux 6.1 kvm_get_hv_cpuid with the APIC in the kernel). */
export const KVM_PRIVILEGES: Privileges = {
  eax: 0xff | EAX_REFERENCE_TSC | EAX_FREQUENCY | EAX_REENLIGHTENMENT,
  ebx: EBX_POST_MESSAGES | EBX_SIGNAL_EVENTS | EBX_DEBUGGING,
  edx: EDX_GUEST_DEBUGGING | EDX_XMM_INPUT | EDX_FREQUENCY | EDX_CRASH | EDX_DEBUG_MSRS | EDX_DIRECT_STIMER,
}

/** A child partition of the Microsoft hypervisor. */
const GUEST_PRIVILEGES: Privileges = {
  eax: KVM_PRIVILEGES.eax,
  ebx: EBX_POST_MESSAGES | EBX_SIGNAL_EVENTS,
  edx: KVM_PRIVILEGES.edx | EDX_SINT_POLLING,
}

/** Parent partitions may create and connect ports; only a root manages CPUs (Linux mshyperv.c). */
const L1VH_PRIVILEGES: Privileges = {
  ...GUEST_PRIVILEGES,
  ebx: GUEST_PRIVILEGES.ebx | EBX_CREATE_PARTITIONS | EBX_CREATE_PORT | EBX_CONNECT_PORT,
}
const ROOT_PRIVILEGES: Privileges = { ...L1VH_PRIVILEGES, ebx: L1VH_PRIVILEGES.ebx | EBX_CPU_MANAGEMENT }

export type PartitionKind = 'root' | 'nested_root' | 'l1vh' | 'guest'

export function privilegesOf(kind: PartitionKind): Privileges {
  switch (kind) {
    case 'guest':
      return GUEST_PRIVILEGES
    case 'l1vh':
      return L1VH_PRIVILEGES
    case 'root':
    case 'nested_root':
      return ROOT_PRIVILEGES
  }
}
