/**
 * Where the state of one vCPU lies: a row of 32-bit words in the partition's slab.
 *
 * A row begins with the SynIC register file. A nested root has a second file of the same shape behind the
 * row's common part. Functions take `v`, the word where the row begins, and `f`, where the file begins;
 * without nesting both are equal. Every u64 is two words, low first.
 */

// The register file.
export const SCONTROL = 0
export const SVERSION = 2
export const SIEFP = 4
export const SIMP = 6
export const SIRBP = 8
/** SINTn: low word at SINTS + 2n. */
export const SINTS = 10
/** GSI notified when SINTn is acknowledged, 16 × s16, -1 for none (KVM sint_to_gsi). */
export const SINT_TO_GSI = 42
/**
 * KVM's vec_bitmap and auto_eoi_bitmap, 256 bits each. OpenVMM's APIC keeps its last request per vector in
 * the second.
 */
export const VECTORS = 50
export const AUTO_EOI_VECTORS = 58
/** Frame with the content of the message and event-flags page, 0 while there is none. */
export const MESSAGE_FRAME = 66
export const EVENT_FRAME = 67
/** Two 16-bit masks: see the four names below. */
export const SINT_MASKS = 68
export const FILE_FLAGS = 69
/** Where an overlay page lies now, GPN + 1 as u64; 0 = not mapped. */
export const MESSAGE_MAP = 70
export const EVENT_MAP = 72
export const FILE_WORDS = 74

// FILE_FLAGS.
export const ACTIVE = 1
export const DONT_ZERO_PAGES = 2

/**
 * SINT_MASKS, low half: SINTs with a GSI to notify (KVM), or whose slot was seen empty (OpenVMM), or with a
 * queue (TLFS).
 */
export const LOW_MASK = 0xffff
/** SINT_MASKS, high half: SINTs whose queue asks for the slot (OpenVMM `requested`). */
export const REQUESTED_SHIFT = 16

// The common part of a row.
export const IRR = 74
export const ISR = 82
export const TPR = 90
export const FLAGS = 91
export const VCPU_ID = 92
export const VP_INDEX = 93
export const VP_ASSIST = 94
export const TIMERS = 96
export const ROW_WORDS = 120
export const NESTED_FILE = ROW_WORDS

// One timer, six words.
export const TIMER_WORDS = 6
export const CONFIG = 0
export const COUNT = 2
/** Next or last due time, 0 = not started. */
export const EXP_TIME = 4

// FLAGS.
export const APIC_ENABLED = 1 << 0
export const OFFLINE = 1 << 1
export const HALTED = 1 << 2
/** A wake that found nobody asleep, kept for the next `vcpu.halt`. */
export const WAKE_TOKEN = 1 << 3
/** One bit a timer: needs processing before the next guest entry. */
export const TIMER_PENDING_SHIFT = 4
export const TIMER_PENDING = 0xf << TIMER_PENDING_SHIFT
/** One bit a timer: an expiry was attempted and waits (KVM msg_pending; OpenVMM: due). */
export const MSG_PENDING_SHIFT = 8
export const MSG_PENDING = 0xf << MSG_PENDING_SHIFT
/** One bit a timer: its own message buffer is in a queue (TLFS). */
export const TIMER_QUEUED_SHIFT = 12
export const TIMER_QUEUED = 0xf << TIMER_QUEUED_SHIFT
/** The row stands in the list of rows with timer work, or of rows to scan. */
export const IN_TIMER_ROWS = 1 << 16
export const IN_SCAN_ROWS = 1 << 17
