/**
 * What a partition tells its streams: one numbered notification a consequence, kept in a bounded ring.
 * Numbers count on without holes whether anybody listens or not; records are kept only once somebody has.
 */
import * as n from '../api/notification.js'
import { violationMembers } from '../api/violation.js'
import type { Violation } from '../audit/rule.js'
import {
  MESSAGE_PENDING,
  PAYLOAD_BYTES_MAX,
  SLOT_PAYLOAD,
  SLOT_SENDER,
  SLOT_SIZE_FLAGS,
  SLOT_WORDS,
} from '../hv/messages.js'
import * as e from '../synic/effects.js'
import { NESTED_FILE } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import * as o from '../synic/op.js'
import { deliveredFrame } from '../synic/pages.js'
import { WordBuffer } from '../synic/word-buffer.js'
import { FOLLOWED, type LatencyTracker } from './latency.js'

/** Notifications `begin` up to `end` of consecutive ones in `words`; `starts` says where each begins. */
export interface Run {
  readonly words: Int32Array
  readonly starts: Int32Array
  /** When the batch of each was: monotonic milliseconds. */
  readonly timesMs: Float64Array
  readonly begin: number
  readonly end: number
}

/** Told after each batch that had news. */
export type Listener = () => void

interface Chunk {
  firstN: number
  count: number
  readonly buffer: WordBuffer
  readonly starts: Int32Array
  readonly timesMs: Float64Array
}

const encoder = new TextEncoder()
/** A chunk goes as a whole: a small ring has small ones. */
const CHUNK_NOTIFICATIONS_MAX = 512
const CHUNKS_MIN = 8
const FIRST_WORDS = 512
const SPARE_CHUNKS_MAX = 8
/** One turn of the loop may bring this many more than the ring holds before its end, when they are told. */
const TURN_NOTIFICATIONS_MAX = 65_536

const LIFECYCLE_OF_OP: ReadonlyMap<number, (typeof n.LIFECYCLE_EVENTS)[number]> = new Map([
  [o.OP_VCPU_CREATE, 'vcpu_created'],
  [o.OP_VCPU_RESET, 'vcpu_reset'],
  [o.OP_VCPU_OFFLINE, 'vcpu_offline'],
  [o.OP_VCPU_ONLINE, 'vcpu_online'],
  [o.OP_PARTITION_PAUSE, 'paused'],
  [o.OP_PARTITION_RESUME, 'resumed'],
  [o.OP_PARTITION_RESET, 'reset'],
  [o.OP_KERNEL_BOOT, 'kernel_boot'],
])

/** Place in LIFECYCLE_EVENTS of each op, -1 of most. */
const LIFECYCLE_CODE = Int8Array.from(o.OP_NAMES, (_, code) => {
  const event = LIFECYCLE_OF_OP.get(code)
  return event === undefined ? -1 : n.LIFECYCLE_EVENTS.indexOf(event)
})

const KIND_BY_EFFECT: Readonly<Record<number, number>> = {
  [e.EFFECT_IRQ]: n.KIND_INTERRUPT,
  [e.EFFECT_EXIT]: n.KIND_EXIT,
  [e.EFFECT_HCALL_EXIT]: n.KIND_EXIT,
  [e.EFFECT_ACK]: n.KIND_ACK,
  [e.EFFECT_MESSAGE]: n.KIND_MESSAGE,
  [e.EFFECT_EVENT]: n.KIND_EVENT,
  [e.EFFECT_EOM]: n.KIND_EOM,
  [e.EFFECT_EOI]: n.KIND_EOI,
  [e.EFFECT_LIFECYCLE]: n.KIND_LIFECYCLE,
}
/** The same as a table by number; -1: nobody is told. */
const KIND_OF_EFFECT = Int8Array.from(e.EFFECT_WORDS, (_, effect) => KIND_BY_EFFECT[effect] ?? -1)

/** Kinds of consequence that somebody is told, or that say how long something took, one bit each. */
const WALKED = KIND_OF_EFFECT.reduce(
  (bits, kind, effect) => (kind < 0 ? bits : bits | (1 << effect)),
  FOLLOWED,
)

export class NotificationLog {
  /** Number of the newest notification; 0 before the first. */
  lastN = 0
  readonly #chunks: Chunk[] = []
  readonly #listeners = new Set<Listener>()
  /** Forgotten chunks, for what comes: a busy ring turns over all the time. */
  readonly #spare: Chunk[] = []
  #kept = false
  #toldN = 0
  /** Where the notification that is being written begins. */
  #at = 0

  readonly #chunkMax: number

  /** @param capacity notifications kept, at least, for who comes back */
  constructor(private readonly capacity: number) {
    this.#chunkMax = Math.max(1, Math.min(CHUNK_NOTIFICATIONS_MAX, Math.floor(capacity / CHUNKS_MIN)))
  }

  /** Number of the oldest notification still kept; one past the newest if none is. */
  get firstN(): number {
    return this.#chunks[0]?.firstN ?? this.lastN + 1
  }

  /** The oldest of those from `from` to `to` that are kept, as many as lie together; undefined if none is. */
  run(from: number, to: number): Run | undefined {
    // All chunks but the newest are full, so the first that matters is found by counting.
    const i = Math.max(0, Math.floor((from - this.firstN) / this.#chunkMax))
    const chunk = this.#chunks[i]
    if (chunk === undefined || chunk.firstN > to) return undefined
    const { firstN, count, buffer, starts, timesMs } = chunk
    const begin = Math.max(0, from - firstN)
    const end = Math.min(count, to - firstN + 1)
    return begin < end ? { words: buffer.words, starts, timesMs, begin, end } : undefined
  }

  listen(listener: Listener): () => void {
    if (!this.#kept) this.#toldN = this.lastN
    this.#kept = true
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Follows the op that `m` applied last.
   * @param found what an auditor says of it
   * @param latency follows its consequences on the way: they are walked once an op, and that is often
   */
  follow(
    m: Machine,
    code: number,
    vcpu: number,
    seq: number,
    nowMs: number,
    found: readonly Violation[],
    latency: LatencyTracker | null,
  ): void {
    const { effects } = m
    const { kinds, fault } = effects
    const isNews = (kinds & WALKED) !== 0 || fault !== e.FAULT_NONE || LIFECYCLE_CODE[code] >= 0
    if (!isNews && found.length === 0) return
    if (!this.#kept) {
      this.#count(effects, code, found.length, latency)
      return
    }
    const { words, length } = effects
    const follows = (kinds & FOLLOWED) !== 0 ? latency : null
    if (fault !== e.FAULT_NONE) {
      const out = this.#begin(n.KIND_FAULT, m, vcpu, seq, nowMs)
      out.put(fault)
      n.endNotification(out, this.#at)
    }
    const lifecycle = effects.ok ? LIFECYCLE_CODE[code] : -1
    if (lifecycle >= 0) {
      const out = this.#begin(n.KIND_LIFECYCLE, m, code <= o.OP_VCPU_ONLINE ? vcpu : -1, seq, nowMs)
      out.put(lifecycle)
      n.endNotification(out, this.#at)
    }
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      follows?.follow(words, at)
      const kind = KIND_OF_EFFECT[words[at]]
      if (kind < 0) continue
      const out = this.#begin(kind, m, whoseEffect(words, at), seq, nowMs)
      putDetail(m, out, at)
      n.endNotification(out, this.#at)
    }
    for (const violation of found) {
      const out = this.#begin(n.KIND_VIOLATION, m, violation.vcpu, seq, nowMs)
      out.putBytes(encoder.encode(violationMembers(violation)))
      n.endNotification(out, this.#at)
    }
  }

  /** Nobody has listened yet: numbers count on. */
  #count(effects: e.Effects, code: number, violations: number, latency: LatencyTracker | null): void {
    const { words, length } = effects
    this.lastN += violations
    if (effects.fault !== e.FAULT_NONE) this.lastN++
    if (effects.ok && LIFECYCLE_CODE[code] >= 0) this.lastN++
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      latency?.follow(words, at)
      if (KIND_OF_EFFECT[words[at]] >= 0) this.lastN++
    }
  }

  /** Tells the listeners that there is news since the last time, if there is. */
  flush(): void {
    if (!this.#kept || this.#toldN === this.lastN) return
    this.#toldN = this.lastN
    for (const listener of this.#listeners) listener()
  }

  /** Begins the next notification, at `#at`: the words of its kind are put into what it returns. */
  #begin(kind: number, m: Machine, vcpu: number, seq: number, nowMs: number): WordBuffer {
    const number = ++this.lastN
    const chunk = this.#chunk(number)
    const at = n.beginNotification(chunk.buffer, kind, number, seq, m.now, vcpu)
    chunk.starts[chunk.count] = at
    chunk.timesMs[chunk.count++] = nowMs
    this.#at = at
    return chunk.buffer
  }

  /** Everybody has been told: what goes beyond the ring may be forgotten. */
  settle(): void {
    this.#forget(this.lastN, this.capacity)
  }

  /** Whole chunks go: that is cheap, and never too much. */
  #forget(newestN: number, kept: number): void {
    const chunks = this.#chunks
    while (chunks.length > 1 && newestN - chunks[1].firstN + 1 >= kept) {
      const chunk = chunks.shift() as Chunk
      if (this.#spare.length < SPARE_CHUNKS_MAX) this.#spare.push(chunk)
    }
  }

  /** The chunk that the notification goes into. */
  #chunk(number: number): Chunk {
    const chunks = this.#chunks
    const newest = chunks[chunks.length - 1]
    if (newest !== undefined && newest.count < this.#chunkMax) return newest
    this.#forget(number, this.capacity + TURN_NOTIFICATIONS_MAX)
    const chunk = this.#spare.pop() ?? {
      firstN: 0,
      count: 0,
      buffer: new WordBuffer(newest?.buffer.words.length ?? FIRST_WORDS),
      starts: new Int32Array(this.#chunkMax),
      timesMs: new Float64Array(this.#chunkMax),
    }
    chunk.firstN = number
    chunk.count = 0
    chunk.buffer.clear()
    chunks.push(chunk)
    return chunk
  }
}

/** The vCPU that a consequence concerns; -1: the partition as a whole. */
function whoseEffect(words: Int32Array, at: number): number {
  switch (words[at]) {
    case e.EFFECT_ACK:
    case e.EFFECT_LIFECYCLE:
      return -1
    default:
      return words[at + 1]
  }
}

/** The words of its kind, from the effect at `at`; which they are is said in docs/streams.md. */
function putDetail(m: Machine, out: WordBuffer, at: number): void {
  const { words } = m.effects
  const first = out.length - n.NOTIFICATION_HEAD
  switch (words[at]) {
    case e.EFFECT_IRQ:
      out.put(words[at + 3]).put(words[at + 2])
      return
    case e.EFFECT_EXIT:
      out.putWords(words, at + 2, at + 9)
      return
    case e.EFFECT_HCALL_EXIT:
      out.words[first] |= n.EXIT_OF_HYPERCALL
      out.putWords(words, at + 2, at + 8)
      return
    case e.EFFECT_MESSAGE:
      putMessage(m, out, words[at + 1], words[at + 2], words[at + 3])
      return
    case e.EFFECT_EVENT:
      out.put(words[at + 2]).put(words[at + 3])
      return
    case e.EFFECT_EOI:
      out.put(words[at + 2])
      return
    case e.EFFECT_ACK:
    case e.EFFECT_LIFECYCLE:
      out.put(words[at + 1])
      return
  }
}

/** The slot as it stands: only the guest empties it, so what was delivered in this op is still there. */
function putMessage(m: Machine, out: WordBuffer, vcpu: number, source: number, type: number): void {
  const v = m.rowOf(vcpu)
  const frame = deliveredFrame(m, (source & 0x1_0000) !== 0 ? v + NESTED_FILE : v)
  const memory = m.memory.chunk(frame)
  const slot = m.memory.offset(frame) + ((source >> 8) & 0xff) * SLOT_WORDS
  const sizeFlags = memory[slot + SLOT_SIZE_FLAGS]
  if ((sizeFlags & MESSAGE_PENDING) !== 0) out.words[out.length - n.NOTIFICATION_HEAD] |= n.MESSAGE_IS_PENDING
  const bytes = Math.min(sizeFlags & 0xff, PAYLOAD_BYTES_MAX)
  out
    .put(source)
    .put(type)
    .put(memory[slot + SLOT_SENDER])
    .put(memory[slot + SLOT_SENDER + 1])
    .put(bytes)
  out.putWords(memory, slot + SLOT_PAYLOAD, slot + SLOT_PAYLOAD + ((bytes + 3) >> 2))
  // Bytes that fill up the last word are 0, whatever the slot holds there.
  if ((bytes & 3) !== 0) out.words[out.length - 1] &= 0xffff_ffff >>> (8 * (4 - (bytes & 3)))
}
