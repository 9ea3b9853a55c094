/**
 * Notifications as records of words, as a partition keeps them and `synic.v1.bin` sends them (layout:
 * docs/streams.md), and as the JSON text of `synic.v1.json`.
 */
import { highHalf, lowHalf, toNumber } from '../hv/bits.js'
import * as e from '../synic/effects.js'
import type { WordBuffer } from '../synic/word-buffer.js'
import { NOTIFICATION_KINDS } from './frames.js'
import type { TextBuffer } from './text-buffer.js'

const KIND_TEXTS = NOTIFICATION_KINDS.map((kind) => `,"kind":"${kind}"`)
const SOURCE_TEXTS = e.SOURCES.map((source) => `,"source":"${source}"`)

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

/** Writes the notification at `at` as JSON text. */
export function putNotification(out: TextBuffer, words: Int32Array, at: number): void {
  const kind = kindOf(words, at)
  out.put('{"n":').decimal(toNumber(words[at + AT_N], words[at + AT_N + 1]))
  out.put(',"seq":').decimal(toNumber(words[at + AT_SEQ], words[at + AT_SEQ + 1]))
  out.put(',"t":').decimal(toNumber(words[at + AT_T], words[at + AT_T + 1]))
  out.put(KIND_TEXTS[kind])
  const vcpu = vcpuOf(words, at)
  if (vcpu >= 0) out.put(',"vcpu":').decimal(vcpu)
  putDetail(out, words, at, kind)
  out.put('}')
}

/** Members of its kind, each with the comma before it. */
function putDetail(out: TextBuffer, words: Int32Array, at: number, kind: number): void {
  const a = at + NOTIFICATION_HEAD
  switch (kind) {
    case KIND_MESSAGE:
      putMessage(out, words, at)
      break
    case KIND_EVENT:
      putSint(out, words[a])
      out.put(',"flag":').decimal(words[a + 1])
      break
    case KIND_INTERRUPT:
      putSint(out, words[a])
      out.put(',"vector":').decimal(words[a + 1])
      out.put(SOURCE_TEXTS[words[a] & 0xff])
      break
    case KIND_EOI:
      out.put(',"vector":').decimal(words[a])
      break
    case KIND_EXIT:
      putExit(out, words, at)
      break
    case KIND_ACK:
      out.put(',"gsi":').decimal(words[a] >>> 0)
      break
    case KIND_FAULT:
      out.put(`,"fault":"${words[a] === e.FAULT_GP ? 'gp' : 'ud'}"`)
      break
    case KIND_VIOLATION:
      out.put(',').raw(new Uint8Array(words.buffer, words.byteOffset + (a + 1) * 4, words[a]))
      break
    case KIND_LIFECYCLE:
      out.put(`,"event":"${LIFECYCLE_EVENTS[words[a]]}"`)
  }
}

/** SINT and register file of a source word: source in bits 7:0, SINT in 15:8, nested in 16. */
function putSint(out: TextBuffer, source: number): void {
  const sint = (source >> 8) & 0xff
  if (sint === e.NO_SINT) return
  out.put(',"sint":').decimal(sint)
  if ((source & 0x1_0000) !== 0) out.put(',"nested":true')
}

function putMessage(out: TextBuffer, words: Int32Array, at: number): void {
  const a = at + NOTIFICATION_HEAD
  putSint(out, words[a])
  out
    .put(SOURCE_TEXTS[words[a] & 0xff])
    .put(',"type":"')
    .hexU32(words[a + 1])
  out.put('","sender":"').hexU64(words[a + 2], words[a + 3])
  out.put('","hex":"').hexBytes(words, a + 5, words[a + 4])
  out.put((words[at] & MESSAGE_IS_PENDING) !== 0 ? '","pending":true' : '","pending":false')
}

function putExit(out: TextBuffer, words: Int32Array, at: number): void {
  const a = at + NOTIFICATION_HEAD
  const u64 = (i: number) => out.hexU64(words[a + i], words[a + i + 1])
  if ((words[at] & EXIT_OF_HYPERCALL) !== 0) {
    out.put(',"input":"')
    u64(0).put('","params":["')
    u64(2).put('","')
    u64(4).put('"]')
    return
  }
  out.put(',"msr":"').hexU32(words[a]).put('","control":"')
  u64(1).put('","evt_page":"')
  u64(3).put('","msg_page":"')
  u64(5).put('"')
}
