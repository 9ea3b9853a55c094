/** Which rules are asked about which ops: worked out once for all partitions, as lists of rule numbers. */
import * as e from '../synic/effects.js'
import * as o from '../synic/op.js'
import { CLASSES } from './registers.js'
import type { Interest, Rule, Watcher } from './rule.js'

/** Numbers of rules. */
export type List = readonly number[]

const KINDS = e.EFFECT_WORDS.length
const CODES = o.OP_NAMES.length

// What is known of an op: which one it is, or a write to which class of registers, and six bits.
const WHAT_SHIFT = 6
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
const KEYS = (CODES + CLASSES.length) << WHAT_SHIFT

export const keyOfCode = (code: number) => code << WHAT_SHIFT

/** The same for a write to a register of this class. */
export const keyOfClass = (index: number) => (CODES + index) << WHAT_SHIFT

export class Dispatch {
  /** By key. An op's answer is not known before it: who watches for one is asked. */
  readonly before: readonly List[]
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
    this.before = Array.from({ length: KEYS }, (_, key) => this.#list(key | OFF | REFUSED, 0, hasBefore))
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
