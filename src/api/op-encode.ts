/** JSON ops to words: one hand-checked pass that accepts exactly what the schemas in op.ts accept. */

import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import { DOORBELL_ANY_VALUE, PORT_DOORBELL, PORT_EVENT, PORT_MESSAGE } from '../hv/hypercalls.js'
import { CLAIMS_MAX, MEMORY_OP_BYTES_MAX, ROUTE_ENTRIES_WIRE_MAX } from '../hv/limits.js'
import { PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import type { NameTable } from '../synic/names.js'
import * as o from '../synic/op.js'
import { didYouMean } from './did-you-mean.js'
import {
  ACTOR_REQUIRED,
  BY,
  CAPS,
  CLAIM_RULE,
  DOORBELL_BYTES,
  EXCHANGE_BYTES,
  LEN_RULE,
  OP_FIELDS,
  PORT_TYPES,
  parseClaim,
  TICKS_RULE,
} from './op.js'
import {
  flag,
  integer,
  type Json,
  messageType,
  msr,
  nameId,
  OpInputError,
  oneOf,
  present,
  putHex,
  putOptionalHex,
  putOptionalU64,
  putU64,
  u32,
} from './op-fields.js'
import { halves, parseU64, U32_MAX, U32_RULE } from './wire.js'

/** Writes the arguments of one op. Returns how many optional fields of its own were present. */
type Encode = (op: Json, w: o.OpWriter, context: Context) => number

interface Context {
  host: boolean
  actor: number
  names: NameTable
}

function begin(w: o.OpWriter, code: number, op: Json, c: Context, flags = 0): o.OpWriter {
  return w.begin(code, u32(op, 'vcpu'), c.host, c.actor, flags)
}

/** An op that has nothing but its vCPU. */
function vcpuOnly(code: number): Encode {
  return (op, w, c) => {
    begin(w, code, op, c)
    return 0
  }
}

function noFields(code: number): Encode {
  return (_op, w, c) => {
    w.begin(code, 0, c.host, c.actor)
    return 0
  }
}

function oneU32(code: number, field: string): Encode {
  return (op, w, c) => {
    w.begin(code, 0, c.host, c.actor).put(u32(op, field))
    return 0
  }
}

function gpaOnly(code: number): Encode {
  return (op, w, c) => {
    w.begin(code, 0, c.host, c.actor)
    putU64(w, op, 'gpa')
    return 0
  }
}

const PORT_TYPE_CODES = [PORT_MESSAGE, PORT_EVENT, PORT_DOORBELL]

const ENCODERS: Record<o.OpName, Encode> = {
  'vcpu.create': vcpuOnly(o.OP_VCPU_CREATE),
  'vcpu.reset': vcpuOnly(o.OP_VCPU_RESET),
  'vcpu.offline': vcpuOnly(o.OP_VCPU_OFFLINE),
  'vcpu.online': vcpuOnly(o.OP_VCPU_ONLINE),
  'cap.enable': (op, w, c) => {
    begin(w, o.OP_CAP_ENABLE, op, c).put(oneOf(op, 'cap', CAPS) + o.CAP_SYNIC)
    return 0
  },
  'msr.read': (op, w, c) => {
    begin(w, o.OP_MSR_READ, op, c).put(msr(op))
    return 0
  },
  'msr.write': (op, w, c) => {
    begin(w, o.OP_MSR_WRITE, op, c).put(msr(op))
    putU64(w, op, 'value')
    return 0
  },
  'mem.read': (op, w, c) => {
    w.begin(o.OP_MEM_READ, 0, c.host, c.actor)
    putU64(w, op, 'gpa')
    const { len } = op
    const fits = typeof len === 'number' && Number.isInteger(len) && len >= 0 && len <= MEMORY_OP_BYTES_MAX
    if (!fits) throw new OpInputError('len', LEN_RULE)
    w.put(len)
    return 0
  },
  'mem.write': (op, w, c) => {
    w.begin(o.OP_MEM_WRITE, 0, c.host, c.actor)
    putU64(w, op, 'gpa')
    putHex(w, op, MEMORY_OP_BYTES_MAX)
    return 0
  },
  hypercall: (op, w, c) => {
    begin(w, o.OP_HYPERCALL, op, c)
    putU64(w, op, 'control')
    return putOptionalU64(w, op, 'input') + putOptionalU64(w, op, 'output')
  },
  'hv.post_message': (op, w, c) => {
    begin(w, o.OP_HV_POST_MESSAGE, op, c).put(u32(op, 'connection')).put(messageType(op))
    return putOptionalHex(w, op, PAYLOAD_BYTES_MAX)
  },
  'hv.signal_event': (op, w, c) => {
    begin(w, o.OP_HV_SIGNAL_EVENT, op, c).put(u32(op, 'connection'))
    w.put(op.flag === undefined ? 0 : integer(op, 'flag', 0xffff))
    return present(op, 'flag')
  },
  'message.post': (op, w, c) => {
    begin(w, o.OP_MESSAGE_POST, op, c, flag(op, 'nested', o.FLAG_NESTED))
    w.put(u32(op, 'sint')).put(messageType(op))
    return putOptionalU64(w, op, 'sender') + putOptionalHex(w, op, PAYLOAD_BYTES_MAX) + present(op, 'nested')
  },
  'event.signal': (op, w, c) => {
    begin(w, o.OP_EVENT_SIGNAL, op, c, flag(op, 'nested', o.FLAG_NESTED))
      .put(u32(op, 'sint'))
      .put(u32(op, 'flag'))
    return present(op, 'nested')
  },
  'message.complete': (op, w, c) => {
    begin(w, o.OP_MESSAGE_COMPLETE, op, c, flag(op, 'nested', o.FLAG_NESTED)).put(u32(op, 'sint'))
    return present(op, 'nested')
  },
  'apic.ack': vcpuOnly(o.OP_APIC_ACK),
  'apic.eoi': vcpuOnly(o.OP_APIC_EOI),
  'apic.tpr': (op, w, c) => {
    begin(w, o.OP_APIC_TPR, op, c).put(integer(op, 'value', 255))
    return 0
  },
  'gsi.route': (op, w, c) => {
    const { entries } = op
    if (!Array.isArray(entries) || entries.length > ROUTE_ENTRIES_WIRE_MAX) {
      throw new OpInputError('entries', `a list of at most ${ROUTE_ENTRIES_WIRE_MAX} entries`)
    }
    w.begin(o.OP_GSI_ROUTE, 0, c.host, c.actor)
      .reserve(3 * entries.length)
      .put(entries.length)
    for (let i = 0; i < entries.length; i++) putEntry(w, entries[i], i)
    return 0
  },
  'gsi.assert': oneU32(o.OP_GSI_ASSERT, 'gsi'),
  'irqfd.bind': (op, w, c) => {
    w.begin(o.OP_IRQFD_BIND, 0, c.host, c.actor, flag(op, 'resample', o.FLAG_RESAMPLE)).put(u32(op, 'gsi'))
    return present(op, 'resample')
  },
  'irqfd.unbind': oneU32(o.OP_IRQFD_UNBIND, 'gsi'),
  'eventfd.assign': oneU32(o.OP_EVENTFD_ASSIGN, 'conn'),
  'eventfd.deassign': oneU32(o.OP_EVENTFD_DEASSIGN, 'conn'),
  'port.create': (op, w, c) => {
    w.begin(o.OP_PORT_CREATE, 0, c.host, c.actor).put(u32(op, 'port'))
    w.put(PORT_TYPE_CODES[oneOf(op, 'type', PORT_TYPES)])
    w.put(op.vcpu === undefined ? -1 : u32(op, 'vcpu')).put(u32(op, 'sint'))
    const base = op.flag_base === undefined ? 0 : integer(op, 'flag_base', 0xffff)
    w.put(base)
    w.put(
      op.flag_count === undefined ? Math.max(FLAGS_PER_SINT - base, 0) : integer(op, 'flag_count', 0xffff),
    )
    return present(op, 'vcpu') + present(op, 'flag_base') + present(op, 'flag_count')
  },
  'port.delete': oneU32(o.OP_PORT_DELETE, 'port'),
  'connection.create': (op, w, c) => {
    w.begin(o.OP_CONNECTION_CREATE, 0, c.host, c.actor).put(u32(op, 'connection')).put(u32(op, 'port'))
    const given = putOptionalU64(w, op, 'gpa') + putOptionalU64(w, op, 'value')
    const size = op.len === undefined ? 0 : oneOf(op, 'len', DOORBELL_BYTES) + 1
    w.put(size | (op.value === undefined ? DOORBELL_ANY_VALUE : 0))
    return given + present(op, 'len')
  },
  'connection.delete': oneU32(o.OP_CONNECTION_DELETE, 'connection'),
  'clock.advance': (op, w, c) => {
    if (typeof op.ticks !== 'number' || !parseU64(op.ticks)) throw new OpInputError('ticks', TICKS_RULE)
    w.begin(o.OP_CLOCK_ADVANCE, 0, c.host, c.actor).put(halves.lo).put(halves.hi)
    return 0
  },
  'synic.dump': vcpuOnly(o.OP_SYNIC_DUMP),
  'partition.pause': noFields(o.OP_PARTITION_PAUSE),
  'partition.resume': noFields(o.OP_PARTITION_RESUME),
  'partition.reset': noFields(o.OP_PARTITION_RESET),
  'mem.cas': (op, w, c) => {
    w.begin(o.OP_MEM_CAS, 0, c.host, c.actor)
    putU64(w, op, 'gpa')
    w.put(EXCHANGE_BYTES[oneOf(op, 'len', EXCHANGE_BYTES)])
    putU64(w, op, 'expect')
    putU64(w, op, 'value')
    return 0
  },
  'mem.xchg': (op, w, c) => {
    w.begin(o.OP_MEM_XCHG, 0, c.host, c.actor)
    putU64(w, op, 'gpa')
    w.put(EXCHANGE_BYTES[oneOf(op, 'len', EXCHANGE_BYTES)])
    putU64(w, op, 'value')
    return 0
  },
  'apic.enable': (op, w, c) => {
    if (typeof op.on !== 'boolean') throw new OpInputError('on', 'true or false')
    begin(w, o.OP_APIC_ENABLE, op, c).put(op.on ? 1 : 0)
    return 0
  },
  'vcpu.halt': vcpuOnly(o.OP_VCPU_HALT),
  'vcpu.enter': vcpuOnly(o.OP_VCPU_ENTER),
  'vcpu.kick': (op, w, c) => {
    begin(w, o.OP_VCPU_KICK, op, c, flag(op, 'sticky', o.FLAG_TRANSIENT, true) ^ o.FLAG_TRANSIENT)
    return present(op, 'sticky')
  },
  'page.claim': gpaOnly(o.OP_PAGE_CLAIM),
  'page.free': gpaOnly(o.OP_PAGE_FREE),
  'actor.attach': (op, w, c) => {
    const claims = op.claims ?? []
    if (!Array.isArray(claims) || op.claims === null || claims.length > CLAIMS_MAX) {
      throw new OpInputError('claims', `a list of at most ${CLAIMS_MAX} claims`)
    }
    w.begin(o.OP_ACTOR_ATTACH, 0, c.host, c.actor)
      .reserve(2 * claims.length)
      .put(claims.length)
    claims.forEach((text: unknown, i) => {
      const claim = typeof text === 'string' ? parseClaim(text) : undefined
      if (claim === undefined) throw new OpInputError(`claims/${i}`, CLAIM_RULE)
      w.put(claim.vcpu).put(claim.msr)
    })
    return present(op, 'claims')
  },
  'actor.detach': noFields(o.OP_ACTOR_DETACH),
  'kernel.boot': (op, w, c) => {
    const kernel = nameId(op, 'kernel', c.names)
    w.begin(o.OP_KERNEL_BOOT, 0, c.host, c.actor)
      .put(kernel)
      .put(oneOf(op, 'cause', o.BOOT_CAUSES))
    return 0
  },
  'host.step': (op, w, c) => {
    w.begin(o.OP_HOST_STEP, 0, c.host, c.actor).put(oneOf(op, 'part', o.STEP_PARTS))
    w.put(op.vcpu === undefined ? -1 : u32(op, 'vcpu')).put(op.sint === undefined ? -1 : u32(op, 'sint'))
    return present(op, 'vcpu') + present(op, 'sint')
  },
}

const ENTRY_FIELDS = ['gsi', 'vcpu', 'sint']

function putEntry(w: o.OpWriter, entry: unknown, i: number): void {
  const fields = entry as Json
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    throw new OpInputError(`entries/${i}`, 'an entry with gsi, vcpu and sint')
  }
  for (const field in fields) {
    if (ENTRY_FIELDS.includes(field)) continue
    throw new OpInputError(`entries/${i}/${field}`, `absent${didYouMean(field, ENTRY_FIELDS)}`)
  }
  for (const field of ENTRY_FIELDS) {
    const value = fields[field]
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > U32_MAX) {
      throw new OpInputError(`entries/${i}/${field}`, U32_RULE)
    }
    w.put(value | 0)
  }
}

interface Codec {
  readonly name: string
  readonly encode: Encode
  /** Fields that every op of this kind has, `op` included. */
  readonly required: number
  readonly needsActor: boolean
}

const CODECS = new Map<unknown, Codec>(
  Object.entries(ENCODERS).map(([name, encode]) => {
    const shape = Object.values(OP_FIELDS[name as o.OpName])
    const required = 1 + shape.filter((field) => !field.safeParse(undefined).success).length
    return [name, { name, encode, required, needsActor: ACTOR_REQUIRED.has(name) }]
  }),
)

/**
 * Appends one op to `w`.
 * @param actor name id used where the op names no actor (the connection's)
 * @throws OpInputError naming the first field that breaks its rule; `w` is then as before
 */
export function encodeOp(value: unknown, w: o.OpWriter, names: NameTable, actor: number): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OpInputError('', 'an object with a field "op"')
  }
  const op = value as Json
  const codec = CODECS.get(op.op)
  if (codec === undefined) throw new OpInputError('op', opRule(op.op))
  const start = w.length
  try {
    encodeWith(codec, op, w, { host: isHost(op), actor: actorOf(op, codec, names, actor), names })
  } catch (error) {
    w.length = start
    // A misspelt field explains the one that is missing, and is no slip of its own.
    refuseUnknown(codec, op)
    throw error
  }
}

/** The name that was meant says more than all of them. */
function opRule(written: unknown): string {
  const names = Object.keys(ENCODERS)
  const meant = typeof written === 'string' ? didYouMean(written, names) : ''
  return meant === '' ? `one of ${names.join(', ')}` : `the name of an op${meant}`
}

function isHost(op: Json): boolean {
  return op.by !== undefined && oneOf(op, 'by', BY) === 1
}

function actorOf(op: Json, codec: Codec, names: NameTable, fallback: number): number {
  if (op.actor === undefined && !codec.needsActor) return fallback
  return nameId(op, 'actor', names)
}

function encodeWith(codec: Codec, op: Json, w: o.OpWriter, context: Context): void {
  const known = codec.required + codec.encode(op, w, context) + present(op, 'by') + present(op, 'actor')
  w.end()
  let fields = 0
  for (const field in op) if (op[field] !== undefined) fields++
  if (fields !== known) refuseUnknown(codec, op)
}

/** Nothing where every field is one of the op. */
function refuseUnknown(codec: Codec, op: Json): void {
  const fields = Object.keys(OP_FIELDS[codec.name as o.OpName])
  const known = new Set(['op', 'by', 'actor', ...fields])
  const stranger = Object.keys(op).find((field) => !known.has(field))
  if (stranger === undefined) return
  const list = fields.length === 0 ? 'no fields of its own' : `the fields ${fields.join(', ')}`
  throw new OpInputError(stranger, `absent: ${codec.name} has ${list}${didYouMean(stranger, [...known])}`)
}
