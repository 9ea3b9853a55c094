/** The 256-byte message slot: header offsets, flags and message types (TLFS, HV_MESSAGE). */

const SLOT_BYTES = 256
export const SLOT_WORDS = SLOT_BYTES / 4
export const HEADER_BYTES = 16
export const PAYLOAD_BYTES_MAX = 240
/** Word offsets inside a slot. Word 1 is payload size (7:0), flags (15:8), reserved. */
export const SLOT_TYPE = 0
export const SLOT_SIZE_FLAGS = 1
export const SLOT_SENDER = 2
export const SLOT_PAYLOAD = 4
/** Message flags, bit 0, as it stands in word 1: something else waits for this SINT. */
export const MESSAGE_PENDING = 1 << 8
export const FLAGS_BYTE = 0xff00

/** HVMSG_NONE: the only test for an empty slot. */
export const HVMSG_NONE = 0
export const HVMSG_TIMER_EXPIRED = 0x8000_0010 | 0
export const HVMSG_SYNIC_SINT_INTERCEPT = 0x8000_0061 | 0
/** A message type with this bit comes from the hypervisor; a guest may not post it (TLFS). */
export const HVMSG_HYPERVISOR = 0x8000_0000 | 0
/** Payload of a timer expiry: index, reserved, expiration time, delivery time. */
export const TIMER_PAYLOAD_BYTES = 24

/** Types by number (TLFS HV_MESSAGE_TYPE; 0x80000040 and 0x80010005 from Linux 6.1 hyperv-tlfs.h). */
export const MESSAGE_TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0x0000_0000, 'none'],
  [0x0000_0001, 'vmbus_channel_message'],
  [0x8000_0000, 'unmapped_gpa'],
  [0x8000_0001, 'gpa_intercept'],
  [0x8000_0003, 'unaccepted_gpa'],
  [0x8000_0004, 'gpa_attribute_intercept'],
  [0x8000_0010, 'timer_expired'],
  [0x8000_0020, 'invalid_vp_register_value'],
  [0x8000_0021, 'unrecoverable_exception'],
  [0x8000_0022, 'unsupported_feature'],
  [0x8000_003f, 'opaque_intercept'],
  [0x8000_0040, 'event_log_buffer_complete'],
  [0x8000_0050, 'hypercall_intercept'],
  [0x8000_0060, 'synic_event_intercept'],
  [0x8000_0061, 'synic_sint_intercept'],
  [0x8000_0062, 'synic_sint_deliverable'],
  [0x8000_0070, 'async_call_completion'],
  [0x8000_0071, 'insufficient_memory'],
  [0x8000_0100, 'scheduler_vp_signal_bitset'],
  [0x8000_0101, 'scheduler_vp_signal_pair'],
  [0x8001_0000, 'x64_io_port_intercept'],
  [0x8001_0001, 'msr_intercept'],
  [0x8001_0002, 'x64_cpuid_intercept'],
  [0x8001_0003, 'exception_intercept'],
  [0x8001_0004, 'x64_apic_eoi'],
  [0x8001_0005, 'x64_legacy_fp_error'],
  [0x8001_0006, 'register_intercept'],
  [0x8001_0007, 'x64_halt'],
  [0x8001_0008, 'x64_interruption_deliverable'],
  [0x8001_0009, 'x64_sipi_intercept'],
  [0x8001_000a, 'x64_rdtsc_intercept'],
  [0x8001_000b, 'x64_apic_smi_intercept'],
  [0x8001_000c, 'arm64_reset_intercept'],
  [0x8001_000d, 'x64_apic_init_sipi_intercept'],
  [0x8001_000e, 'x64_apic_write_intercept'],
  [0x8001_0011, 'x64_snp_guest_request_intercept'],
  [0x8001_0012, 'x64_exception_trap_intercept'],
  [0x8001_0013, 'x64_sev_vmgexit_intercept'],
  [0x8001_0015, 'x64_msr_list_intercept'],
])
