/** Words to JSON ops: the log, and traces written from it, in the form clients sent them. */

import { toNumber } from '../hv/bits.js'
import { hexOfBytes } from '../hv/hex.js'
import { DOORBELL_ANY_VALUE, DOORBELL_SIZE } from '../hv/hypercalls.js'
import { MSR_NAMES } from '../hv/msrs.js'
import type { NameTable } from '../synic/names.js'
import * as o from '../synic/op.js'
import { CAPS, DOORBELL_BYTES, PORT_TYPES } from './op.js'
import { hexU32, hexU64 } from './wire.js'

/** An op as the wire writes it. */
export type WireOp = { op: string } & Record<string, unknown>

function bytesAt(words: Int32Array, at: number): string {
  return hexOfBytes(new Uint8Array(words.buffer, words.byteOffset + (at + 1) * 4, words[at]))
}

/** Fields that follow `op`, per code. */
function fieldsOf(words: Int32Array, at: number, names: NameTable): Record<string, unknown> {
  const a = at + o.OP_ARGS
  const first = words[at]
  const vcpu = words[at + o.OP_VCPU] >>> 0
  const u = (i: number) => words[a + i] >>> 0
  const u64 = (i: number) => hexU64(words[a + i], words[a + i + 1])
  const nested = (first & o.FLAG_NESTED) !== 0 ? { nested: true } : {}
  switch (first & o.OP_CODE) {
    case o.OP_CAP_ENABLE:
      return { vcpu, cap: CAPS[u(0) - o.CAP_SYNIC] }
    case o.OP_MSR_READ:
      return { vcpu, msr: hexU32(u(0)) }
    case o.OP_MSR_WRITE:
      return { vcpu, msr: hexU32(u(0)), value: u64(1) }
    case o.OP_MEM_READ:
      return { gpa: u64(0), len: u(2) }
    case o.OP_MEM_WRITE:
      return { gpa: u64(0), hex: bytesAt(words, a + 2) }
    case o.OP_HYPERCALL:
      return { vcpu, control: u64(0), input: u64(2), output: u64(4) }
    case o.OP_HV_POST_MESSAGE:
      return { vcpu, connection: u(0), type: hexU32(u(1)), hex: bytesAt(words, a + 2) }
    case o.OP_HV_SIGNAL_EVENT:
      return { vcpu, connection: u(0), flag: u(1) }
    case o.OP_MESSAGE_POST:
      return { vcpu, sint: u(0), type: hexU32(u(1)), sender: u64(2), hex: bytesAt(words, a + 4), ...nested }
    case o.OP_EVENT_SIGNAL:
      return { vcpu, sint: u(0), flag: u(1), ...nested }
    case o.OP_MESSAGE_COMPLETE:
      return { vcpu, sint: u(0), ...nested }
    case o.OP_APIC_TPR:
      return { vcpu, value: u(0) }
    case o.OP_APIC_ENABLE:
      return { vcpu, on: u(0) !== 0 }
    case o.OP_VCPU_KICK:
      return (first & o.FLAG_TRANSIENT) !== 0 ? { vcpu, sticky: false } : { vcpu }
    default:
      return otherFields(words, at, names)
  }
}

function otherFields(words: Int32Array, at: number, names: NameTable): Record<string, unknown> {
  const a = at + o.OP_ARGS
  const u = (i: number) => words[a + i] >>> 0
  const u64 = (i: number) => hexU64(words[a + i], words[a + i + 1])
  switch (words[at] & o.OP_CODE) {
    case o.OP_GSI_ROUTE:
      return { entries: Array.from({ length: u(0) }, (_, i) => entryAt(words, a + 1 + 3 * i)) }
    case o.OP_GSI_ASSERT:
    case o.OP_IRQFD_UNBIND:
      return { gsi: u(0) }
    case o.OP_IRQFD_BIND:
      return (words[at] & o.FLAG_RESAMPLE) !== 0 ? { gsi: u(0), resample: true } : { gsi: u(0) }
    case o.OP_EVENTFD_ASSIGN:
    case o.OP_EVENTFD_DEASSIGN:
      return { conn: u(0) }
    case o.OP_PORT_CREATE: {
      const vcpu = words[a + 2] === -1 ? {} : { vcpu: u(2) }
      return {
        port: u(0),
        type: PORT_TYPES[typeIndex(u(1))],
        ...vcpu,
        sint: u(3),
        flag_base: u(4),
        flag_count: u(5),
      }
    }
    case o.OP_PORT_DELETE:
      return { port: u(0) }
    case o.OP_CONNECTION_CREATE: {
      const size = words[a + 6] & DOORBELL_SIZE
      const value = (words[a + 6] & DOORBELL_ANY_VALUE) !== 0 ? {} : { value: u64(4) }
      const len = size === 0 ? {} : { len: DOORBELL_BYTES[size - 1] }
      return { connection: u(0), port: u(1), gpa: u64(2), ...value, ...len }
    }
    case o.OP_CONNECTION_DELETE:
      return { connection: u(0) }
    case o.OP_CLOCK_ADVANCE:
      return { ticks: toNumber(words[a], words[a + 1]) }
    case o.OP_MEM_CAS:
      return { gpa: u64(0), len: u(2), expect: u64(3), value: u64(5) }
    case o.OP_MEM_XCHG:
      return { gpa: u64(0), len: u(2), value: u64(3) }
    case o.OP_PAGE_CLAIM:
    case o.OP_PAGE_FREE:
      return { gpa: u64(0) }
    case o.OP_ACTOR_ATTACH:
      return {
        claims: Array.from({ length: u(0) }, (_, i) => claimText(words[a + 1 + 2 * i], words[a + 2 + 2 * i])),
      }
    case o.OP_KERNEL_BOOT:
      return { kernel: names.text(u(0)), cause: o.BOOT_CAUSES[u(1)] }
    case o.OP_HOST_STEP: {
      const vcpu = words[a + 1] === -1 ? {} : { vcpu: u(1) }
      return { part: o.STEP_PARTS[u(0)], ...vcpu, ...(words[a + 2] === -1 ? {} : { sint: u(2) }) }
    }
    case o.OP_ACTOR_DETACH:
    case o.OP_PARTITION_PAUSE:
    case o.OP_PARTITION_RESUME:
    case o.OP_PARTITION_RESET:
      return {}
    default:
      return { vcpu: words[at + o.OP_VCPU] >>> 0 }
  }
}

function typeIndex(code: number): number {
  return code <= 2 ? code - 1 : 2
}

function entryAt(words: Int32Array, at: number) {
  return { gsi: words[at] >>> 0, vcpu: words[at + 1] >>> 0, sint: words[at + 2] >>> 0 }
}

/** A claim as `actor.attach` takes it. */
export function claimText(vcpu: number, msr: number): string {
  const register = MSR_NAMES.get(msr) ?? hexU32(msr)
  return vcpu < 0 ? register : `v${vcpu}.${register}`
}

/** The op that begins at `at`, as the wire writes it; defaults that say nothing are left out. */
export function decodeOp(words: Int32Array, at: number, names: NameTable): WireOp {
  const first = words[at]
  const actor = words[at + o.OP_ACTOR]
  return {
    op: o.OP_NAMES[first & o.OP_CODE],
    ...fieldsOf(words, at, names),
    ...((first & o.OP_BY_HOST) !== 0 ? { by: 'host' } : {}),
    ...(actor !== 0 ? { actor: names.text(actor) } : {}),
  }
}
