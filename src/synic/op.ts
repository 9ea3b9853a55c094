/**
 * The vocabulary of the whole house: ops as records of 32-bit words.
 *
 * Every record begins with four words: code, host bit and flags; length in words; actor's name id (0 = none);
 * vCPU. What follows is listed with each code. Word records travel unchanged from a binary stream or a
 * journal into the core; JSON becomes words in `src/api`.
 */
import { WordBuffer } from './word-buffer.js'

export const OP_NAMES = [
  'none',
  'vcpu.create',
  'vcpu.reset',
  'vcpu.offline',
  'vcpu.online',
  'cap.enable',
  'msr.read',
  'msr.write',
  'mem.read',
  'mem.write',
  'hypercall',
  'hv.post_message',
  'hv.signal_event',
  'message.post',
  'event.signal',
  'message.complete',
  'apic.ack',
  'apic.eoi',
  'apic.tpr',
  'gsi.route',
  'gsi.assert',
  'irqfd.bind',
  'irqfd.unbind',
  'eventfd.assign',
  'eventfd.deassign',
  'port.create',
  'port.delete',
  'connection.create',
  'connection.delete',
  'clock.advance',
  'synic.dump',
  'partition.pause',
  'partition.resume',
  'partition.reset',
  'mem.cas',
  'mem.xchg',
  'apic.enable',
  'vcpu.halt',
  'vcpu.enter',
  'vcpu.kick',
  'page.claim',
  'page.free',
  'actor.attach',
  'actor.detach',
  'kernel.boot',
  'host.step',
] as const
export type OpName = Exclude<(typeof OP_NAMES)[number], 'none'>

export const OP_VCPU_CREATE = 1
export const OP_VCPU_RESET = 2
export const OP_VCPU_OFFLINE = 3
export const OP_VCPU_ONLINE = 4
/** capability: CAP_SYNIC or CAP_SYNIC2 */
export const OP_CAP_ENABLE = 5
/** msr */
export const OP_MSR_READ = 6
/** msr, value lo, hi */
export const OP_MSR_WRITE = 7
/** gpa lo, hi, bytes */
export const OP_MEM_READ = 8
/** gpa lo, hi, bytes, then the bytes packed into words */
export const OP_MEM_WRITE = 9
/** control lo, hi, input lo, hi, output lo, hi */
export const OP_HYPERCALL = 10
/** connection, message type, bytes, then the payload */
export const OP_HV_POST_MESSAGE = 11
/** connection, flag */
export const OP_HV_SIGNAL_EVENT = 12
/** sint, message type, sender lo, hi, bytes, then the payload */
export const OP_MESSAGE_POST = 13
/** sint, flag */
export const OP_EVENT_SIGNAL = 14
/** sint */
export const OP_MESSAGE_COMPLETE = 15
export const OP_APIC_ACK = 16
export const OP_APIC_EOI = 17
/** value */
export const OP_APIC_TPR = 18
/** entries, then gsi, VP index, sint of each */
export const OP_GSI_ROUTE = 19
/** gsi */
export const OP_GSI_ASSERT = 20
/** gsi; FLAG_RESAMPLE */
export const OP_IRQFD_BIND = 21
/** gsi */
export const OP_IRQFD_UNBIND = 22
/** connection */
export const OP_EVENTFD_ASSIGN = 23
export const OP_EVENTFD_DEASSIGN = 24
/** port, type, VP index, sint, base flag, flag count */
export const OP_PORT_CREATE = 25
/** port */
export const OP_PORT_DELETE = 26
/** connection, port, doorbell gpa lo, hi, value lo, hi, doorbell flags */
export const OP_CONNECTION_CREATE = 27
/** connection */
export const OP_CONNECTION_DELETE = 28
/** ticks lo, hi */
export const OP_CLOCK_ADVANCE = 29
export const OP_SYNIC_DUMP = 30
export const OP_PARTITION_PAUSE = 31
export const OP_PARTITION_RESUME = 32
export const OP_PARTITION_RESET = 33
/** gpa lo, hi, bytes (1, 4, 8), expected lo, hi, value lo, hi */
export const OP_MEM_CAS = 34
/** gpa lo, hi, bytes (1, 4, 8), value lo, hi */
export const OP_MEM_XCHG = 35
/** on */
export const OP_APIC_ENABLE = 36
export const OP_VCPU_HALT = 37
export const OP_VCPU_ENTER = 38
/** FLAG_TRANSIENT: a wake that finds nobody asleep is forgotten */
export const OP_VCPU_KICK = 39
/** gpa lo, hi; the holder is the actor */
export const OP_PAGE_CLAIM = 40
export const OP_PAGE_FREE = 41
/** claims, then vCPU (-1 = all) and MSR of each; the driver is the actor */
export const OP_ACTOR_ATTACH = 42
export const OP_ACTOR_DETACH = 43
/** kernel's name id, cause */
export const OP_KERNEL_BOOT = 44
/** part, vCPU or -1, sint or -1 */
export const OP_HOST_STEP = 45

export const OP_HEADER_WORDS = 4
export const OP_LENGTH = 1
export const OP_ACTOR = 2
export const OP_VCPU = 3
export const OP_ARGS = 4

/** First word: bits 7:0 code, bit 8 by host, 16 and up flags. */
export const OP_CODE = 0xff
export const OP_BY_HOST = 1 << 8
export const FLAG_NESTED = 1 << 16
export const FLAG_RESAMPLE = 1 << 16
export const FLAG_TRANSIENT = 1 << 16

export const CAP_SYNIC = 1
export const CAP_SYNIC2 = 2
export const BOOT_CAUSES = ['kexec', 'crash', 'reset'] as const
export const BOOT_RESET = 2
export const STEP_PARTS = ['pending', 'slot', 'irq'] as const
export const STEP_PENDING = 0
export const STEP_SLOT = 1
export const STEP_IRQ = 2

/** Builds op records back to back. `begin`, then the arguments, then `end`; lists use `reserve` first. */
export class OpWriter extends WordBuffer {
  #start = 0

  begin(code: number, vcpu = 0, host = false, actor = 0, flags = 0): this {
    this.reserve(OP_HEADER_WORDS)
    const at = this.length
    this.#start = at
    const words = this.words
    words[at] = code | (host ? OP_BY_HOST : 0) | flags
    words[at + OP_ACTOR] = actor
    words[at + OP_VCPU] = vcpu
    this.length = at + OP_HEADER_WORDS
    return this
  }

  /** Closes the record; returns where it begins. */
  end(): number {
    this.words[this.#start + OP_LENGTH] = this.length - this.#start
    return this.#start
  }

  /** Forgets the record begun last. */
  abandon(): void {
    this.length = this.#start
  }
}
