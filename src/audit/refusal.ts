/**
 * What counts as a refused op: a fault, an errno or a status, and not a delivery that says what became of
 * it.
 */
import { DELIVERED, type Effects, HAS_DELIVERY, HAS_STATUS } from '../synic/effects.js'

export function isRefused(effects: Effects): boolean {
  if (effects.ok) return (effects.has & HAS_STATUS) !== 0 && effects.status !== 0
  // A message may stand in its slot although its interrupt failed, and the errno tells of that.
  return (effects.has & HAS_DELIVERY) === 0 || effects.delivery !== DELIVERED
}

/** Is the answer a delivery that is itself a change: a busy slot gets its pending flag? */
export function tellsDelivery(effects: Effects): boolean {
  return (effects.has & HAS_DELIVERY) !== 0
}
