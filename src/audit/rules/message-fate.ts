/**
 * I6, every message meets exactly one fate: what was accepted is delivered once or reported dropped once,
 * and what waits for a SINT leaves in the order it came (TLFS, "Message Buffers"). What a reset or a
 * port's deletion throws away is thrown away by design.
 */
import * as e from '../../synic/effects.js'
import type { QueuedMessage } from '../../synic/message-queue.js'
import * as o from '../../synic/op.js'
import { MODEL_QEMU, MODEL_TLFS } from '../../synic/profile.js'
import { fileIn, sintIn, sourceIn } from '../effect-words.js'
import { vcpuOf } from '../places.js'
import type { Desk, Rule, Watcher } from '../rule.js'

type Queue = readonly QueuedMessage[]
const NOTHING: Queue = []
const CLEARING = [o.OP_VCPU_RESET, o.OP_PARTITION_RESET, o.OP_KERNEL_BOOT, o.OP_PORT_DELETE]

class MessageFate implements Watcher {
  /** What waited after the op seen last, by file and SINT. */
  #waiting = new Map<number, Queue>()
  #ports: number

  constructor(private readonly desk: Desk) {
    this.#ports = desk.m.ports.size
    this.#waiting = this.#now()
  }

  after(): void {
    const { op, m } = this.desk
    if (op.code === o.OP_MESSAGE_POST) this.#judgeAnswer()
    // Nothing waits, and nothing did: this is how nearly all ops end.
    if (m.queues.size === 0 && m.qemuRoutes.size === 0 && this.#waiting.size === 0) return
    this.#compare(CLEARING.includes(op.code) || m.ports.size < this.#ports)
    this.#ports = m.ports.size
  }

  settled(): void {
    this.#compare(false)
  }

  /** Messages are told apart by what they are, which are others now. */
  restored(): void {
    this.#waiting = this.#now()
  }

  /** The sender heard "delivered" or "queued": it must be one of the two. */
  #judgeAnswer(): void {
    const { effects, queues, qemuRoutes, splits } = this.desk.m
    if ((effects.has & e.HAS_DELIVERY) === 0) return
    const isLost =
      effects.delivery === e.DELIVERED
        ? !this.#says(e.EFFECT_MESSAGE)
        : effects.delivery === e.QUEUED && queues.size + qemuRoutes.size + splits.length === 0
    if (isLost)
      this.#tell(-1, `the sender was told "${e.DELIVERIES[effects.delivery]}", and the message is nowhere`)
  }

  #says(kind: number): boolean {
    const { words, length } = this.desk.m.effects
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) if (words[at] === kind) return true
    return false
  }

  #now(): Map<number, Queue> {
    const { m } = this.desk
    const now = new Map<number, Queue>()
    for (const [key, queue] of m.queues) now.set(key, [...queue])
    for (const [key, { staged }] of m.qemuRoutes) if (staged !== null) now.set(key, [staged])
    return now
  }

  /** @param cleared the op may throw away what waits */
  #compare(cleared: boolean): void {
    const before = this.#waiting
    const now = this.#now()
    this.#waiting = now
    if (cleared) return
    for (const [key, old] of before) this.#compareOne(key, old, now.get(key) ?? NOTHING)
  }

  #compareOne(key: number, old: Queue, now: Queue): void {
    const at = now.length === 0 ? -1 : old.indexOf(now[0])
    const gone = at < 0 ? old.length : at
    const stays = old.slice(gone).every((message, i) => now[i] === message)
    if (!stays || old.slice(0, gone).some((message) => now.includes(message))) {
      return this.#tell(key, 'messages that wait left or changed their order')
    }
    if (gone === 0) return
    const fates = this.#fatesOf(key)
    if (fates.count < gone) {
      const lost = gone - fates.count
      return this.#tell(
        key,
        `${lost} waiting message${lost > 1 ? 's were' : ' was'} neither delivered nor dropped`,
      )
    }
    const first = old[0].type | 0
    if (fates.delivered !== 0 && fates.count === 1 && fates.delivered !== first) {
      this.#tell(
        key,
        `type ${fates.delivered >>> 0} was delivered before type ${first >>> 0}, which came first`,
      )
    }
  }

  /** Deliveries and drops of what waits for this SINT; OpenVMM's and KVM's timers wait elsewhere. */
  #fatesOf(key: number): { count: number; delivered: number } {
    const { m } = this.desk
    const { words, length } = m.effects
    const fates = { count: 0, delivered: 0 }
    // Liveness is judged between ops, with the effects of the last one still there.
    if (this.desk.op.code === 0) return fates
    for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) {
      const kind = words[at]
      if (kind !== e.EFFECT_MESSAGE && kind !== e.EFFECT_DROPPED) continue
      const about = words[at + 2]
      if (sourceIn(about) === e.FROM_TIMER && m.profile.model !== MODEL_TLFS) continue
      if (m.queueKey(fileIn(m, words[at + 1], about), sintIn(about)) !== key) continue
      fates.count++
      if (kind === e.EFFECT_MESSAGE) fates.delivered = words[at + 3]
    }
    return fates
  }

  #tell(key: number, text: string): void {
    const { m } = this.desk
    const where = key < 0 ? '' : `SINT${key % 16}: `
    const at = key < 0 ? {} : { vcpu: vcpuOf(m, Math.floor(key / 16)) }
    const staged = m.profile.model === MODEL_QEMU && key >= 0 ? ' (staging area)' : ''
    this.desk.report({ severity: 'error', ...at, text: `${where}${text}${staged}` })
  }
}

export const messageFate: Rule = {
  invariant: 'I6',
  rule: 'message_fate',
  holds: 'A message that was accepted is delivered once or reported dropped once, in order.',
  ops: [o.OP_MESSAGE_POST, o.OP_HV_POST_MESSAGE, o.OP_HYPERCALL, ...CLEARING],
  registers: [],
  effects: [e.EFFECT_MESSAGE, e.EFFECT_DROPPED],
  deep: true,
  watch: (desk) => new MessageFate(desk),
}
