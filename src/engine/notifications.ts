/**
 * What a partition tells its streams: one numbered notification a consequence, kept in a bounded ring.
 * Numbers
 * count on without holes whether anybody listens or not; texts are made only once somebody has.
 */
import { hexU32, hexU64 } from '../api/wire.js'
import { hexOfBytes } from '../hv/hex.js'
import { HEADER_BYTES, MESSAGE_PENDING, SLOT_SENDER, SLOT_SIZE_FLAGS, SLOT_WORDS } from '../hv/messages.js'
import { MSR_NAMES } from '../hv/msrs.js'
import * as e from '../synic/effects.js'
import { NESTED_FILE } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import * as o from '../synic/op.js'
import { deliveredFrame } from '../synic/pages.js'

/** One notification, as every stream sends it. */
export interface Notification {
  readonly n: number
  readonly kind: string
  /** -1: of the partition as a whole. */
  readonly vcpu: number
  readonly text: string
  /** What was delivered, where this tells a delivery: one of the effects' sources, else -1. */
  readonly source: number
}

/**
 * Told of new notifications after each batch, oldest first, and when the batch was: monotonic milliseconds.
 */
export type Listener = (news: readonly Notification[], batchMs: number) => void

const LIFECYCLE_OPS: ReadonlyMap<number, string> = new Map([
  [o.OP_VCPU_CREATE, 'vcpu_created'],
  [o.OP_VCPU_RESET, 'vcpu_reset'],
  [o.OP_VCPU_OFFLINE, 'vcpu_offline'],
  [o.OP_VCPU_ONLINE, 'vcpu_online'],
  [o.OP_PARTITION_PAUSE, 'paused'],
  [o.OP_PARTITION_RESUME, 'resumed'],
  [o.OP_PARTITION_RESET, 'reset'],
  [o.OP_KERNEL_BOOT, 'kernel_boot'],
])

const KIND_OF_EFFECT: Readonly<Record<number, string>> = {
  [e.EFFECT_IRQ]: 'interrupt',
  [e.EFFECT_EXIT]: 'exit',
  [e.EFFECT_HCALL_EXIT]: 'exit',
  [e.EFFECT_ACK]: 'ack',
  [e.EFFECT_MESSAGE]: 'message',
  [e.EFFECT_EVENT]: 'event',
  [e.EFFECT_EOM]: 'eom',
  [e.EFFECT_EOI]: 'eoi',
  [e.EFFECT_LIFECYCLE]: 'lifecycle',
  [e.EFFECT_VIOLATION]: 'violation',
}

/** The same as a table by number, for counting while nobody listens. */
const TELLS = Uint8Array.from(e.EFFECT_WORDS, (_, effect) => (effect in KIND_OF_EFFECT ? 1 : 0))
const TELLS_LIFECYCLE = Uint8Array.from(o.OP_NAMES, (_, code) => (LIFECYCLE_OPS.has(code) ? 1 : 0))

/** How many notifications an op makes. */
function countOf(effects: e.Effects, code: number): number {
  const { words, length } = effects
  let count = effects.fault === e.FAULT_NONE ? 0 : 1
  if (effects.ok) count += TELLS_LIFECYCLE[code]
  for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) count += TELLS[words[at]]
  return count
}

export class NotificationLog {
  /** Number of the newest notification; 0 before the first. */
  lastN = 0
  readonly #ring: Notification[] = []
  readonly #listeners = new Set<Listener>()
  #news: Notification[] = []
  #kept = false

  /** @param capacity notifications kept for who comes back */
  constructor(private readonly capacity: number) {}

  /** Number of the oldest notification still kept; one past the newest if none is. */
  get firstN(): number {
    return this.#ring.length === 0 ? this.lastN + 1 : this.lastN - this.#ring.length + 1
  }

  /** Those after `n`, oldest first, as far as they are kept. */
  after(n: number): readonly Notification[] {
    return this.#ring.slice(Math.max(0, n + 1 - this.firstN))
  }

  listen(listener: Listener): () => void {
    this.#kept = true
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Follows the op that `m` applied last. */
  follow(m: Machine, code: number, vcpu: number, seq: number): void {
    if (!this.#kept) {
      this.lastN += countOf(m.effects, code)
      return
    }
    const { effects } = m
    const { words } = effects
    if (effects.fault !== e.FAULT_NONE) {
      this.#add(seq, m.now, 'fault', vcpu, () => `"fault":"${effects.fault === e.FAULT_GP ? 'gp' : 'ud'}"`)
    }
    const lifecycle = effects.ok ? LIFECYCLE_OPS.get(code) : undefined
    if (lifecycle !== undefined) {
      const isVcpus = code <= o.OP_VCPU_ONLINE
      this.#add(seq, m.now, 'lifecycle', isVcpus ? vcpu : -1, () => `"event":"${lifecycle}"`)
    }
    for (let at = 0; at < effects.length; at += e.EFFECT_WORDS[words[at]]) {
      const kind = KIND_OF_EFFECT[words[at]]
      if (kind === undefined) continue
      const whose = words[at] === e.EFFECT_VIOLATION ? words[at + 2] : words[at + 1]
      const isVcpus = words[at] !== e.EFFECT_ACK && words[at] !== e.EFFECT_LIFECYCLE
      const source = deliverySource(words, at)
      this.#add(seq, m.now, kind, isVcpus ? whose : -1, () => detailOf(m, words, at), source)
    }
  }

  /** Tells the listeners what came since the last time. */
  flush(batchMs: number): void {
    if (this.#news.length === 0) return
    const news = this.#news
    this.#news = []
    for (const listener of [...this.#listeners]) listener(news, batchMs)
  }

  #add(seq: number, t: number, kind: string, vcpu: number, detail: () => string, source = -1): void {
    const n = ++this.lastN
    const whose = vcpu < 0 ? '' : `"vcpu":${vcpu >>> 0},`
    const text = `{"n":${n},"seq":${seq},"t":${t},"kind":"${kind}",${whose}${detail()}}`.replace(',}', '}')
    const notification = { n, kind, vcpu, text, source }
    this.#ring.push(notification)
    // Forgotten in blocks: a shift for each would move the whole ring.
    if (this.#ring.length > 2 * this.capacity) this.#ring.splice(0, this.#ring.length - this.capacity)
    this.#news.push(notification)
  }
}

/** A message in its slot, a flag set, or an interrupt that a GSI raised: what delivery latency is about. */
function deliverySource(words: Int32Array, at: number): number {
  switch (words[at]) {
    case e.EFFECT_MESSAGE:
      return words[at + 2] & 0xff
    case e.EFFECT_EVENT:
      return e.FROM_EVENT
    case e.EFFECT_IRQ:
      return (words[at + 3] & 0xff) === e.FROM_GSI ? e.FROM_GSI : -1
    default:
      return -1
  }
}

/** SINT and file of an effect's source word. */
function sintText(source: number): string {
  const sint = (source >> 8) & 0xff
  const nested = (source & 0x1_0000) !== 0 ? ',"nested":true' : ''
  return sint === e.NO_SINT ? '' : `"sint":${sint}${nested},`
}

function detailOf(m: Machine, words: Int32Array, at: number): string {
  const u64 = (i: number) => `"${hexU64(words[at + i], words[at + i + 1])}"`
  switch (words[at]) {
    case e.EFFECT_IRQ: {
      const source = words[at + 3]
      return `${sintText(source)}"vector":${words[at + 2]},"source":"${e.SOURCES[source & 0xff]}"`
    }
    case e.EFFECT_EXIT: {
      const pages = `"control":${u64(3)},"evt_page":${u64(5)},"msg_page":${u64(7)}`
      return `"msr":"${hexU32(words[at + 2])}",${pages}`
    }
    case e.EFFECT_HCALL_EXIT:
      return `"input":${u64(2)},"params":[${u64(4)},${u64(6)}]`
    case e.EFFECT_ACK:
      return `"gsi":${words[at + 1]}`
    case e.EFFECT_MESSAGE:
      return messageText(m, words[at + 1], words[at + 2], words[at + 3])
    case e.EFFECT_EVENT:
      return `${sintText(words[at + 2])}"flag":${words[at + 3]}`
    case e.EFFECT_EOI:
      return `"vector":${words[at + 2]}`
    case e.EFFECT_LIFECYCLE:
      return `"event":"${e.LIFECYCLES[words[at + 1]]}"`
    case e.EFFECT_VIOLATION: {
      const msr = words[at + 3]
      const register = `"msr":"${hexU32(msr)}","register":"${MSR_NAMES.get(msr)}"`
      return `"invariant":"${e.VIOLATIONS[words[at + 1]]}",${register}`
    }
    default:
      return ''
  }
}

/** The slot as it stands: only the guest empties it, so what was delivered in this op is still there. */
function messageText(m: Machine, vcpu: number, source: number, type: number): string {
  const v = m.rowOf(vcpu)
  const frame = deliveredFrame(m, (source & 0x1_0000) !== 0 ? v + NESTED_FILE : v)
  const start = ((source >> 8) & 0xff) * SLOT_WORDS
  const slot = m.memory.view(frame).subarray(start, start + SLOT_WORDS)
  const sizeFlags = slot[SLOT_SIZE_FLAGS]
  const payload = new Uint8Array(slot.buffer, slot.byteOffset + HEADER_BYTES, Math.min(sizeFlags & 0xff, 240))
  const sender = hexU64(slot[SLOT_SENDER], slot[SLOT_SENDER + 1])
  const pending = (sizeFlags & MESSAGE_PENDING) !== 0
  const head = `${sintText(source)}"source":"${e.SOURCES[source & 0xff]}","type":"${hexU32(type)}"`
  return `${head},"sender":"${sender}","hex":"${hexOfBytes(payload)}","pending":${pending}`
}
