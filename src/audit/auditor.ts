/**
 * Runs the rules over the ops of one partition. It reads ops, results and state and changes nothing; what it
 * costs is a table look-up for ops that no rule watches.
 */
import * as e from '../synic/effects.js'
import { NESTED_FILE, SCONTROL } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import * as o from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import { Claims } from './claims.js'
import * as d from './dispatch.js'
import { BOOK_OPS, GsiBook } from './gsi-book.js'
import { isMoved } from './holders.js'
import { Ledger } from './ledger.js'
import { NO_OP, OpAtHand } from './op-at-hand.js'
import { isOnAt, isOnValue, wordAt } from './places.js'
import { CLASS_OTHER, classAt, indexOfRegister, isNestedMsr, placeAt } from './registers.js'
import type { Desk, Finding, Rule, Violation, Watcher } from './rule.js'
import { RULES } from './rules.js'

const NOTHING = () => {}
const isOneOf = (codes: readonly number[]) =>
  Uint8Array.from(o.OP_NAMES, (_, code) => (codes.includes(code) ? 1 : 0))
const CHANGES_ACTORS = isOneOf(d.PASSAGES)
const CHANGES_BOOK = isOneOf(BOOK_OPS)
/** Whom an op concerns is looked up behind it. */
const LATER = -1
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
  readonly gsis: GsiBook
  readonly op = new OpAtHand()
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
  /**
   * By file and register, who wrote it last without anybody being asked, plus 1; 0 = somebody was, or owners
   * were others.
   */
  #silent = new Int32Array(0)
  readonly #isAwake: Uint8Array
  /** When the present kernel began. */
  #bootSeq = 0
  #awakeCount = 0

  /** @param options `deep`: all that rules can be asked; `rules`: these, and no others, and all of them */
  constructor(partition: Partition, { rules, deep = rules !== undefined }: AuditorOptions = {}) {
    this.#partition = partition
    this.m = partition.machine
    this.ledger = new Ledger(this.m)
    this.gsis = new GsiBook(this.m)
    this.claims = new Claims(this.m, partition.names, () => this.#silent.fill(0))
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
    this.#befores = this.#watchers.map((watcher) => watcher.before?.bind(watcher) ?? NOTHING)
    this.#afters = this.#watchers.map((watcher) => watcher.after?.bind(watcher) ?? NOTHING)
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
    if (op.words !== words) op.words = words
    op.at = at
    const code = words[at] & o.OP_CODE
    if (code === o.OP_MSR_WRITE) {
      // Most concern nobody beforehand: which register that was is found out behind them, from its traces.
      this.#key = this.#dispatch.isWriteAwaited(words[at + o.OP_ARGS]) ? this.#lookAhead() : LATER
      return
    }
    const actor = words[at + o.OP_ACTOR]
    let key = d.keyOfCode(code) | d.CHANGES
    if (actor !== 0) {
      key |= d.NAMED
      this.claims.meet(actor)
    }
    this.#key = key
    if (this.#dispatch.isOpAwaited[code] === 1) {
      op.msr = -1
      op.file = -1
      this.#askBefore(key)
    }
  }

  /** The same op was applied; its effects stand in the machine. Small, so that it is drawn into the loop. */
  after(): void {
    const { effects } = this.m
    const { kinds } = effects
    if (this.#key === LATER) {
      if (kinds === 0 && effects.file >= 0 && this.#isRepetition(effects)) return
      this.#key = this.#lookBack(effects)
    }
    const key = this.#key | this.#awake
    const isRefused = !isPlain(effects)
    if (isRefused || this.#dispatch.isOdd(key, kinds)) this.#look(key, kinds, isRefused)
  }

  /** An edge or an acknowledgement is put down; mostly that is all. */
  #look(key: number, kinds: number, isRefused: boolean): void {
    if ((kinds & d.gsiKindsOf(key >> d.WHAT_SHIFT)) !== 0) kinds = this.#withGsiNews(key, kinds)
    if (isRefused || this.#dispatch.concerns(key, kinds))
      this.#judge(isRefused ? key | d.REFUSED : key, kinds)
  }

  /** Takes in what befell GSIs; the kinds, and GSI_NEWS where it is out of the ordinary. */
  #withGsiNews(key: number, kinds: number): number {
    const { words, at } = this.op
    const seq = this.#partition.seq
    const isOrdinary =
      key >> d.WHAT_SHIFT === o.OP_GSI_ASSERT
        ? this.gsis.asserted(words[at + o.OP_ARGS], words[at + o.OP_ACTOR], seq)
        : this.gsis.acknowledged(seq)
    return isOrdinary ? kinds : kinds | (1 << d.GSI_NEWS)
  }

  /** Somebody may have something to say of the op. */
  #judge(key: number, kinds: number): void {
    const { op, m } = this
    const seq = this.#partition.seq
    const what = key >> d.WHAT_SHIFT
    if (key < d.WRITES) {
      const met = key & ~d.REFUSED
      if (!this.#dispatch.isLearnt(met)) this.#dispatch.learn(met)
      op.msr = -1
      op.file = -1
      if (CHANGES_BOOK[what] === 1) this.gsis.changed(what, op.words[op.at + o.OP_ARGS], seq)
    }
    const { file } = op
    if (file >= 0 && (m.w[file + SCONTROL] & 1) === 0) key |= d.OFF
    const numbers = kinds === 0 ? this.#dispatch.quiet(key) : this.#dispatch.after(key, kinds)
    if (numbers.length > 0) this.#ask(numbers, this.#afters, seq)
    if (file >= 0) this.#note(key, numbers.length === 0)
    else if (CHANGES_ACTORS[what] === 1) this.#passed()
    else if ((kinds & (1 << e.EFFECT_LIFECYCLE)) !== 0 && isCrash(m.effects)) this.hasCrashed = true
  }

  #ask(numbers: d.List, methods: readonly (() => void)[], seq: number): void {
    const { op } = this
    op.code = op.words[op.at] & o.OP_CODE
    op.seq = seq
    for (let i = 0; i < numbers.length; i++) {
      const number = numbers[i]
      this.#judging = number
      methods[number]()
    }
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

  /** The machine has taken over the same state, as it was saved. */
  restored(): void {
    for (const watcher of this.#watchers) watcher.restored?.()
  }

  /** Actors came or went, perhaps with their kernel. */
  #passed(): void {
    const { op, claims } = this
    const code = op.words[op.at] & o.OP_CODE
    if (code === o.OP_KERNEL_BOOT || code === o.OP_PARTITION_RESET) {
      this.hasCrashed = false
      if (code === o.OP_KERNEL_BOOT) this.#bootSeq = this.#partition.seq
      claims.allLeft()
    } else if (code === o.OP_ACTOR_DETACH && this.m.effects.ok) claims.left(op.actor)
    else claims.changed()
  }

  #askBefore(key: number): void {
    const numbers = this.#dispatch.before[key | this.#awake]
    if (numbers.length > 0) this.#ask(numbers, this.#befores, this.#partition.seq + 1)
  }

  /** The key of a write that is about to be made; asks who wants to see it before. */
  #lookAhead(): number {
    const { op, m } = this
    const { words, at } = op
    this.claims.meet(op.actor)
    const v = m.rowOf(op.vcpu)
    const msr = words[at + o.OP_ARGS]
    const index = indexOfRegister(msr)
    let key = KEY_OTHER | (op.actor === 0 ? 0 : d.NAMED) | this.#ifForeign(msr)
    op.msr = v < 0 ? -1 : msr
    op.file = -1
    if (v >= 0 && index >= 0)
      key = this.#keyOfWrite(m.nested && isNestedMsr(msr) ? v + NESTED_FILE : v, index)
    this.#askBefore(key)
    return key
  }

  /** The key of a write that nobody waited for. One that came to its register has left its traces. */
  #lookBack({ file, register, oldLo, oldHi }: e.Effects): number {
    if (file < 0) return this.#lookAhead()
    const { op } = this
    this.claims.meet(op.actor)
    op.msr = op.words[op.at + o.OP_ARGS]
    op.file = file
    op.oldLo = oldLo
    op.oldHi = oldHi
    return this.#keyOf(register)
  }

  #keyOfWrite(file: number, index: number): number {
    const { op, m } = this
    op.file = file
    const place = placeAt(index)
    if (place >= 0) {
      const word = wordAt(file, place)
      op.oldLo = m.w[word]
      op.oldHi = m.w[word + 1]
    }
    return this.#keyOf(index)
  }

  /** The key of a write whose file and old value stand in the op. */
  #keyOf(index: number): number {
    const { op } = this
    const { words, at, file, msr } = op
    const actor = words[at + o.OP_ACTOR]
    let key = d.keyOfClass(classAt(index)) | (actor === 0 ? 0 : d.NAMED)
    const place = placeAt(index)
    if (place < 0 || op.oldLo !== words[at + o.OP_ARGS + 1] || op.oldHi !== words[at + o.OP_ARGS + 2]) {
      key |= d.CHANGES
    }
    if (place < 0) return key | this.#ifForeign(msr)
    if (actor === 0) return key
    return this.claims.foreignOwnerAt(file, place, op.vcpu, msr, actor) === 0 ? key : key | d.FOREIGN
  }

  /** A register that no table gives to anybody is owned only where somebody has claimed it. */
  #ifForeign(msr: number): number {
    const { op, m, claims } = this
    if (m.actors.size === 0 || op.actor === 0) return 0
    return claims.foreignOwner(op.vcpu, msr, op.actor) === 0 ? 0 : d.FOREIGN
  }

  /**
   * Is it what its actor wrote there the last time, and did nobody want to know then? Drivers and harnesses
   * write the same again and again.
   */
  #isRepetition(effects: e.Effects): boolean {
    const { op, m } = this
    const { words, at } = op
    const { file, register } = effects
    const actor = words[at + o.OP_ACTOR]
    if (
      this.#silent[file + register] !== actor + 1 ||
      this.#awake !== 0 ||
      effects.oldLo !== words[at + o.OP_ARGS + 1] ||
      effects.oldHi !== words[at + o.OP_ARGS + 2] ||
      (m.w[file + SCONTROL] & 1) === 0 ||
      !effects.ok
    ) {
      return false
    }
    if (actor !== 0) this.ledger.noteAgain(file, placeAt(register), this.#partition.seq)
    return true
  }

  /** Keeps who wrote a register. @param isSilent nobody was asked of the write */
  #note(key: number, isSilent: boolean): void {
    const { op, m } = this
    if (!m.effects.ok) return
    const place = placeAt(indexOfRegister(op.msr))
    if (place < 0) return
    if ((key & (d.NAMED | d.CHANGES)) !== 0) this.#keep(place)
    const at = op.file + indexOfRegister(op.msr)
    if (at >= this.#silent.length) this.#silent = new Int32Array(m.w.length)
    this.#silent[at] = isSilent && (key & (d.CHANGES | d.OFF | d.REFUSED)) === 0 ? op.actor + 1 : 0
  }

  #keep(place: number): void {
    const { op, m, ledger } = this
    const { file } = op
    const { seq } = this.#partition
    const isNowOn = isOnAt(m, file, place)
    const wasOn = isOnValue(place, op.oldLo)
    const isTaken = wasOn && isNowOn && !op.byHost && this.#takesOver(place)
    if (isTaken) ledger.displace(file, place)
    ledger.note(file, place, op.actor, seq, wasOn && !isTaken, isNowOn)
    // A restore or a reset by the VMM is nobody's use of it: what comes back is its owner's.
    if (op.byHost && isNowOn && !wasOn) ledger.presume(file, place, this.claims.owner(op.vcpu, op.msr), seq)
  }

  /**
   * A register that was found enabled and stays so: is it the writer's own from now on? What a kernel finds
   * is, and what a driver finds that it owns; where nobody does, what it moves to a page or vector of its
   * own.
   */
  #takesOver(place: number): boolean {
    const { op, ledger, claims } = this
    if (ledger.enableSeq(op.file, place) < this.#bootSeq) return true
    if (op.actor === 0 || ledger.enabler(op.file, place) === op.actor) return false
    const owner = claims.owner(op.vcpu, op.msr)
    return owner !== 0 ? owner === op.actor : isMoved(this, place)
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
