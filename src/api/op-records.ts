/** Op records that a client sends as words: each is checked in place, by the rules its JSON form has too. */

import { DOORBELL_ANY_VALUE, PORT_DOORBELL, PORT_EVENT, PORT_MESSAGE } from '../hv/hypercalls.js'
import { CLAIMS_MAX, MEMORY_OP_BYTES_MAX, ROUTE_ENTRIES_WIRE_MAX } from '../hv/limits.js'
import { PAYLOAD_BYTES_MAX } from '../hv/messages.js'
import * as o from '../synic/op.js'
import {
  ACTOR_REQUIRED,
  CAPS,
  CLAIM_RULE,
  DOORBELL_BYTES,
  EXCHANGE_BYTES,
  LEN_RULE,
  PORT_TYPES,
  TICKS_RULE,
} from './op.js'
import { OpInputError } from './op-fields.js'

/** How a client's names become those of the partition: the number it goes by there, or -1. */
export type NameOf = (number: number) => number

/** Words of arguments behind the header; of those with bytes or a list, up to and with the count. */
const ARGUMENT_WORDS: Readonly<Record<o.OpName, number>> = {
  'vcpu.create': 0,
  'vcpu.reset': 0,
  'vcpu.offline': 0,
  'vcpu.online': 0,
  'cap.enable': 1,
  'msr.read': 1,
  'msr.write': 3,
  'mem.read': 3,
  'mem.write': 3,
  hypercall: 6,
  'hv.post_message': 3,
  'hv.signal_event': 2,
  'message.post': 5,
  'event.signal': 2,
  'message.complete': 1,
  'apic.ack': 0,
  'apic.eoi': 0,
  'apic.tpr': 1,
  'gsi.route': 1,
  'gsi.assert': 1,
  'irqfd.bind': 1,
  'irqfd.unbind': 1,
  'eventfd.assign': 1,
  'eventfd.deassign': 1,
  'port.create': 6,
  'port.delete': 1,
  'connection.create': 7,
  'connection.delete': 1,
  'clock.advance': 2,
  'synic.dump': 0,
  'partition.pause': 0,
  'partition.resume': 0,
  'partition.reset': 0,
  'mem.cas': 7,
  'mem.xchg': 5,
  'apic.enable': 1,
  'vcpu.halt': 0,
  'vcpu.enter': 0,
  'vcpu.kick': 0,
  'page.claim': 2,
  'page.free': 2,
  'actor.attach': 1,
  'actor.detach': 0,
  'kernel.boot': 2,
  'host.step': 3,
}
const FIXED_WORDS = Uint8Array.from(o.OP_NAMES, (name, code) =>
  code === 0 ? 0 : o.OP_HEADER_WORDS + ARGUMENT_WORDS[name as o.OpName],
)

/** Flag bits that a code has, besides who acts. */
const FLAGS_BY_CODE: Readonly<Record<number, number>> = {
  [o.OP_MESSAGE_POST]: o.FLAG_NESTED,
  [o.OP_EVENT_SIGNAL]: o.FLAG_NESTED,
  [o.OP_MESSAGE_COMPLETE]: o.FLAG_NESTED,
  [o.OP_IRQFD_BIND]: o.FLAG_RESAMPLE,
  [o.OP_VCPU_KICK]: o.FLAG_TRANSIENT,
}
const FIRST_WORD = Int32Array.from(o.OP_NAMES, (_, code) => code | o.OP_BY_HOST | (FLAGS_BY_CODE[code] ?? 0))

/** Codes whose arguments hold more than any 32 bits: a count, a choice, a bound. */
const IS_CHECKED = Uint8Array.from(o.OP_NAMES, (_, code) => {
  const free = [o.OP_MSR_READ, o.OP_MSR_WRITE, o.OP_HYPERCALL, o.OP_EVENT_SIGNAL, o.OP_MESSAGE_COMPLETE]
  return free.includes(code) || FIXED_WORDS[code] === o.OP_HEADER_WORDS ? 0 : 1
})
const NEEDS_ACTOR = Uint8Array.from(o.OP_NAMES, (name) => (ACTOR_REQUIRED.has(name) ? 1 : 0))

/**
 * Checks the op that begins at `at`, gives it the actor `fallback` if it names none, and makes its names
 * those of the partition. Returns where the next one begins.
 * @param end where the frame ends; two words of the op are in it
 * @throws OpInputError naming the field, by its JSON name
 */
export function acceptOpRecord(
  words: Int32Array,
  at: number,
  end: number,
  fallback: number,
  nameOf: NameOf,
): number {
  const code = words[at] & o.OP_CODE
  const fixed = FIXED_WORDS[code] ?? 0
  if (fixed === 0) throw new OpInputError('op', 'the code of an op')
  if ((words[at] & ~FIRST_WORD[code]) !== 0) throw new OpInputError('op', 'a code with bits that it has')
  const length = words[at + o.OP_LENGTH]
  if (length < fixed || length > end - at) throw new OpInputError('length', lengthRule(code, fixed))
  const expected = IS_CHECKED[code] === 1 ? checkArguments(words, at, code, nameOf) : fixed
  if (length !== expected) throw new OpInputError('length', `${expected} words`)
  const actor = words[at + o.OP_ACTOR]
  if (actor !== 0) words[at + o.OP_ACTOR] = known('actor', nameOf(actor))
  else if (NEEDS_ACTOR[code] === 1) throw new OpInputError('actor', NAME_NUMBER)
  else words[at + o.OP_ACTOR] = fallback
  return at + length
}

const NAME_NUMBER = 'the number of a name told before'

function lengthRule(code: number, fixed: number): string {
  return `at least the ${fixed} words of ${o.OP_NAMES[code]}, within the frame`
}

function known(field: string, id: number): number {
  if (id < 0) throw new OpInputError(field, NAME_NUMBER)
  return id
}

function atMost(field: string, value: number, max: number): void {
  if (value >>> 0 > max) throw new OpInputError(field, `an integer from 0 to ${max}`)
}

function choice(field: string, index: number, choices: readonly (string | number)[]): void {
  if (index >>> 0 >= choices.length) throw new OpInputError(field, `one of ${choices.join(', ')}`)
}

/** Words of the record with `count` bytes behind its fixed part. */
function withBytes(code: number, field: string, count: number, max: number): number {
  if (count >>> 0 > max) throw new OpInputError(field, `at most ${max} bytes`)
  return FIXED_WORDS[code] + ((count + 3) >> 2)
}

function withList(code: number, field: string, count: number, max: number, each: number): number {
  if (count >>> 0 > max) throw new OpInputError(field, `a list of at most ${max}`)
  return FIXED_WORDS[code] + count * each
}

/** Claims may stand beyond the frame: the caller finds that the length does not fit. */
function checkClaims(words: Int32Array, a: number): number {
  const length = withList(o.OP_ACTOR_ATTACH, 'claims', words[a], CLAIMS_MAX, 2)
  for (let i = 0; i < words[a]; i++) {
    const vcpu = words[a + 1 + 2 * i]
    if (vcpu < -1 || vcpu > CLAIM_VCPU_MAX) throw new OpInputError(`claims/${i}`, CLAIM_RULE)
  }
  return length
}

/** Checks what stands behind the header; returns the words that the record has. */
function checkArguments(words: Int32Array, at: number, code: number, nameOf: NameOf): number {
  const a = at + o.OP_ARGS
  switch (code) {
    case o.OP_CAP_ENABLE:
      choice('cap', words[a] - o.CAP_SYNIC, CAPS)
      break
    case o.OP_MEM_READ:
      if (words[a + 2] >>> 0 > MEMORY_OP_BYTES_MAX) throw new OpInputError('len', LEN_RULE)
      break
    case o.OP_MEM_WRITE:
      return withBytes(code, 'hex', words[a + 2], MEMORY_OP_BYTES_MAX)
    case o.OP_HV_POST_MESSAGE:
      return withBytes(code, 'hex', words[a + 2], PAYLOAD_BYTES_MAX)
    case o.OP_MESSAGE_POST:
      return withBytes(code, 'hex', words[a + 4], PAYLOAD_BYTES_MAX)
    case o.OP_HV_SIGNAL_EVENT:
      atMost('flag', words[a + 1], 0xffff)
      break
    case o.OP_APIC_TPR:
      atMost('value', words[a], 255)
      break
    case o.OP_APIC_ENABLE:
      choice('on', words[a], ['false', 'true'])
      break
    case o.OP_GSI_ROUTE:
      return withList(code, 'entries', words[a], ROUTE_ENTRIES_WIRE_MAX, 3)
    case o.OP_ACTOR_ATTACH:
      return checkClaims(words, a)
    case o.OP_CLOCK_ADVANCE:
      if (words[a + 1] >>> 21 !== 0) throw new OpInputError('ticks', TICKS_RULE)
      break
    default:
      checkOthers(words, a, code, nameOf)
  }
  return FIXED_WORDS[code]
}

/** A claim's vCPU has up to four digits in its text form. */
const CLAIM_VCPU_MAX = 9999

const PORT_CODES = [PORT_MESSAGE, PORT_EVENT, PORT_DOORBELL]

function checkOthers(words: Int32Array, a: number, code: number, nameOf: NameOf): void {
  switch (code) {
    case o.OP_PORT_CREATE:
      choice('type', PORT_CODES.indexOf(words[a + 1]), PORT_TYPES)
      atMost('flag_base', words[a + 4], 0xffff)
      atMost('flag_count', words[a + 5], 0xffff)
      return
    case o.OP_CONNECTION_CREATE:
      choice('len', words[a + 6] & ~DOORBELL_ANY_VALUE, ['any', ...DOORBELL_BYTES])
      return
    case o.OP_MEM_CAS:
    case o.OP_MEM_XCHG:
      choice('len', EXCHANGE_BYTES.indexOf(words[a + 2] as 1), EXCHANGE_BYTES)
      return
    case o.OP_KERNEL_BOOT:
      if (words[a] === 0) throw new OpInputError('kernel', NAME_NUMBER)
      words[a] = known('kernel', nameOf(words[a]))
      choice('cause', words[a + 1], o.BOOT_CAUSES)
      return
    case o.OP_HOST_STEP:
      choice('part', words[a], o.STEP_PARTS)
      return
  }
}
