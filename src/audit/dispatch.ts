/** Which rules are asked about which ops: worked out once for all partitions, as lists of rule numbers. */
import * as e from '../synic/effects.js'
import * as o from '../synic/op.js'
import { CLASSES } from './registers.js'
import type { Rule, Watcher } from './rule.js'

/** Numbers of rules. */
export type List = readonly number[]

const KINDS = e.EFFECT_WORDS.length
const CODES = o.OP_NAMES.length
const PLACES = 4 * (CODES + CLASSES.length)

/** Place of the lists for an op's code: does it name an actor? */
export const placeOfCode = (code: number, isNamed: boolean) => 4 * code + (isNamed ? 3 : 1)

/** The same for a write to a register of this class, which may change it or leave it as it was. */
export const placeOfClass = (index: number, isNamed: boolean, isChange: boolean) =>
  4 * (CODES + index) + (isNamed ? 2 : 0) + (isChange ? 1 : 0)

export class Dispatch {
  /** By place. */
  readonly before: readonly List[]
  readonly after: readonly List[]
  /** Rules that see an op with effects, by place and the kinds of the effects; made when first met. */
  readonly #withEffects = new Map<number, List>()
  readonly #lastKinds = new Int32Array(PLACES)
  readonly #lastLists: List[] = Array.from({ length: PLACES }, () => [])
  readonly #rules: readonly Rule[]
  readonly #hasAfter: readonly boolean[]

  /** @param watchers one of each rule, to see which of its parts a rule has */
  constructor(rules: readonly Rule[], watchers: readonly Watcher[]) {
    this.#rules = rules
    this.#hasAfter = watchers.map(({ after }) => after !== undefined)
    const hasBefore = watchers.map(({ before }) => before !== undefined)
    this.before = Array.from({ length: PLACES }, (_, place) => this.#list(place, 0, hasBefore))
    this.after = Array.from({ length: PLACES }, (_, place) => this.#list(place, 0, this.#hasAfter))
  }

  /** @param kinds one bit a kind of effect */
  withEffects(place: number, kinds: number): List {
    // An op mostly does what it did the last time.
    return kinds === this.#lastKinds[place] ? this.#lastLists[place] : this.#lookUp(place, kinds)
  }

  #lookUp(place: number, kinds: number): List {
    const key = place * 2 ** KINDS + kinds
    const list = this.#withEffects.get(key) ?? this.#list(place, kinds, this.#hasAfter)
    this.#withEffects.set(key, list)
    this.#lastKinds[place] = kinds
    this.#lastLists[place] = list
    return list
  }

  #list(place: number, kinds: number, has: readonly boolean[]): List {
    const what = place >> 2
    const isNamed = (place & 2) !== 0
    const isChange = (place & 1) !== 0
    return this.#rules.flatMap((rule, i) => {
      const { needsActor = false, onChange = false, effects = [] } = rule
      // What a rule lists by name, such as the end of a kernel, it sees whoever does it.
      const byCode = what < CODES && rule.ops.includes(what)
      const isFor = isNamed || !needsActor
      const byClass = what >= CODES && isFor && rule.registers.includes(CLASSES[what - CODES])
      const byEffect = isFor && effects.some((kind) => (kinds & (1 << kind)) !== 0)
      return has[i] && (byCode || (byClass && (isChange || !onChange)) || byEffect) ? [i] : []
    })
  }
}

const known = new WeakMap<readonly Rule[], Dispatch>()

/** The same rules are dispatched alike in every partition. */
export function dispatchOf(rules: readonly Rule[], watchers: readonly Watcher[]): Dispatch {
  const dispatch = known.get(rules) ?? new Dispatch(rules, watchers)
  known.set(rules, dispatch)
  return dispatch
}
