/**
 * Notifications as records of words, as a partition keeps them and `synic.v1.bin` sends them (layout:
 * docs/streams.md), and as the JSON text of `synic.v1.json`.
 */
import { highHalf, lowHalf, toNumber } from '../hv/bits.js'
import { hexOfBytes } from '../hv/hex.js'
import * as e from '../synic/effects.js'
import type { WordBuffer } from '../synic/word-buffer.js'
import { decimalText } from './decimal.js'
import { NOTIFICATION_KINDS } from './frames.js'
import { hexU32, hexU64 } from './wire.js'

const decoder = new TextDecoder()

/** Tag of the first kind; the others follow in the order of NOTIFICATION_KINDS. */
export const RECORD_NOTIFICATION = 0xd0
export const KIND_MESSAGE = 0
export const KIND_EVENT = 1
export const KIND_INTERRUPT = 2
export const KIND_EOM = 3
export const KIND_EOI = 4
export const KIND_EXIT = 5
export const KIND_ACK = 6
export const KIND_FAULT = 7
export const KIND_VIOLATION = 8
export const KIND_LIFECYCLE = 9

/** Words of every notification: tag, length, n, seq and t as two words each, vCPU (-1 = none). */
export const NOTIFICATION_HEAD = 9
const AT_N = 2
const AT_SEQ = 4
const AT_T = 6
const AT_VCPU = 8
/** First word: the exit of a hypercall, not of a register write. */
export const EXIT_OF_HYPERCALL = 1 << 8
/** First word: the message slot has the pending flag. */
export const MESSAGE_IS_PENDING = 1 << 8

/** What `lifecycle` tells: what the hypervisor is asked for, and what ops do to a vCPU or to all. */
export const VCPU_EVENTS = ['vcpu_created', 'vcpu_reset', 'vcpu_offline', 'vcpu_online'] as const
export const PARTITION_EVENTS = ['paused', 'resumed', 'reset', 'kernel_boot'] as const
export const LIFECYCLE_EVENTS = [...e.LIFECYCLES, ...VCPU_EVENTS, ...PARTITION_EVENTS] as const

/** Begins a notification; the words of its kind follow, then `endNotification`. Returns where it begins. */
export function beginNotification(
  out: WordBuffer,
  tag: number,
  n: number,
  seq: number,
  t: number,
  vcpu: number,
): number {
  const { words, length: at } = out.reserve(NOTIFICATION_HEAD)
  words[at] = RECORD_NOTIFICATION + tag
  words[at + 1] = NOTIFICATION_HEAD
  words[at + AT_N] = lowHalf(n)
  words[at + AT_N + 1] = highHalf(n)
  words[at + AT_SEQ] = lowHalf(seq)
  words[at + AT_SEQ + 1] = highHalf(seq)
  words[at + AT_T] = lowHalf(t)
  words[at + AT_T + 1] = highHalf(t)
  words[at + AT_VCPU] = vcpu
  out.length = at + NOTIFICATION_HEAD
  return at
}

export function endNotification(out: WordBuffer, at: number): void {
  out.words[at + 1] = out.length - at
}

export const kindOf = (words: Int32Array, at: number) => (words[at] & 0xff) - RECORD_NOTIFICATION

/** -1: of the partition as a whole. */
export const vcpuOf = (words: Int32Array, at: number) => words[at + AT_VCPU]

export const numberOf = (words: Int32Array, at: number) => toNumber(words[at + AT_N], words[at + AT_N + 1])

/**
 * What was delivered, where this tells a delivery (a message in its slot, a flag set, an interrupt that a GSI
 * raised): one of the effects' sources, else -1.
 */
export function deliverySource(words: Int32Array, at: number): number {
  const source = words[at + NOTIFICATION_HEAD] & 0xff
  switch (kindOf(words, at)) {
    case KIND_MESSAGE:
      return source
    case KIND_EVENT:
      return e.FROM_EVENT
    case KIND_INTERRUPT:
      return source === e.FROM_GSI ? source : -1
    default:
      return -1
  }
}

/** The notification at `at` as JSON text. */
export function notificationText(words: Int32Array, at: number): string {
  const number = (i: number) => decimalText(toNumber(words[at + i], words[at + i + 1]))
  const vcpu = words[at + AT_VCPU]
  const kind = NOTIFICATION_KINDS[kindOf(words, at)]
  const head = `{"n":${number(AT_N)},"seq":${number(AT_SEQ)},"t":${number(AT_T)},"kind":"${kind}"`
  return `${head}${vcpu < 0 ? '' : `,"vcpu":${vcpu}`}${detailText(words, at)}}`
}

/** Members of its kind, each with the comma before it. */
function detailText(words: Int32Array, at: number): string {
  const a = at + NOTIFICATION_HEAD
  const u64 = (i: number) => `"${hexU64(words[a + i], words[a + i + 1])}"`
  switch (kindOf(words, at)) {
    case KIND_MESSAGE:
      return messageText(words, at)
    case KIND_EVENT:
      return `${sintText(words[a])},"flag":${words[a + 1]}`
    case KIND_INTERRUPT:
      return `${sintText(words[a])},"vector":${words[a + 1]},"source":"${e.SOURCES[words[a] & 0xff]}"`
    case KIND_EOI:
      return `,"vector":${words[a]}`
    case KIND_EXIT:
      if ((words[at] & EXIT_OF_HYPERCALL) !== 0) return `,"input":${u64(0)},"params":[${u64(2)},${u64(4)}]`
      return `,"msr":"${hexU32(words[a])}","control":${u64(1)},"evt_page":${u64(3)},"msg_page":${u64(5)}`
    case KIND_ACK:
      return `,"gsi":${words[a] >>> 0}`
    case KIND_FAULT:
      return `,"fault":"${words[a] === e.FAULT_GP ? 'gp' : 'ud'}"`
    case KIND_VIOLATION:
      return `,${decoder.decode(new Uint8Array(words.buffer, words.byteOffset + (a + 1) * 4, words[a]))}`
    case KIND_LIFECYCLE:
      return `,"event":"${LIFECYCLE_EVENTS[words[a]]}"`
    default:
      return ''
  }
}

/** SINT and register file of a source word: source in bits 7:0, SINT in 15:8, nested in 16. */
function sintText(source: number): string {
  const sint = (source >> 8) & 0xff
  const nested = (source & 0x1_0000) !== 0 ? ',"nested":true' : ''
  return sint === e.NO_SINT ? '' : `,"sint":${sint}${nested}`
}

function messageText(words: Int32Array, at: number): string {
  const a = at + NOTIFICATION_HEAD
  const payload = new Uint8Array(words.buffer, words.byteOffset + (a + 5) * 4, words[a + 4])
  const sender = hexU64(words[a + 2], words[a + 3])
  const pending = (words[at] & MESSAGE_IS_PENDING) !== 0
  const kind = `,"source":"${e.SOURCES[words[a] & 0xff]}","type":"${hexU32(words[a + 1])}"`
  const content = `,"sender":"${sender}","hex":"${hexOfBytes(payload)}","pending":${pending}`
  return sintText(words[a]) + kind + content
}
