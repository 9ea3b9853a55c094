/**
 * OpenVMM's SynIC: queues, and a scan before the vCPU runs (OpenVMM hv1_emulator synic.rs, profile
 * `openvmm`).
 */
import { testBit } from '../hv/bits.js'
import { FLAGS_PER_SINT } from '../hv/event-flags.js'
import { HV_INVALID_PARAMETER, HV_INVALID_SYNIC_STATE, HV_SUCCESS } from '../hv/hypercalls.js'
import { SINT_QUEUE_MAX } from '../hv/limits.js'
import { HVMSG_NONE } from '../hv/messages.js'
import {
  FIRST_VALID_VECTOR,
  SCONTROL_ENABLE,
  SINT_COUNT,
  SINT_MASKED,
  SINT_PROXY,
  STIMER_COUNT,
  STIMER_DIRECT,
  STIMER_ENABLE,
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
  NO_SOURCE,
  QUEUED,
  type Source,
} from './effects.js'
import {
  APIC_ENABLED,
  AUTO_EOI_VECTORS,
  CONFIG,
  COUNT,
  EXP_TIME,
  FLAGS,
  IN_SCAN_ROWS,
  IRR,
  LOW_MASK,
  MSG_PENDING,
  MSG_PENDING_SHIFT,
  OFFLINE,
  REQUESTED_SHIFT,
  SCONTROL,
  SINT_MASKS,
  SINTS,
  VCPU_ID,
} from './layout.js'
import type { Machine } from './machine.js'
import { dequeue, enqueue, front, keep, OWNER_HOST, queueLength } from './message-queue.js'
import { type Message, setFlag, setPending, slotType, writeSlot } from './message-slot.js'
import { eventFrame, messageFrame } from './pages.js'
import { assertSint } from './sint.js'
import { expiryMessage, processTimer, timerAt, timerTicket } from './stimer.js'

/** The row's queues and due timers are looked at before its vCPU runs again. */
export function listForScan(m: Machine, v: number): void {
  if ((m.w[v + FLAGS] & IN_SCAN_ROWS) === 0) {
    m.w[v + FLAGS] |= IN_SCAN_ROWS
    m.scanRows.push(v)
  }
}

/** Has the slot been seen empty? Asking a full one sets its pending flag (check_sint_ready). */
function checkReady(m: Machine, v: number, sint: number): boolean {
  if (((m.w[v + SINT_MASKS] >> sint) & 1) !== 0) return true
  const frame = messageFrame(m, v)
  if (slotType(m, frame, sint) === HVMSG_NONE) {
    m.w[v + SINT_MASKS] |= 1 << sint
    return true
  }
  setPending(m, frame, sint, false)
  return false
}

/** May SINT `sint` take a message at all? Neither SCONTROL nor SIMP is asked. */
function isUsable(m: Machine, v: number, sint: number): boolean {
  return (m.w[v + SINTS + 2 * sint] & (SINT_MASKED | SINT_PROXY)) === 0
}

/** A slot that is filled is to be looked at before the next message (post_message clears `ready`). */
export function forgetReady(m: Machine, v: number, sint: number): void {
  m.w[v + SINT_MASKS] &= ~(1 << sint)
}

/** Write a message into a slot that was seen empty, and interrupt. */
function fill(m: Machine, v: number, sint: number, message: Message, source: Source): void {
  forgetReady(m, v, sint)
  writeSlot(m, v, messageFrame(m, v), sint, message, source, true, false)
  assertSint(m, v, sint, source)
}

/** One pass over a vCPU: true while something moved. */
function scanOnce(m: Machine, v: number): boolean {
  const { w } = m
  const requested = (w[v + SINT_MASKS] >>> REQUESTED_SHIFT) & LOW_MASK
  for (let sint = 0; requested >> sint !== 0; sint++) {
    if (((requested >> sint) & 1) !== 0) checkReady(m, v, sint)
  }
  // An offline vCPU does not run, and it is running that evaluates its timers.
  const runs = (w[v + FLAGS] & OFFLINE) === 0
  for (let i = 0; i < STIMER_COUNT && runs; i++) scanTimer(m, v, i, requested)
  const ready = w[v + SINT_MASKS] & requested
  w[v + SINT_MASKS] &= ~(ready << REQUESTED_SHIFT)
  for (let sint = 0; ready >> sint !== 0; sint++) {
    if (((ready >> sint) & 1) !== 0) drain(m, v, sint)
  }
  return ready !== 0
}

/** Post from the front of a queue until it is empty or the slot is full; a refused message is dropped. */
function drain(m: Machine, v: number, sint: number): void {
  for (let message = front(m, v, sint); message !== undefined; message = front(m, v, sint)) {
    if (!isUsable(m, v, sint)) {
      dequeue(m, v, sint)
      m.effects.push(EFFECT_LEFT, message.ticket, NO_SOURCE)
      m.effects.push(
        EFFECT_DROPPED,
        m.vcpuId(v),
        m.sintWord(v, sint, message.source),
        -HV_INVALID_SYNIC_STATE,
      )
    } else if (((m.w[v + SINT_MASKS] >> sint) & 1) !== 0) {
      dequeue(m, v, sint)
      fill(m, v, sint, message, message.source)
      m.effects.push(EFFECT_LEFT, message.ticket, message.source)
    } else {
      m.w[v + SINT_MASKS] |= 1 << (REQUESTED_SHIFT + sint)
      return
    }
  }
}

/**
 * A due timer delivers unless its SINT is masked, proxied, full, or wanted by a VMM message
 * (Timer::evaluate).
 */
function scanTimer(m: Machine, v: number, i: number, requested: number): void {
  const { w } = m
  const waits = 1 << (MSG_PENDING_SHIFT + i)
  if ((w[v + FLAGS] & waits) === 0) return
  const t = timerAt(v, i)
  const config = w[t + CONFIG]
  if ((config & STIMER_DIRECT) !== 0) {
    const isAlwaysDue = (config & STIMER_PERIODIC) !== 0 && w[t + COUNT + 1] < 0
    if (isAlwaysDue && !changesApic(m, v, stimerVector(config))) return
    w[v + FLAGS] &= ~waits
    // Fired whatever the APIC makes of it.
    acceptTimer(m, v, stimerVector(config), i)
    fired(m, v, i)
    return restart(m, v, i)
  }
  const sint = stimerSint(config)
  if (((requested >> sint) & 1) !== 0 || !isUsable(m, v, sint) || !checkReady(m, v, sint)) return
  w[v + FLAGS] &= ~waits
  fill(m, v, sint, expiryMessage(m, i, w[t + EXP_TIME], w[t + EXP_TIME + 1]), FROM_TIMER)
  m.effects.push(EFFECT_LEFT, timerTicket(m, v, i), FROM_TIMER)
  fired(m, v, i)
  restart(m, v, i)
}

/**
 * Would the APIC be another one after this request? A timer that is always due makes it at every scan, and
 * what changes nothing is not told.
 */
function changesApic(m: Machine, v: number, vector: number): boolean {
  if ((m.w[v + FLAGS] & APIC_ENABLED) === 0 || vector < FIRST_VALID_VECTOR) return false
  return !testBit(m.w, v + IRR, vector) || testBit(m.w, v + AUTO_EOI_VECTORS, vector)
}

/** The next period begins now; a spent one-shot is put away. */
function restart(m: Machine, v: number, i: number): void {
  const t = timerAt(v, i)
  if ((m.w[t + CONFIG] & STIMER_PERIODIC) !== 0) {
    m.w[t + EXP_TIME] = 0
    m.w[t + EXP_TIME + 1] = 0
  }
  processTimer(m, v, i)
}

function fired(m: Machine, v: number, i: number): void {
  const t = timerAt(v, i)
  if ((m.w[t + CONFIG] & STIMER_PERIODIC) === 0) m.w[t + CONFIG] &= ~STIMER_ENABLE
}

/** A timer's due time came. The scan fires them, direct ones too: those of a vCPU go in order of index. */
export function expireOpenvmm(m: Machine, v: number, i: number): void {
  m.w[v + FLAGS] |= 1 << (MSG_PENDING_SHIFT + i)
  if ((m.w[timerAt(v, i) + CONFIG] & STIMER_DIRECT) === 0) m.effects.waits(timerTicket(m, v, i))
}

/** Settle step 4. A row stays listed as long as something waits in it: readiness is polled. */
export function scanRows(m: Machine): void {
  const rows = m.scanRows
  if (rows.length > 1) rows.sort((a, b) => m.w[a + VCPU_ID] - m.w[b + VCPU_ID])
  let kept = 0
  for (const v of rows) {
    for (let sint = 0; sint < SINT_COUNT && m.queues.size > 0; sint++) {
      if (queueLength(m, v, sint) > 0) m.w[v + SINT_MASKS] |= 1 << (REQUESTED_SHIFT + sint)
    }
    while (scanOnce(m, v)) {
      // Another pass finds the successors of what was just delivered, and marks their slots pending.
    }
    const waits = m.w[v + SINT_MASKS] >>> REQUESTED_SHIFT !== 0 || (m.w[v + FLAGS] & MSG_PENDING) !== 0
    if (waits) rows[kept++] = v
    else m.w[v + FLAGS] &= ~IN_SCAN_ROWS
  }
  rows.length = kept
}

/** Queue a message and scan at once: the answer says what became of it. */
export function postOpenvmm(m: Machine, f: number, sint: number, message: Message): void {
  const waiting = queueLength(m, f, sint)
  if (waiting >= SINT_QUEUE_MAX) return m.effects.setDelivery(BUSY)
  if (waiting === 0 && isUsable(m, f, sint) && checkReady(m, f, sint)) {
    // What queueing it and scanning would come to: a VMM message goes before any timer that waits here.
    fill(m, f, sint, message, FROM_MESSAGE)
    return m.effects.setDelivery(DELIVERED)
  }
  enqueue(m, f, sint, keep(m, message, OWNER_HOST, FROM_MESSAGE))
  listForScan(m, f)
  scanRows(m)
  // A message that left the queue of an unusable SINT was dropped at the front (message_queues.rs).
  if (queueLength(m, f, sint) > 0) m.effects.setDelivery(QUEUED)
  else m.effects.setDelivery(isUsable(m, f, sint) ? DELIVERED : DROPPED)
}

/** Set an event flag; a status. With SIEFP disabled the flag goes into the hidden overlay. */
export function signalOpenvmm(m: Machine, f: number, sint: number, flag: number): number {
  if (sint >= SINT_COUNT || flag >= FLAGS_PER_SINT) return HV_INVALID_PARAMETER
  if ((m.w[f + SCONTROL] & SCONTROL_ENABLE) === 0 || !isUsable(m, f, sint)) return HV_INVALID_SYNIC_STATE
  const newly = setFlag(m, f, eventFrame(m, f), sint, flag)
  m.effects.value(newly ? 1 : 0, 0)
  if (newly) assertSint(m, f, sint, FROM_EVENT)
  return HV_SUCCESS
}
