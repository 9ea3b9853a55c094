/**
 * Runs the rules over the ops of one partition. It reads ops, results and state and changes nothing; what it
 * costs is a table look-up for ops that no rule watches.
 */
import * as e from '../synic/effects.js'
import { NESTED_FILE, SCONTROL, SIEFP, SIMP, SINTS, SIRBP } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import * as o from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import { Claims } from './claims.js'
import * as d from './dispatch.js'
import { LEDGER_SINTS, Ledger } from './ledger.js'
import { CLASS_OTHER, classAt, indexOfRegister, isNestedMsr, placeAt } from './registers.js'
import type { Desk, Finding, OpView, Rule, Violation, Watcher } from './rule.js'
import { RULES } from './rules.js'

/** What rules find at hand when liveness is judged: no op, no vCPU, nobody. */
const NO_OP = new Int32Array(o.OP_ARGS + 3)
NO_OP[o.OP_VCPU] = -1

/** The op at hand; rules see it through the read-only OpView. What its record says is read there. */
class Op implements OpView {
  code = 0
  seq = 0
  words: Int32Array = NO_OP
  at = 0
  msr = -1
  file = -1
  oldLo = 0
  oldHi = 0

  get vcpu(): number {
    return this.words[this.at + o.OP_VCPU]
  }

  get actor(): number {
    return this.words[this.at + o.OP_ACTOR]
  }

  get byHost(): boolean {
    return (this.words[this.at] & o.OP_BY_HOST) !== 0
  }

  get newLo(): number {
    return this.words[this.at + o.OP_ARGS + 1]
  }

  get newHi(): number {
    return this.words[this.at + o.OP_ARGS + 2]
  }
}

const NOTHING = () => {}
const PASSAGES = [
  o.OP_ACTOR_ATTACH,
  o.OP_ACTOR_DETACH,
  o.OP_KERNEL_BOOT,
  o.OP_PARTITION_RESET,
  o.OP_VCPU_CREATE,
]
const CHANGES_ACTORS = Uint8Array.from(o.OP_NAMES, (_, code) => (PASSAGES.includes(code) ? 1 : 0))
/** Where the registers of the ledger lie in a file's row: two words each, in the order of the slab. */
const FILE_WORD = Int8Array.of(SCONTROL, SIEFP, SIMP, SIRBP)
const KEY_OTHER = d.keyOfClass(CLASS_OTHER) | d.CHANGES

/** A rule looks at whole states: only where cost does not matter. */
export interface AuditorOptions {
  readonly rules?: readonly Rule[]
  readonly deep?: boolean
}

const SHALLOW = RULES.filter(({ deep }) => deep !== true)

export class Auditor implements Desk {
  readonly m: Machine
  readonly claims: Claims
  readonly ledger: Ledger
  readonly op = new Op()
  hasCrashed = false
  /** Findings of the op at hand. */
  readonly found: Violation[] = []
  readonly #partition: Partition
  readonly #rules: readonly Rule[]
  readonly #watchers: readonly Watcher[]
  readonly #dispatch: d.Dispatch
  readonly #befores: readonly (() => void)[]
  readonly #afters: readonly (() => void)[]
  /** Number of the rule that is asked. */
  #judging = 0
  /** Where the dispatch lists the rules for the op at hand. */
  #key = 0
  /** The AWAKE bit: set while any rule is, and always where cost does not matter. */
  #awake = 0
  readonly #isAwake: Uint8Array
  #awakeCount = 0

  /** @param options `deep`: all that rules can be asked; `rules`: these, and no others, and all of them */
  constructor(partition: Partition, { rules, deep = rules !== undefined }: AuditorOptions = {}) {
    this.#partition = partition
    this.m = partition.machine
    this.ledger = new Ledger(this.m)
    this.claims = new Claims(this.m, partition.names)
    this.#rules = rules ?? (deep ? RULES : SHALLOW)
    this.#isAwake = new Uint8Array(this.#rules.length)
    this.#awakeCount = deep ? 1 : 0
    this.#awake = deep ? d.AWAKE : 0
    this.#watchers = this.#rules.map((rule, i) => {
      this.#judging = i
      return rule.watch(this)
    })
    this.#dispatch = d.dispatchOf(this.#rules, this.#watchers, deep)
    // Looked up once: a call site that meets thirty classes costs more than most rules do.
    this.#befores = this.#watchers.map(({ before = NOTHING }) => before)
    this.#afters = this.#watchers.map(({ after = NOTHING }) => after)
  }

  nameOf(actor: number): string {
    return this.#partition.names.text(actor)
  }

  wake(isAwake: boolean): void {
    const i = this.#judging
    const now = isAwake ? 1 : 0
    if (this.#isAwake[i] === now) return
    this.#isAwake[i] = now
    this.#awakeCount += isAwake ? 1 : -1
    this.#awake = this.#awakeCount > 0 ? d.AWAKE : 0
  }

  report({ severity, text, ...about }: Finding): void {
    const { op } = this
    const { invariant, rule } = this.#rules[this.#judging]
    const { vcpu = op.vcpu, msr = op.msr, actor = op.actor, other = 0, otherSeq = 0 } = about
    this.found.push({
      invariant,
      rule,
      severity,
      seq: op.seq,
      vcpu,
      msr,
      actor: this.nameOf(actor),
      other: this.nameOf(other),
      otherSeq,
      text,
    })
  }

  /** The op at `at` is about to be applied. */
  before(words: Int32Array, at: number): void {
    const { op } = this
    // Setting a length costs more than looking at it.
    if (this.found.length > 0) this.found.length = 0
    const code = words[at] & o.OP_CODE
    op.code = code
    op.seq = this.#partition.seq + 1
    op.at = at
    if (op.words !== words) op.words = words
    const named = words[at + o.OP_ACTOR] === 0 ? 0 : d.NAMED
    if (code === o.OP_MSR_WRITE) this.#key = this.#look(named) | named
    else {
      op.msr = -1
      op.file = -1
      this.#key = d.keyOfCode(code) | d.CHANGES | named
    }
    const numbers = this.#dispatch.before[this.#key | this.#awake]
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i]
      this.#judging = number
      this.#befores[number].call(this.#watchers[number])
    }
  }

  /** The same op was applied; its effects stand in the machine. */
  after(): void {
    const { op, m } = this
    const { effects } = m
    const { file } = op
    let key = this.#key | this.#awake
    if (!isPlain(effects)) key |= d.REFUSED
    if (file >= 0 && (m.w[file + SCONTROL] & 1) === 0) key |= d.OFF
    const kinds = effects.length === 0 ? 0 : kindsOf(effects.words, effects.length)
    const numbers = this.#dispatch.after(key, kinds)
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i]
      this.#judging = number
      this.#afters[number].call(this.#watchers[number])
    }
    if (file >= 0) {
      if ((key & (d.NAMED | d.CHANGES)) !== 0 && effects.ok) this.#note()
    } else if (CHANGES_ACTORS[op.code] === 1) this.#passed()
    else if ((kinds & (1 << e.EFFECT_LIFECYCLE)) !== 0 && isCrash(effects)) this.hasCrashed = true
  }

  /** Judges liveness: no strand can take a step and no host work is queued. */
  settle(): readonly Violation[] {
    const { op } = this
    this.found.length = 0
    op.code = 0
    op.seq = this.#partition.seq
    op.words = NO_OP
    op.at = 0
    op.msr = -1
    op.file = -1
    this.#watchers.forEach((watcher, i) => {
      this.#judging = i
      watcher.settled?.()
    })
    return [...this.found]
  }

  /** Actors came or went, perhaps with their kernel. */
  #passed(): void {
    this.claims.changed()
    if (this.op.code === o.OP_KERNEL_BOOT || this.op.code === o.OP_PARTITION_RESET) this.hasCrashed = false
  }

  /** The register that a write is about to change. Returns the write's key. */
  #look(named: number): number {
    const { op, m } = this
    const { words, at } = op
    op.msr = -1
    op.file = -1
    const vcpu = words[at + o.OP_VCPU]
    const v = m.rowOf(vcpu)
    if (v < 0) return KEY_OTHER
    const msr = words[at + o.OP_ARGS] >>> 0
    op.msr = msr
    const index = indexOfRegister(msr)
    if (index < 0) return KEY_OTHER
    const file = m.nested && isNestedMsr(msr) ? v + NESTED_FILE : v
    op.file = file
    const key = d.keyOfClass(classAt(index))
    const place = placeAt(index)
    if (place < 0) return key | d.CHANGES
    const word = file + wordOf(place)
    const lo = m.w[word]
    const hi = m.w[word + 1]
    op.oldLo = lo
    op.oldHi = hi
    const isForeign =
      named !== 0 && this.claims.foreignOwnerAt(file, place, vcpu, msr, words[at + o.OP_ACTOR]) !== 0
    const change = lo === words[at + o.OP_ARGS + 1] && hi === words[at + o.OP_ARGS + 2] ? 0 : d.CHANGES
    return key | change | (isForeign ? d.FOREIGN : 0)
  }

  #note(): void {
    const { op, m, ledger } = this
    const place = placeAt(indexOfRegister(op.msr))
    if (place < 0) return
    const now = m.w[op.file + wordOf(place)]
    ledger.note(op.file, place, op.actor, op.seq, isOn(place, op.oldLo), isOn(place, now))
  }
}

/** Plain success, with a message delivered if there was one. */
function isPlain(effects: e.Effects): boolean {
  const { has } = effects
  if (effects.fault !== e.FAULT_NONE || effects.errno !== 0) return false
  if ((has & (e.HAS_STATUS | e.HAS_DELIVERY)) === 0) return true
  if ((has & e.HAS_STATUS) !== 0 && effects.status !== 0) return false
  return (has & e.HAS_DELIVERY) === 0 || effects.delivery === e.DELIVERED
}

function isCrash({ words }: e.Effects): boolean {
  return words[0] === e.EFFECT_LIFECYCLE && words[1] === e.LIFECYCLE_CRASH
}

/** One bit a kind of effect. */
function kindsOf(words: Int32Array, length: number): number {
  let kinds = 0
  for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) kinds |= 1 << words[at]
  return kinds
}

/** Word of a register of the ledger inside its file. */
function wordOf(place: number): number {
  return place >= LEDGER_SINTS ? SINTS + 2 * (place - LEDGER_SINTS) : FILE_WORD[place]
}

/** Enabled, or of a SINT: unmasked. */
function isOn(place: number, lo: number): boolean {
  return place >= LEDGER_SINTS ? (lo & 0x1_0000) === 0 : (lo & 1) !== 0
}
