/** What one op did: the outcome, and the consequences in order, as words in a buffer that is used again. */
import { assert } from '../hv/assert.js'

export const FAULT_NONE = 0
export const FAULT_GP = 1
export const FAULT_UD = 2

// Which of the optional outcome fields apply.
export const HAS_VALUE = 1
export const HAS_VECTOR = 2
export const HAS_STATUS = 4
export const HAS_DELIVERY = 8
export const HAS_BYTES = 16
export const HAS_DUMP = 32
export const HAS_HALTED = 64
/** Set from outside: somebody who watches the partition has something to say of the op. */
export const HAS_VIOLATIONS = 128

export const DELIVERIES = ['delivered', 'queued', 'busy', 'dropped'] as const
export const DELIVERED = 0
export const QUEUED = 1
export const BUSY = 2
export const DROPPED = 3
export type Delivery = typeof DELIVERED | typeof QUEUED | typeof BUSY | typeof DROPPED

/** Where an interrupt or message came from. */
export const SOURCES = ['message', 'event', 'gsi', 'timer', 'ipi'] as const
export const FROM_MESSAGE = 0
export const FROM_EVENT = 1
export const FROM_GSI = 2
export const FROM_TIMER = 3
export const FROM_IPI = 4
export type Source =
  | typeof FROM_MESSAGE
  | typeof FROM_EVENT
  | typeof FROM_GSI
  | typeof FROM_TIMER
  | typeof FROM_IPI

/** In place of a source: it came to nothing. */
export const NO_SOURCE = 0xff

/** No SINT behind it: a direct timer or an IPI. */
export const NO_SINT = 0xff

// Kinds of consequence, first word of each; the words behind it are named in EFFECT_WORDS.
export const EFFECT_IRQ = 1
export const EFFECT_EXIT = 2
export const EFFECT_ACK = 3
export const EFFECT_SIGNAL = 4
export const EFFECT_HCALL_EXIT = 5
export const EFFECT_MESSAGE = 6
export const EFFECT_FREED = 7
export const EFFECT_EVENT = 8
export const EFFECT_EOM = 9
export const EFFECT_EOI = 10
export const EFFECT_WAKE = 11
export const EFFECT_LOST = 12
export const EFFECT_DROPPED = 13
export const EFFECT_LIFECYCLE = 14
export const EFFECT_VIOLATION = 15
export const EFFECT_DOORBELL = 16
export const EFFECT_WAITS = 17
export const EFFECT_LEFT = 18

/** Words of a record of each kind, the kind itself included. */
export const EFFECT_WORDS = Uint8Array.of(
  0, //
  4, // irq: vcpu, vector, source | sint << 8 | nested << 16
  9, // exit: vcpu, msr, then SCONTROL, SIEFP, SIMP as lo/hi
  2, // ack: gsi
  2, // signal: connection
  8, // hcall exit: vcpu, control lo/hi, input lo/hi, output lo/hi
  4, // message in its slot: vcpu, source | sint << 8 | nested << 16, message type
  4, // slot emptied by the guest: vcpu, sint << 8 | nested << 16, message type
  4, // event flag newly set: vcpu, sint << 8 | nested << 16, flag
  2, // eom: vcpu
  3, // eoi: vcpu, vector
  2, // a halted vCPU was woken: vcpu
  4, // edge lost: vcpu, source | sint << 8 | nested << 16, code (-2 masked, 0 not accepted)
  4, // message dropped: vcpu, source | sint << 8 | nested << 16, error
  2, // lifecycle: one of LIFECYCLES
  4, // violation: one of VIOLATIONS, vcpu, msr
  2, // doorbell rung: port
  2, // a message waits for its slot from now on: ticket
  3, // one that waited is in its slot, or was dropped: ticket, source or NO_SOURCE
)

export const LIFECYCLES = ['system_reset', 'crash'] as const
export const LIFECYCLE_SYSTEM_RESET = 0
export const LIFECYCLE_CRASH = 1
export const VIOLATIONS = ['disabled_write'] as const
export const VIOLATION_DISABLED_WRITE = 0

const NO_BYTES = new Uint8Array(0)

export class Effects {
  fault = FAULT_NONE
  errno = 0
  has = 0
  valueLo = 0
  valueHi = 0
  vector = 0
  status = 0
  delivery: number = DELIVERED
  halted = false
  bytes: Uint8Array = NO_BYTES
  dump: object | null = null
  /**
   * Of a write that reached a SynIC register: its file, its distance from SCONTROL, and what it held before.
   * File -1: no such write.
   */
  file = -1
  register = 0
  oldLo = 0
  oldHi = 0
  /** What an auditor says of the op: a JSON list. */
  violations = ''
  #tickets = 0
  /** Consequence records back to back; `length` words are valid. */
  words = new Int32Array(256)
  length = 0
  /** One bit for each kind of consequence there is: 1 << EFFECT_IRQ and so on. */
  kinds = 0

  reset(): void {
    this.fault = FAULT_NONE
    this.errno = 0
    this.has = 0
    this.length = 0
    this.kinds = 0
    this.file = -1
  }

  get ok(): boolean {
    return this.fault === FAULT_NONE && this.errno === 0
  }

  gp(): void {
    this.fault = FAULT_GP
  }

  fail(errno: number): void {
    assert(errno < 0, 'an errno is negative')
    this.errno = errno
  }

  value(lo: number, hi: number): void {
    this.has |= HAS_VALUE
    this.valueLo = lo | 0
    this.valueHi = hi | 0
  }

  setVector(vector: number): void {
    this.has |= HAS_VECTOR
    this.vector = vector
  }

  /** A hypercall's status. RAX, the result's `value`, holds it too when the raw ABI was used. */
  setStatus(status: number): void {
    this.has |= HAS_STATUS
    this.status = status
  }

  setDelivery(delivery: Delivery, errno = 0): void {
    this.has |= HAS_DELIVERY
    this.delivery = delivery
    this.errno = errno
  }

  setBytes(bytes: Uint8Array): void {
    this.has |= HAS_BYTES
    this.bytes = bytes
  }

  setDump(dump: object): void {
    this.has |= HAS_DUMP
    this.dump = dump
  }

  tellViolations(list: string): void {
    this.has |= HAS_VIOLATIONS
    this.violations = list
  }

  setHalted(halted: boolean): void {
    this.has |= HAS_HALTED
    this.halted = halted
  }

  /** Appends one record of up to four words; longer ones continue with `more`. */
  push(kind: number, a: number, b = 0, c = 0): void {
    const at = this.length
    if (at + 16 > this.words.length) this.grow()
    const words = this.words
    words[at] = kind
    words[at + 1] = a
    words[at + 2] = b
    words[at + 3] = c
    this.length = at + EFFECT_WORDS[kind]
    this.kinds |= 1 << kind
  }

  /** A message begins to wait; returns its ticket, never the same twice. Timers have one each, below zero. */
  waits(ticket = ++this.#tickets): number {
    this.push(EFFECT_WAITS, ticket)
    return ticket
  }

  exit(vcpu: number, msr: number, file: Int32Array, scontrol: number, siefp: number, simp: number): void {
    this.push(EFFECT_EXIT, vcpu, msr)
    const words = this.words
    const at = this.length - 6
    words[at] = file[scontrol]
    words[at + 1] = file[scontrol + 1]
    words[at + 2] = file[siefp]
    words[at + 3] = file[siefp + 1]
    words[at + 4] = file[simp]
    words[at + 5] = file[simp + 1]
  }

  hcallExit(
    vcpu: number,
    cLo: number,
    cHi: number,
    iLo: number,
    iHi: number,
    oLo: number,
    oHi: number,
  ): void {
    this.push(EFFECT_HCALL_EXIT, vcpu, cLo, cHi)
    const words = this.words
    const at = this.length - 4
    words[at] = iLo
    words[at + 1] = iHi
    words[at + 2] = oLo
    words[at + 3] = oHi
  }

  /** An independent copy, for who must keep it beyond the next op. */
  copy(): Effects {
    const copy = Object.assign(new Effects(), this)
    copy.words = this.words.slice(0, Math.max(this.length, 16))
    return copy
  }

  private grow(): void {
    const words = new Int32Array(this.words.length * 2)
    words.set(this.words)
    this.words = words
  }
}

/** Second-word encoding shared by several records. */
export function sintWord(source: number, sint: number, nested: boolean): number {
  return source | (sint << 8) | (nested ? 0x1_0000 : 0)
}
