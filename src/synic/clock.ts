/** Reference time moves only here: to each due time in turn, then to the end. */
import { toNumber } from '../hv/bits.js'
import { E2BIG, EINVAL } from '../hv/errno.js'
import { EXPIRIES_PER_ADVANCE_MAX, REFERENCE_TIME_MAX } from '../hv/limits.js'
import { STIMER_DIRECT, STIMER_PERIODIC } from '../hv/registers.js'
import { APIC_ENABLED, CONFIG, COUNT, FLAGS, OFFLINE } from './layout.js'
import type { Machine } from './machine.js'
import { settle } from './settle.js'
import { deadline, timerAt } from './stimer.js'

/**
 * `clock.advance`; 0 or a negative errno. More interrupts than the bound are refused before anything happens.
 */
export function advance(m: Machine, ticks: number): number {
  const target = m.now + ticks
  if (target > REFERENCE_TIME_MAX) return EINVAL
  if (isTooFar(m, ticks)) return E2BIG
  m.horizon = target
  while (m.due.first <= target) {
    m.now = m.due.first
    while (m.due.first === m.now) deadline(m, m.due.pop())
    settle(m)
  }
  m.now = target
  m.horizon = 0
  return 0
}

/** Could a step of so many ticks raise more interrupts than `most`, or than one op may? */
export function isTooFar(m: Machine, ticks: number, most = EXPIRIES_PER_ADVANCE_MAX): boolean {
  // No timer expires more often than once a tick, so a short step needs no closer look.
  const few = (ticks + 1) * m.due.timers().length <= most
  // While paused a deadline only marks its timer, so each comes once.
  return !few && !m.paused && mostExpiries(m, m.now + ticks) > most
}

/**
 * Upper bound of expiries up to `target`: a direct periodic timer raises one interrupt a period. On KVM one
 * that the APIC does not take stands still after the first (stimer_notify_direct).
 */
function mostExpiries(m: Machine, target: number): number {
  let most = 0
  for (const timer of m.due.timers()) {
    const v = Math.floor(timer / 4) * m.stride
    const t = timerAt(v, timer & 3)
    const due = m.due.dueOf(timer)
    const flags = m.w[v + FLAGS]
    // An offline vCPU's deadline marks its timer, as a paused one's does, and nothing expires.
    if (due > target || (flags & OFFLINE) !== 0) continue
    const direct = STIMER_DIRECT | STIMER_PERIODIC
    const goesOn = (flags & APIC_ENABLED) !== 0 || !m.profile.kvm
    const repeats = goesOn && (m.w[t + CONFIG] & direct) === direct
    most += 1 + (repeats ? Math.floor((target - due) / toNumber(m.w[t + COUNT], m.w[t + COUNT + 1])) : 0)
  }
  return most
}
