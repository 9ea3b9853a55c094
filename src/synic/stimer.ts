/** The four synthetic timers of a vCPU: registers, start, expiry (KVM hyperv.c: stimer_*). */
import { fromBigInt, highHalf, lowHalf, toBigInt, toNumber } from '../hv/bits.js'
import { EDX_DIRECT_STIMER } from '../hv/cpuid.js'
import { HVMSG_TIMER_EXPIRED, TIMER_PAYLOAD_BYTES } from '../hv/messages.js'
import {
  STIMER_AUTO_ENABLE,
  STIMER_COUNT,
  STIMER_DEFINED,
  STIMER_DIRECT,
  STIMER_ENABLE,
  STIMER_PERIODIC,
  stimerSint,
  stimerVector,
} from '../hv/registers.js'
import { acceptTimer, wake } from './apic.js'
import { EFFECT_LEFT, FROM_TIMER, NO_SOURCE } from './effects.js'
import { deliver } from './kvm-delivery.js'
import {
  CONFIG,
  COUNT,
  EXP_TIME,
  FLAGS,
  HALTED,
  IN_TIMER_ROWS,
  MSG_PENDING_SHIFT,
  OFFLINE,
  TIMER_PENDING,
  TIMER_PENDING_SHIFT,
  TIMER_QUEUED_SHIFT,
  TIMER_WORDS,
  TIMERS,
  VCPU_ID,
} from './layout.js'
import type { Machine } from './machine.js'
import type { Message } from './message-slot.js'
import { expireOpenvmm, listForScan } from './openvmm.js'
import { MODEL_OPENVMM, MODEL_TLFS } from './profile.js'
import { canMove, expireTlfs } from './tlfs.js'

/** A deadline 2^63 / 100 ticks away or farther never fires: KVM's host timer saturates. */
const NEVER_FROM = 2 ** 63 / 100
const SAFE_HI = 1 << 20

export function timerAt(v: number, i: number): number {
  return v + TIMERS + i * TIMER_WORDS
}

/** The number a timer has in the due queue. */
function queueNumber(m: Machine, v: number, i: number): number {
  return (v / m.stride) * 4 + i
}

function isActiveForTimers(m: Machine, v: number, lo: number, hi: number, host: boolean): boolean {
  return m.isActive(v) || (host && (lo | hi) === 0)
}

/** Cancel the deadline and forget that anything waits (KVM stimer_cleanup). */
function cleanup(m: Machine, v: number, i: number): void {
  const t = timerAt(v, i)
  m.due.cancel(queueNumber(m, v, i))
  m.w[v + FLAGS] &= ~((1 << (TIMER_PENDING_SHIFT + i)) | (1 << (MSG_PENDING_SHIFT + i)))
  m.w[t + EXP_TIME] = 0
  m.w[t + EXP_TIME + 1] = 0
}

function markPending(m: Machine, v: number, i: number): void {
  m.w[v + FLAGS] |= 1 << (TIMER_PENDING_SHIFT + i)
  m.listForTimers(v)
}

/**
 * TLFS: SINT0 belongs to the hypervisor, and no message-mode timer is enabled on it, by CONFIG or by COUNT.
 */
function isForbidden(m: Machine, config: number): boolean {
  return m.profile.model === MODEL_TLFS && (config & STIMER_DIRECT) === 0 && stimerSint(config) === 0
}

/** STIMERn_CONFIG; false for a refused access. */
export function writeConfig(
  m: Machine,
  v: number,
  i: number,
  lo: number,
  hi: number,
  host: boolean,
): boolean {
  if (!isActiveForTimers(m, v, lo, hi, host)) return false
  const { options, w } = m
  const direct = (lo & STIMER_DIRECT) !== 0
  if (direct && !host && options.enforce_cpuid && (options.cpuid.edx & EDX_DIRECT_STIMER) === 0) return false
  const t = timerAt(v, i)
  const wasEnabled = (w[t + CONFIG] & STIMER_ENABLE) !== 0
  cleanup(m, v, i)
  let config = lo
  let high = hi
  if (m.profile.model === MODEL_TLFS) {
    // RsvdZ bits do not exist here.
    config &= STIMER_DEFINED
    high = 0
    if (isForbidden(m, config)) config &= ~STIMER_ENABLE
  } else if (m.profile.kvm && wasEnabled && !direct && stimerSint(config) === 0) {
    // KVM only refuses SINTx 0 to a timer that was running (stimer_set_config).
    config &= ~STIMER_ENABLE
  }
  w[t + CONFIG] = config
  w[t + CONFIG + 1] = high
  if ((config & STIMER_ENABLE) !== 0) markPending(m, v, i)
  return true
}

/** STIMERn_COUNT; false for a refused access. */
export function writeCount(m: Machine, v: number, i: number, lo: number, hi: number, host: boolean): boolean {
  if (!isActiveForTimers(m, v, lo, hi, host)) return false
  const { w } = m
  const t = timerAt(v, i)
  cleanup(m, v, i)
  w[t + COUNT] = lo
  w[t + COUNT + 1] = hi
  const openvmm = m.profile.model === MODEL_OPENVMM
  // A host write stores a value and arms nothing; OpenVMM does not tell who writes.
  if (!host || openvmm) {
    if ((lo | hi) !== 0) {
      if ((w[t + CONFIG] & STIMER_AUTO_ENABLE) !== 0 && !isForbidden(m, w[t + CONFIG])) {
        w[t + CONFIG] |= STIMER_ENABLE
      }
    } else if (!openvmm) w[t + CONFIG] &= ~STIMER_ENABLE
  }
  if ((w[t + CONFIG] & STIMER_ENABLE) !== 0) markPending(m, v, i)
  return true
}

/** Has the due time come? KVM and TLFS compare as u64; OpenVMM the signed distance (Timer::evaluate). */
function isDue(m: Machine, t: number): boolean {
  const lo = m.w[t + EXP_TIME]
  const hi = m.w[t + EXP_TIME + 1]
  if (m.profile.model === MODEL_OPENVMM) {
    return BigInt.asIntN(64, toBigInt(lo, hi) - BigInt(m.now)) <= 0n
  }
  return (lo | hi) !== 0 && m.now >= toNumber(lo, hi)
}

function setExpTime(m: Machine, t: number, time: number): void {
  m.w[t + EXP_TIME] = lowHalf(time)
  m.w[t + EXP_TIME + 1] = highHalf(time)
}

/** Start an enabled timer with a count: compute its due time and arm it (KVM stimer_start). */
function start(m: Machine, v: number, i: number, dropped: boolean): void {
  const { w } = m
  const t = timerAt(v, i)
  const countHi = w[t + COUNT + 1]
  const count = toNumber(w[t + COUNT], countHi)
  const huge = m.now + count > Number.MAX_SAFE_INTEGER || w[t + EXP_TIME + 1] >>> 0 >= SAFE_HI
  if ((w[t + CONFIG] & STIMER_PERIODIC) !== 0) {
    if (huge) setPeriodicHuge(m, t)
    else {
      const exp = toNumber(w[t + EXP_TIME], w[t + EXP_TIME + 1])
      // Late by some periods: on to the next multiple of the first phase; the ticks between are gone. OpenVMM
      // begins a new phase at every tick.
      if (exp === 0 || (m.profile.model === MODEL_OPENVMM && m.now >= exp)) setExpTime(m, t, m.now + count)
      else if (m.now >= exp) setExpTime(m, t, m.now + count - ((m.now - exp) % count))
      if (dropped) leap(m, v, i, t, count)
    }
    // A signed distance: from 2^63 up a period ends before it began, and each scan finds it over.
    if (m.profile.model === MODEL_OPENVMM && countHi < 0) return expireOpenvmm(m, v, i)
  } else {
    w[t + EXP_TIME] = w[t + COUNT]
    w[t + EXP_TIME + 1] = countHi
    if (isDue(m, t)) {
      markPending(m, v, i)
      return
    }
  }
  const exp = toNumber(w[t + EXP_TIME], w[t + EXP_TIME + 1])
  const away = exp >= m.now ? exp - m.now : exp - m.now + 2 ** 64
  if (away < NEVER_FROM) m.due.arm(queueNumber(m, v, i), m.now + away)
}

/**
 * A tick was dropped, and up to `dropsUntil` every tick is dropped alike: go on to the first one from there.
 */
function leap(m: Machine, v: number, i: number, t: number, count: number): void {
  const exp = toNumber(m.w[t + EXP_TIME], m.w[t + EXP_TIME + 1])
  const until = dropsUntil(m, v, i)
  if (exp < until) setExpTime(m, t, exp + Math.ceil((until - exp) / count) * count)
}

/**
 * Until when does a timer that found no room find none? No guest acts before the horizon: a full slot stays
 * full. A buffer of the TLFS is free again once its message leaves the queue, and a message that another
 * timer queues makes the hypervisor try (TLFS "Message Buffers").
 */
function dropsUntil(m: Machine, v: number, i: number): number {
  let until = m.horizon + 1
  if (m.profile.model !== MODEL_TLFS || !canMove(m, v)) return until
  if ((m.w[v + FLAGS] & TIMER_PENDING) !== 0) return m.now
  for (let other = 0; other < STIMER_COUNT; other++) {
    const isQueued = ((m.w[v + FLAGS] >> (TIMER_QUEUED_SHIFT + other)) & 1) !== 0
    if (other !== i && !isQueued) until = Math.min(until, m.due.dueOf(queueNumber(m, v, other)))
  }
  return until
}

/** The same arithmetic where numbers no longer hold 64 bits: u64 with wrap. */
function setPeriodicHuge(m: Machine, t: number): void {
  const { w } = m
  const now = BigInt(m.now)
  const count = toBigInt(w[t + COUNT], w[t + COUNT + 1])
  const exp = toBigInt(w[t + EXP_TIME], w[t + EXP_TIME + 1])
  const late = exp !== 0n && now >= exp
  if (exp !== 0n && !late) return
  const next = fromBigInt(late ? now + (count - ((now - exp) % count)) : now + count)
  w[t + EXP_TIME] = next.lo
  w[t + EXP_TIME + 1] = next.hi
}

const payload = new Int32Array(TIMER_PAYLOAD_BYTES / 4)
const timerMessage: Message = {
  type: HVMSG_TIMER_EXPIRED,
  bytes: TIMER_PAYLOAD_BYTES,
  senderLo: 0,
  senderHi: 0,
  words: payload,
  at: 0,
}

/** What a timer's message waits under; messages that are queued have tickets above zero. */
export function timerTicket(m: Machine, v: number, i: number): number {
  return -1 - (m.vcpuId(v) * STIMER_COUNT + i)
}

/** The expiry message of a timer, as of now (TLFS HV_TIMER_MESSAGE_PAYLOAD). Used up before the next call. */
export function expiryMessage(m: Machine, i: number, expLo: number, expHi: number): Message {
  payload[0] = i
  payload[1] = 0
  payload[2] = expLo
  payload[3] = expHi
  payload[4] = lowHalf(m.now)
  payload[5] = highHalf(m.now)
  return timerMessage
}

/**
 * KVM stimer_expiration: attempt the delivery; a failed one waits for an acknowledgement of its SINT.
 * @returns true if a periodic tick found the slot full and was dropped silently
 */
function expireKvm(m: Machine, v: number, i: number): boolean {
  const { w } = m
  const t = timerAt(v, i)
  const config = w[t + CONFIG]
  const waits = 1 << (MSG_PENDING_SHIFT + i)
  const waited = (w[v + FLAGS] & waits) !== 0
  w[v + FLAGS] |= waits
  const before = m.effects.length
  let failed: boolean
  if ((config & STIMER_DIRECT) !== 0) {
    failed = acceptTimer(m, v, stimerVector(config), i) === 0
  } else {
    const message = expiryMessage(m, i, w[t + EXP_TIME], w[t + EXP_TIME + 1])
    const periodic = (config & STIMER_PERIODIC) !== 0
    failed = deliver(m, v, stimerSint(config), message, periodic, FROM_TIMER) !== 0
  }
  const silent = m.effects.length === before
  if (failed) {
    if (!waited && (config & STIMER_DIRECT) === 0) m.effects.waits(timerTicket(m, v, i))
    return false
  }
  w[v + FLAGS] &= ~waits
  if ((config & STIMER_PERIODIC) === 0) w[t + CONFIG] = config & ~STIMER_ENABLE
  if (waited) m.effects.push(EFFECT_LEFT, timerTicket(m, v, i), silent ? NO_SOURCE : FROM_TIMER)
  return silent
}

/** @returns true if the tick was dropped */
function expire(m: Machine, v: number, i: number): boolean {
  if (m.profile.kvm) return expireKvm(m, v, i)
  if (m.profile.model === MODEL_TLFS) return expireTlfs(m, v, i)
  expireOpenvmm(m, v, i)
  return false
}

/** Does an expiry of this timer wait for something the guest or the scan must do first? */
function isWaiting(m: Machine, v: number, i: number): boolean {
  return ((m.w[v + FLAGS] >> (MSG_PENDING_SHIFT + i)) & 1) !== 0
}

/** One timer whose pending bit is set (kvm_hv_process_stimers). Also OpenVMM's evaluation at a scan. */
export function processTimer(m: Machine, v: number, i: number): void {
  const { w } = m
  const t = timerAt(v, i)
  w[v + FLAGS] &= ~(1 << (TIMER_PENDING_SHIFT + i))
  if ((w[t + CONFIG] & STIMER_ENABLE) === 0) {
    if (!m.profile.kvm) cleanup(m, v, i)
    return
  }
  const started = (w[t + EXP_TIME] | w[t + EXP_TIME + 1]) !== 0
  const dropped = started && isDue(m, t) && expire(m, v, i)
  const alive = (w[t + CONFIG] & STIMER_ENABLE) !== 0 && (w[t + COUNT] | w[t + COUNT + 1]) !== 0
  if (!alive) cleanup(m, v, i)
  else if (!isWaiting(m, v, i)) start(m, v, i, dropped)
}

/** Settle step 2: every listed row, lowest vCPU first, until no pending bit is set. */
export function processTimers(m: Machine): void {
  const rows = m.timerRows
  if (rows.length > 1) rows.sort((a, b) => m.w[a + VCPU_ID] - m.w[b + VCPU_ID])
  for (const v of rows) {
    // An offline vCPU does not enter the guest; its bits wait for `vcpu.online`.
    if ((m.w[v + FLAGS] & OFFLINE) === 0) {
      if ((m.w[v + FLAGS] & HALTED) !== 0) wake(m, v)
      processTimersOf(m, v)
    }
    m.w[v + FLAGS] &= ~IN_TIMER_ROWS
  }
  rows.length = 0
}

function processTimersOf(m: Machine, v: number): void {
  for (;;) {
    const pending = (m.w[v + FLAGS] & TIMER_PENDING) >> TIMER_PENDING_SHIFT
    if (pending === 0) break
    for (let i = 0; pending >> i !== 0; i++) {
      // Looked up afresh: processing one timer may start the next.
      if (((m.w[v + FLAGS] >> (TIMER_PENDING_SHIFT + i)) & 1) !== 0) processTimer(m, v, i)
    }
  }
  if (m.profile.model === MODEL_OPENVMM) listForScan(m, v)
}

/**
 * A deadline came: the timer is processed when its vCPU next enters the guest (KVM stimer_timer_callback).
 */
export function deadline(m: Machine, timer: number): void {
  markPending(m, Math.floor(timer / 4) * m.stride, timer & 3)
}
