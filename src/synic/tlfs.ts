/**
 * The published specification's message queues and event flags (TLFS "Inter-Partition Communication", profile
 * `tlfs`).
 */
import { highHalf, lowHalf, toNumber } from '../hv/bits.js'
import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import {
  HV_INSUFFICIENT_BUFFERS,
  HV_INVALID_PARAMETER,
  HV_INVALID_SYNIC_STATE,
  HV_SUCCESS,
} from '../hv/hypercalls.js'
import { PORT_BUFFERS } from '../hv/limits.js'
import { HVMSG_NONE, HVMSG_SYNIC_SINT_INTERCEPT } from '../hv/messages.js'
import {
  PAGE_ENABLE,
  SCONTROL_ENABLE,
  SINT_COUNT,
  SINT_MASKED,
  SINT_VECTOR,
  STIMER_DIRECT,
  STIMER_ENABLE,
  STIMER_LAZY,
  STIMER_PERIODIC,
  stimerSint,
  stimerVector,
} from '../hv/registers.js'
import { acceptTimer } from './apic.js'
import {
  BUSY,
  DELIVERED,
  DROPPED,
  EFFECT_DROPPED,
  EFFECT_LEFT,
  FROM_EVENT,
  FROM_MESSAGE,
  FROM_TIMER,
  QUEUED,
  type Source,
} from './effects.js'
import {
  CONFIG,
  COUNT,
  EXP_TIME,
  FLAGS,
  LOW_MASK,
  MESSAGE_FRAME,
  SCONTROL,
  SIEFP,
  SIMP,
  SINT_MASKS,
  SINTS,
  TIMER_QUEUED_SHIFT,
} from './layout.js'
import type { Machine } from './machine.js'
import {
  buffersUsed,
  dequeue,
  enqueue,
  front,
  keep,
  OWNER_HOST,
  OWNER_INTERCEPT,
  OWNER_TIMERS,
  queueLength,
} from './message-queue.js'
import { type Message, setFlag, setPending, slotType, writeSlot } from './message-slot.js'
import { eventFrame, messageFrame } from './pages.js'
import { assertSint } from './sint.js'
import { expiryMessage, timerAt } from './stimer.js'

/** May messages be put into the slots of this SynIC? Both SCONTROL and SIMP must be enabled. */
export function acceptsMessages(m: Machine, f: number): boolean {
  return (m.w[f + SCONTROL] & SCONTROL_ENABLE) !== 0 && (m.w[f + SIMP] & PAGE_ENABLE) !== 0
}

function isOpen(m: Machine, f: number, sint: number): boolean {
  if (!acceptsMessages(m, f)) return false
  const masked = (m.w[f + SINTS + 2 * sint] & SINT_MASKED) !== 0
  return !(masked && m.options.masked_blocks_messages)
}

/**
 * Move the first queued message into the slot, if it is free. One succeeds at most: then the slot is full.
 * A full slot learns that something waits, also while its page is disabled: the overlay keeps its content,
 * and who enables it again and empties the slot looks at the flag (TLFS "SynIC Message Flags").
 */
export function tryDeliver(m: Machine, f: number, sint: number): boolean {
  const message = front(m, f, sint)
  if (message === undefined) return false
  const open = isOpen(m, f, sint)
  // A page that was never used holds no message.
  if (!open && m.w[f + MESSAGE_FRAME] === 0) return false
  const frame = messageFrame(m, f)
  if (slotType(m, frame, sint) !== HVMSG_NONE) {
    setPending(m, frame, sint, false)
    return false
  }
  if (!open) return false
  dequeue(m, f, sint)
  if (message.owner <= OWNER_TIMERS) {
    m.w[m.rowOfFile(f) + FLAGS] &= ~(1 << (TIMER_QUEUED_SHIFT + OWNER_TIMERS - message.owner))
    // The delivery time is that of the attempt which succeeds.
    message.words[4] = lowHalf(m.now)
    message.words[5] = highHalf(m.now)
  }
  writeSlot(m, f, frame, sint, message, message.source, false, queueLength(m, f, sint) > 0)
  m.effects.push(EFFECT_LEFT, message.ticket, message.source)
  assertSint(m, f, sint, message.source)
  return true
}

/** Is there a queue whose next Try succeeds? Behind an empty slot messages wait when no EOM was written. */
export function canMove(m: Machine, f: number): boolean {
  const queued = m.w[f + SINT_MASKS] & LOW_MASK
  for (let sint = 0; queued >> sint !== 0; sint++) {
    const isWaiting = ((queued >> sint) & 1) !== 0 && isOpen(m, f, sint)
    if (isWaiting && slotType(m, messageFrame(m, f), sint) === HVMSG_NONE) return true
  }
  return false
}

/** Queue a message, or put it straight into an empty slot that nothing waits for. */
function offer(
  m: Machine,
  f: number,
  sint: number,
  message: Message,
  owner: number,
  source: Source,
): boolean {
  if (queueLength(m, f, sint) === 0 && isOpen(m, f, sint)) {
    const frame = messageFrame(m, f)
    if (slotType(m, frame, sint) === HVMSG_NONE) {
      writeSlot(m, f, frame, sint, message, source, false, false)
      assertSint(m, f, sint, source)
      return true
    }
  }
  const waited = queueLength(m, f, sint) > 0
  enqueue(m, f, sint, keep(m, message, owner, source))
  if (owner <= OWNER_TIMERS) m.w[m.rowOfFile(f) + FLAGS] |= 1 << (TIMER_QUEUED_SHIFT + OWNER_TIMERS - owner)
  return tryDeliver(m, f, sint) && !waited
}

/** Post for a port or the host: a status, and whether the message already is in its slot. */
export function post(m: Machine, f: number, sint: number, message: Message, owner: number): number {
  if (!acceptsMessages(m, f)) return HV_INVALID_SYNIC_STATE
  if (buffersUsed(m, f, sint, owner) >= PORT_BUFFERS) return HV_INSUFFICIENT_BUFFERS
  m.effects.setDelivery(offer(m, f, sint, message, owner, FROM_MESSAGE) ? DELIVERED : QUEUED)
  return HV_SUCCESS
}

/** `message.post`: the host's own post, from a pool of sixteen buffers a SINT. */
export function postTlfs(m: Machine, f: number, sint: number, message: Message): void {
  const status = post(m, f, sint, message, OWNER_HOST)
  m.effects.setStatus(status)
  if (status === HV_INSUFFICIENT_BUFFERS) m.effects.setDelivery(BUSY)
  if (status === HV_INVALID_SYNIC_STATE) {
    m.effects.push(EFFECT_DROPPED, m.vcpuId(m.rowOfFile(f)), m.sintWord(f, sint, FROM_MESSAGE), -status)
    m.effects.setDelivery(DROPPED)
  }
}

/** Set an event flag and interrupt if it was clear; a status. Refused under a masked SINT (TLFS). */
export function signal(m: Machine, f: number, sint: number, flag: number): number {
  const { w } = m
  if (flag >= FLAGS_PER_SINT) return HV_INVALID_PARAMETER
  const enabled = (w[f + SCONTROL] & SCONTROL_ENABLE) !== 0 && (w[f + SIEFP] & PAGE_ENABLE) !== 0
  if (!enabled || (w[f + SINTS + 2 * sint] & SINT_MASKED) !== 0) return HV_INVALID_SYNIC_STATE
  const newly = setFlag(m, f, eventFrame(m, f), sint, flag)
  m.effects.value(newly ? 1 : 0, 0)
  if (newly) assertSint(m, f, sint, FROM_EVENT)
  return HV_SUCCESS
}

/** A SINT asserted as intercept: SINT0 gets a message that names it (SINT bit 19, Linux hvgdk_mini.h). */
export function postSintIntercept(m: Machine, f: number, sint: number): number {
  if (buffersUsed(m, f, 0, OWNER_INTERCEPT) >= PORT_BUFFERS) return 0
  const message: Message = {
    type: HVMSG_SYNIC_SINT_INTERCEPT,
    bytes: 4,
    senderLo: 0,
    senderHi: 0,
    words: Int32Array.of(sint),
    at: 0,
  }
  offer(m, f, 0, message, OWNER_INTERCEPT, FROM_MESSAGE)
  return 1
}

/** EOM: the vCPU's queues are scanned, ascending. */
export function endOfMessage(m: Machine, f: number): void {
  const queued = m.w[f + SINT_MASKS] & LOW_MASK
  for (let sint = 0; queued >> sint !== 0; sint++) {
    if (((queued >> sint) & 1) !== 0) tryDeliver(m, f, sint)
  }
}

/** EOI of a vector: the same for the SINTs that have it. */
export function endOfVector(m: Machine, f: number, vector: number): void {
  const queued = m.w[f + SINT_MASKS] & LOW_MASK
  for (let sint = 0; queued >> sint !== 0 && sint < SINT_COUNT; sint++) {
    const mine = (m.w[f + SINTS + 2 * sint] & SINT_VECTOR) === vector
    if (((queued >> sint) & 1) !== 0 && mine) tryDeliver(m, f, sint)
  }
}

/** A lazy periodic tick that comes later than half a period is left out (TLFS, "Periodic Timers"). */
function isSkipped(m: Machine, t: number): boolean {
  const lazy = STIMER_LAZY | STIMER_PERIODIC
  if ((m.w[t + CONFIG] & lazy) !== lazy) return false
  const late = m.now - toNumber(m.w[t + EXP_TIME], m.w[t + EXP_TIME + 1])
  return 2 * late > toNumber(m.w[t + COUNT], m.w[t + COUNT + 1])
}

/**
 * A timer's due time came. Its one buffer takes the message; a second expiry finds the first still waiting.
 * @returns true if the tick was dropped for that
 */
export function expireTlfs(m: Machine, v: number, i: number): boolean {
  const { w } = m
  const t = timerAt(v, i)
  const config = w[t + CONFIG]
  const skipped = isSkipped(m, t)
  if ((config & STIMER_PERIODIC) === 0) w[t + CONFIG] = config & ~STIMER_ENABLE
  if (skipped) return false
  // A message that waits from before CONFIG was rewritten does not hold a direct timer back.
  if ((config & STIMER_DIRECT) !== 0) {
    acceptTimer(m, v, stimerVector(config), i)
    return false
  }
  const sint = stimerSint(config)
  if (((w[v + FLAGS] >> (TIMER_QUEUED_SHIFT + i)) & 1) !== 0) {
    m.effects.push(EFFECT_DROPPED, m.vcpuId(v), m.sintWord(v, sint, FROM_TIMER), -HV_INSUFFICIENT_BUFFERS)
    return true
  }
  const message = expiryMessage(m, i, w[t + EXP_TIME], w[t + EXP_TIME + 1])
  offer(m, v, sint, message, OWNER_TIMERS - i, FROM_TIMER)
  return false
}
