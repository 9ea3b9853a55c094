/** Every bound of the simulated machine in one place. */

/** KVM_MAX_VCPUS: VP indexes are below it, and no partition has more vCPUs. */
export const VCPUS_MAX = 1024
/** KVM_MAX_VCPU_IDS: vCPU ids are below it. */
export const VCPU_ID_LIMIT = 4096
/** KVM_MAX_IRQ_ROUTES: GSIs are below it, and a routing table has at most so many entries. */
export const GSI_LIMIT = 4096
/** Connection and port ids have 24 bits (TLFS, "Connection and Port Identifiers"). */
export const CONNECTION_ID_MAX = 0xff_ffff
/** Message buffers of one TLFS port. The host's own posts to one SINT draw on a pool of the same size. */
export const PORT_BUFFERS = 16
/**
 * OpenVMM's queue behind a slot has no bound; here it has this one, and a post beyond it is refused as busy.
 */
export const SINT_QUEUE_MAX = 4096
/** Host deliveries in progress with `split_delivery`. */
export const SPLIT_DELIVERIES_MAX = 4096
/** Interrupts one `clock.advance` may raise through direct timers; an op that could raise more is refused. */
export const EXPIRIES_PER_ADVANCE_MAX = 16_384
/** Reference time stays a safe integer: 28 years of 100 ns ticks. */
export const REFERENCE_TIME_MAX = Number.MAX_SAFE_INTEGER
/** Ports and connections of one partition, each. */
export const PORTS_MAX = 65_536
/** Pages with a holder, and names (actors, kernels), of one partition. */
export const PAGE_CLAIMS_MAX = 65_536
export const NAMES_MAX = 4096
export const NAME_LENGTH_MAX = 64
/** Claims of one actor. */
export const CLAIMS_MAX = 256
/** Bytes one `mem.read` or `mem.write` may move. */
export const MEMORY_OP_BYTES_MAX = 65_536
/**
 * Entries accepted on the wire in one `gsi.route`: more than KVM takes, so that its own refusal can be seen.
 */
export const ROUTE_ENTRIES_WIRE_MAX = 8192
/** Pages of guest memory a partition may touch unless configured otherwise (1 GiB). */
export const MEMORY_PAGES_DEFAULT = 262_144
/** gpa_limit unless given: 4 GiB. */
export const GPA_LIMIT_DEFAULT_PAGES = 0x10_0000
/** Guest physical addresses have at most 52 bits on x86-64. */
export const GPA_LIMIT_PAGES_MAX = 2 ** 40
export const GPA_PAGE_BYTES = 4096
