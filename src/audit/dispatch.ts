/** Which rules are asked about which ops: worked out once for all partitions, as lists of rule numbers. */
import { HV_X64_MSR_SCONTROL, HV_X64_MSR_STIMER0_CONFIG, NESTED_MSR_OFFSET } from '../hv/msrs.js'
import * as e from '../synic/effects.js'
import * as o from '../synic/op.js'
import { BOOK_OPS } from './gsi-book.js'
import { CLASSES, classAt } from './registers.js'
import type { Interest, Rule, Watcher } from './rule.js'

/** Numbers of rules. */
export type List = readonly number[]

/**
 * A kind of effect that the auditor adds: an edge that came without a binding, or an acknowledgement out of
 * the ordinary.
 */
export const GSI_NEWS = e.EFFECT_WORDS.length
const KINDS = GSI_NEWS + 1
const CODES = o.OP_NAMES.length
const ALL_KINDS = -1
/** No kind has number 0. */
const NO_KIND = 1
// Words of a habit, behind the kinds that are usual.
const LOOKED_AT = 1
const CONCERNING = 2
const HABIT = 3
/** SCONTROL to SINT15. */
const REGISTERS = HV_X64_MSR_STIMER0_CONFIG - HV_X64_MSR_SCONTROL

// What is known of an op: which one it is, or a write to which class of registers, and six bits.
export const WHAT_SHIFT = 6
/** A write that changes its register. */
export const CHANGES = 1
/** It names an actor. */
export const NAMED = 2
/** A write by an actor to what is somebody else's. */
export const FOREIGN = 4
/** A write to a SynIC that is off. */
export const OFF = 8
/** The answer is not plain success. */
export const REFUSED = 16
/** Some rule has something to follow up. */
export const AWAKE = 32
/** Keys of writes to registers are not below this. */
export const WRITES = CODES << WHAT_SHIFT
export const KEYS = (CODES + CLASSES.length) << WHAT_SHIFT

export const keyOfCode = (code: number) => code << WHAT_SHIFT

/** The same for a write to a register of this class. */
export const keyOfClass = (index: number) => (CODES + index) << WHAT_SHIFT

/** Ops behind which actors and their claims may be others. */
export const PASSAGES: readonly number[] = [
  o.OP_ACTOR_ATTACH,
  o.OP_ACTOR_DETACH,
  o.OP_KERNEL_BOOT,
  o.OP_PARTITION_RESET,
  o.OP_VCPU_CREATE,
]

export class Dispatch {
  /** By key. An op's answer is not known before it: who watches for one is asked. */
  readonly before: readonly List[]
  /** Lists by key for ops without consequences; made when first met, since most never are. */
  readonly #quiet: (List | undefined)[] = Array.from({ length: KEYS }, () => undefined)
  /**
   * Three words a key: the kinds of effects that are usual of such an op, those by which it is looked at, and
   * among these the ones that concern a rule. Until that is worked out, and where the op as such matters,
   * nothing is usual.
   */
  readonly #habits = new Int32Array(HABIT * KEYS).fill(ALL_KINDS)
  /** By code, 1: somebody may be asked before such an op. */
  readonly isOpAwaited: Uint8Array
  /** The same for writes, by the register's place in its table. */
  readonly #isWriteAwaited: Uint8Array
  /** Lists by key and kinds of effects; made when first met. */
  readonly #lists = new Map<number, List>()
  readonly #lastKinds = new Int32Array(KEYS).fill(-1)
  readonly #lastLists: List[] = Array.from({ length: KEYS }, () => [])
  readonly #interests: readonly (readonly Interest[])[]
  readonly #hasAfter: readonly boolean[]

  /** @param watchers one of each rule, to see which of its parts a rule has */
  constructor(rules: readonly Rule[], watchers: readonly Watcher[], deep: boolean) {
    this.#interests = rules.map((rule) =>
      [rule, ...(rule.more ?? [])].filter((interest) => deep || interest.deep !== true),
    )
    this.#hasAfter = watchers.map(({ after }) => after !== undefined)
    const hasBefore = watchers.map(({ before }) => before !== undefined)
    const keys = Array.from({ length: KEYS }, (_, key) => key)
    this.before = keys.map((key) => this.#list(key | OFF | REFUSED, 0, hasBefore))
    const isAwaited = (what: number) =>
      this.before.slice(what << WHAT_SHIFT, (what + 1) << WHAT_SHIFT).some(({ length }) => length > 0) ? 1 : 0
    this.isOpAwaited = Uint8Array.from({ length: CODES }, (_, code) => isAwaited(code))
    this.#isWriteAwaited = Uint8Array.from({ length: REGISTERS }, (_, index) =>
      isAwaited(CODES + classAt(index)),
    )
  }

  /** Who is asked about an op without consequences. */
  quiet(key: number): List {
    let list = this.#quiet[key]
    if (list === undefined) {
      list = this.#list(key, 0, this.#hasAfter)
      this.#quiet[key] = list
    }
    return list
  }

  /** Is it worth a look? If not, nobody is asked about an op of this key with these kinds of effects. */
  isOdd(key: number, kinds: number): boolean {
    const at = HABIT * key
    return ((kinds ^ this.#habits[at]) & this.#habits[at + LOOKED_AT]) !== 0
  }

  /** Is somebody asked about it, with what a look at GSIs has shown? */
  concerns(key: number, kinds: number): boolean {
    const at = HABIT * key
    return ((kinds ^ this.#habits[at]) & this.#habits[at + CONCERNING]) !== 0
  }

  isLearnt(key: number): boolean {
    return this.#habits[HABIT * key] !== ALL_KINDS
  }

  /**
   * Works out what is usual of an op that is no write to a register of a class. An interest is in kinds that
   * are there, or in one that is not: so it is enough to look at each by itself.
   */
  learn(key: number): void {
    const code = key >> WHAT_SHIFT
    this.#habit(key, NO_KIND, NO_KIND)
    if (PASSAGES.includes(code) || BOOK_OPS.includes(code)) return
    const unless = this.#interests.flat().reduce((kinds, interest) => {
      const isMissed = interest.unless !== undefined && isAbout(interest, key, 0)
      return isMissed ? kinds | (1 << interest.unless) : kinds
    }, 0)
    const concerns = (kinds: number) => this.#list(key, kinds, this.#hasAfter).length > 0
    if (concerns(unless)) return
    let telling = 1 << e.EFFECT_LIFECYCLE
    for (let kind = 1; kind < KINDS; kind++) if (concerns(unless ^ (1 << kind))) telling |= 1 << kind
    this.#habit(key, unless, telling)
  }

  #habit(key: number, usual: number, concerning: number): void {
    const at = HABIT * key
    this.#habits[at] = usual
    this.#habits[at + LOOKED_AT] = concerning | gsiKindsOf(key >> WHAT_SHIFT)
    this.#habits[at + CONCERNING] = concerning
  }

  /** May somebody be asked before a write to this MSR? */
  isWriteAwaited(msr: number): boolean {
    // Only the SynIC's own registers tell behind a write what it did.
    const index = (msr & ~NESTED_MSR_OFFSET) - HV_X64_MSR_SCONTROL
    return index < 0 || index >= REGISTERS || this.#isWriteAwaited[index] === 1
  }

  /** @param kinds one bit a kind of effect */
  after(key: number, kinds: number): List {
    // An op mostly does what it did the last time.
    return kinds === this.#lastKinds[key] ? this.#lastLists[key] : this.#lookUp(key, kinds)
  }

  #lookUp(key: number, kinds: number): List {
    const whole = key * 2 ** KINDS + kinds
    const list = this.#lists.get(whole) ?? this.#list(key, kinds, this.#hasAfter)
    this.#lists.set(whole, list)
    this.#lastKinds[key] = kinds
    this.#lastLists[key] = list
    return list
  }

  #list(key: number, kinds: number, has: readonly boolean[]): List {
    return this.#interests.flatMap((interests, i) =>
      has[i] && interests.some((interest) => isAbout(interest, key, kinds)) ? [i] : [],
    )
  }
}

/** By what an op is: the kinds of effects by which it concerns GSIs. */
export const gsiKindsOf = (what: number) => (what === o.OP_GSI_ASSERT ? 1 << e.EFFECT_IRQ : 1 << e.EFFECT_ACK)

function isAbout(interest: Interest, key: number, kinds: number): boolean {
  const { ops = [], registers = [], effects = [], unless = 0 } = interest
  const is = (bit: number) => (key & bit) !== 0
  if (interest.whileAwake === true && !is(AWAKE)) return false
  if (interest.onRefusal === true && !is(REFUSED)) return false
  // No kind has number 0.
  if ((kinds & (1 << unless)) !== 0) return false
  const what = key >> WHAT_SHIFT
  // What a rule lists by name, such as the end of a kernel, it sees whoever does it.
  if (what < CODES && ops.includes(what)) return true
  if (interest.needsActor === true && !is(NAMED)) return false
  if (effects.some((kind) => (kinds & (1 << kind)) !== 0)) return true
  if (what < CODES || !registers.includes(CLASSES[what - CODES])) return false
  if (interest.onChange === true && !is(CHANGES)) return false
  if (interest.onForeign === true && !is(FOREIGN)) return false
  return interest.whileOff !== true || is(OFF)
}

const known = new WeakMap<readonly Rule[], Dispatch>()

/** The same rules are dispatched alike in every partition. */
export function dispatchOf(rules: readonly Rule[], watchers: readonly Watcher[], deep: boolean): Dispatch {
  const dispatch = known.get(rules) ?? new Dispatch(rules, watchers, deep)
  known.set(rules, dispatch)
  return dispatch
}
