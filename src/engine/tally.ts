/**
 * Counts that go up with nearly every op, for one meter at a time. An array at the top of a module is always
 * the same to V8, which then writes to it without looking whose it is, where it lies and how long it is
 * (ADR 8). What each place is, `meter.ts` says in words.
 */
import { OP_NAMES } from '../synic/op.js'

/** Outcomes of an op, one place each: applied, a fault, an error number. */
export const OUTCOMES_COUNT = 3
export const OUTCOME_OK = 0
export const OUTCOME_FAULT = 1
export const OUTCOME_ERRNO = 2

/** Stages of a delivery and what is delivered: a place for each of both, for what took no time at all. */
export const KINDS_COUNT = 4
export const STAGES_COUNT = 4

/** Where each begins: numbers, and so the ops, which are many, last. */
export const TALLY_INTERRUPTS = 0
export const TALLY_INSTANT = 8
export const TALLY_EOM = TALLY_INSTANT + STAGES_COUNT * KINDS_COUNT
export const TALLY_DROPPED = TALLY_EOM + 1
export const TALLY_QUEUED = TALLY_EOM + 2
export const TALLY_BUSY = TALLY_EOM + 3
export const TALLY_OPS = TALLY_EOM + 4

export const TALLY = new Float64Array(TALLY_OPS + OP_NAMES.length * OUTCOMES_COUNT)
