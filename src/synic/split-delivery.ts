/**
 * Host deliveries in three parts, for who explores orders: raise the pending flag, claim the slot, request
 * the interrupt. With `split_delivery` on, `message.post` only begins one; `host.step` takes the parts.
 */
import { EAGAIN, ENOENT } from '../hv/errno.js'
import { SPLIT_DELIVERIES_MAX } from '../hv/limits.js'
import { HVMSG_NONE } from '../hv/messages.js'
import { PAGE_ENABLE, SINT_VECTOR } from '../hv/registers.js'
import { BUSY, DELIVERED, EFFECT_LEFT, FROM_MESSAGE, QUEUED } from './effects.js'
import { SIMP, SINTS } from './layout.js'
import type { Machine } from './machine.js'
import { keep, OWNER_HOST, type QueuedMessage } from './message-queue.js'
import { clearPending, type Message, setPending, slotType, writeSlot } from './message-slot.js'
import { STEP_IRQ, STEP_PENDING, STEP_SLOT } from './op.js'
import { forgetReady } from './openvmm.js'
import { messageFrame } from './pages.js'
import { MODEL_OPENVMM } from './profile.js'
import { assertSint } from './sint.js'

/** Where a delivery stands. A sender that found the slot full sleeps until its SINT is acknowledged. */
export const SPLIT_READY = 0
export const SPLIT_WAITING = 1
export const SPLIT_WRITTEN = 2

export interface SplitDelivery {
  readonly f: number
  readonly sint: number
  readonly message: QueuedMessage
  state: number
}

/** `message.post` with `split_delivery` on. */
export function beginSplit(m: Machine, f: number, sint: number, message: Message): void {
  if (m.splits.length >= SPLIT_DELIVERIES_MAX) return m.effects.setDelivery(BUSY, EAGAIN)
  m.splits.push({ f, sint, message: keep(m, message, OWNER_HOST, FROM_MESSAGE), state: SPLIT_READY })
  m.effects.setDelivery(QUEUED)
}

/** An EOM or EOI wakes the senders that wait for this SINT. */
export function acknowledgeSplit(m: Machine, f: number, sint: number): void {
  for (const split of m.splits) {
    if (split.f === f && split.sint === sint && split.state === SPLIT_WAITING) split.state = SPLIT_READY
  }
}

/** The same outside KVM: an EOI wakes the SINTs with its vector, EOM (vector -1) all of the vCPU. */
export function wakeSenders(m: Machine, f: number, vector: number): void {
  for (const split of m.splits) {
    const own = m.w[f + SINTS + 2 * split.sint] & SINT_VECTOR
    const heard = split.f === f && (vector < 0 || own === vector)
    if (heard && split.state === SPLIT_WAITING) split.state = SPLIT_READY
  }
}

/**
 * `host.step`: one part of the oldest delivery in progress, of this vCPU and SINT if given (else -1). A slot
 * that is full makes the sender wait, flagged or not: forgetting the flag loses the message, as on real
 * hosts.
 */
export function stepSplit(m: Machine, part: number, v: number, sint: number): void {
  const split = m.splits.find(
    (each) =>
      (v < 0 || m.rowOfFile(each.f) === v) && (sint === -1 || each.sint === sint) && suits(each, part),
  )
  if (split === undefined) return m.effects.fail(ENOENT)
  if (part === STEP_IRQ) {
    m.splits.splice(m.splits.indexOf(split), 1)
    const accepted = assertSint(m, split.f, split.sint, FROM_MESSAGE)
    return accepted < 0 ? m.effects.fail(accepted) : undefined
  }
  if ((m.w[split.f + SIMP] & PAGE_ENABLE) === 0) return m.effects.fail(ENOENT)
  const frame = messageFrame(m, split.f)
  if (frame === 0) return m.effects.fail(ENOENT)
  if (part === STEP_PENDING) return setPending(m, frame, split.sint, false)
  if (split.state === SPLIT_WAITING) return m.effects.fail(EAGAIN)
  if (slotType(m, frame, split.sint) !== HVMSG_NONE) {
    split.state = SPLIT_WAITING
    return m.effects.setDelivery(QUEUED)
  }
  writeSlot(m, split.f, frame, split.sint, split.message, FROM_MESSAGE, true, false)
  clearPending(m, frame, split.sint)
  if (m.profile.model === MODEL_OPENVMM) forgetReady(m, split.f, split.sint)
  m.effects.push(EFFECT_LEFT, split.message.ticket, FROM_MESSAGE)
  split.state = SPLIT_WRITTEN
  m.effects.setDelivery(DELIVERED)
}

function suits(split: SplitDelivery, part: number): boolean {
  const written = split.state === SPLIT_WRITTEN
  if (part === STEP_IRQ) return written
  return !written && (part === STEP_PENDING || part === STEP_SLOT)
}
