/** Hypercall control word, call codes and statuses (TLFS; offsets from Linux hvhdk headers). */

export const CONTROL_FAST = 1 << 16
/** Variable header size, bits 26:17 of the low word. */
export const CONTROL_VARIABLE_HEADER = 0x3ff << 17
/** Rep count 43:32 and rep start 59:48, in the high word. */
export const CONTROL_REPS = 0x0fff_0fff
/** For the hypervisor below the one that is called (TLFS); a reserved bit on KVM. */
export const CONTROL_NESTED = 0x8000_0000 | 0
/** KVM treats 31:27, 47:44 and 63:60 as reserved. */
export const CONTROL_RESERVED_LO = 0xf800_0000 | 0
export const CONTROL_RESERVED_HI = 0xf000_f000 | 0

export const HVCALL_DELETE_PORT = 0x58
export const HVCALL_DISCONNECT_PORT = 0x5b
export const HVCALL_POST_MESSAGE = 0x5c
export const HVCALL_SIGNAL_EVENT = 0x5d
export const HVCALL_NOTIFY_PORT_RING_EMPTY = 0x8b
export const HVCALL_CREATE_PORT = 0x95
export const HVCALL_CONNECT_PORT = 0x96
export const HVCALL_SIGNAL_EVENT_DIRECT = 0xc0
export const HVCALL_POST_MESSAGE_DIRECT = 0xc1

export const HV_SUCCESS = 0
export const HV_INVALID_HYPERCALL_CODE = 2
export const HV_INVALID_HYPERCALL_INPUT = 3
export const HV_INVALID_ALIGNMENT = 4
export const HV_INVALID_PARAMETER = 5
export const HV_ACCESS_DENIED = 6
export const HV_OPERATION_DENIED = 8
export const HV_INSUFFICIENT_MEMORY = 11
export const HV_INVALID_PARTITION_ID = 13
export const HV_INVALID_VP_INDEX = 14
export const HV_INVALID_PORT_ID = 17
export const HV_INVALID_CONNECTION_ID = 18
export const HV_INSUFFICIENT_BUFFERS = 19
export const HV_INVALID_SYNIC_STATE = 24

/** RAX of KVM's native hypercall ABI for a number it does not know: -KVM_ENOSYS. */
export const KVM_ENOSYS = -1000

/** HvPostMessage's input block. */
export const POST_MESSAGE_INPUT_BYTES = 256

export const HV_VP_ANY = 0xffff_ffff
export const HV_VP_SELF = 0xffff_fffe
export const HV_PARTITION_ID_SELF = -1

export const PORT_MESSAGE = 1
export const PORT_EVENT = 2
export const PORT_DOORBELL = 4

/** Doorbell flags: 1, 2, 3, 4 = a store of 1, 2, 4, 8 bytes; 0 any size; bit 31 any value. */
export const DOORBELL_ANY_VALUE = 0x8000_0000 | 0
export const DOORBELL_SIZE = 0x7
