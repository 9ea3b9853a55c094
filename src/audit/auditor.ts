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
import { type Dispatch, dispatchOf, placeOfClass, placeOfCode } from './dispatch.js'
import { LEDGER_SINTS, Ledger } from './ledger.js'
import { CLASS_OTHER, classOf, isNestedMsr, placeOf } from './registers.js'
import type { Desk, Finding, OpView, Rule, Violation, Watcher } from './rule.js'
import { RULES } from './rules.js'

/** The op at hand; rules see it through the read-only OpView. */
class Op implements OpView {
  code = 0
  seq = 0
  vcpu = 0
  actor = 0
  byHost = false
  words: Int32Array = NO_WORDS
  at = 0
  msr = -1
  file = -1
  oldLo = 0
  oldHi = 0
  newLo = 0
  newHi = 0
  /** A write that changes its register, or one whose old value is not known. */
  isChange = true
}

const NO_WORDS = new Int32Array(0)
const NOTHING = () => {}
const CHANGES_ACTORS = Uint8Array.from(o.OP_NAMES, (_, code) =>
  [o.OP_ACTOR_ATTACH, o.OP_ACTOR_DETACH, o.OP_KERNEL_BOOT, o.OP_VCPU_CREATE].includes(code) ? 1 : 0,
)
/** Where the registers of the ledger lie in a file's row: two words each, in the order of the slab. */
const FILE_WORD = Int8Array.of(SCONTROL, SIEFP, SIMP, SIRBP)

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
  /** Findings of the op at hand. */
  readonly found: Violation[] = []
  readonly #partition: Partition
  readonly #rules: readonly Rule[]
  readonly #watchers: readonly Watcher[]
  readonly #dispatch: Dispatch
  readonly #befores: readonly (() => void)[]
  readonly #afters: readonly (() => void)[]
  /** Number of the rule that is asked. */
  #judging = 0

  /** @param options `deep`: also rules that compare whole states; `rules`: these, and no others */
  constructor(partition: Partition, { rules, deep = false }: AuditorOptions = {}) {
    this.#partition = partition
    this.m = partition.machine
    this.ledger = new Ledger(this.m.stride)
    this.claims = new Claims(this.m, partition.names)
    this.#rules = rules ?? (deep ? RULES : SHALLOW)
    this.#watchers = this.#rules.map((rule) => rule.watch(this))
    this.#dispatch = dispatchOf(this.#rules, this.#watchers)
    // Bound, not looked up: a call site that meets thirty classes costs more than most rules do.
    this.#befores = this.#watchers.map((watcher) => watcher.before?.bind(watcher) ?? NOTHING)
    this.#afters = this.#watchers.map((watcher) => watcher.after?.bind(watcher) ?? NOTHING)
  }

  nameOf(actor: number): string {
    return this.#partition.names.text(actor)
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
    op.code = words[at] & o.OP_CODE
    op.seq = this.#partition.seq + 1
    op.vcpu = words[at + o.OP_VCPU]
    op.actor = words[at + o.OP_ACTOR]
    op.byHost = (words[at] & o.OP_BY_HOST) !== 0
    op.words = words
    op.at = at
    op.msr = -1
    op.file = -1
    op.isChange = true
    if (op.code === o.OP_MSR_WRITE) this.#look(words[at + o.OP_ARGS] >>> 0)
    const numbers = this.#dispatch.before[this.#place()]
    for (let i = 0; i < numbers.length; i++) {
      this.#judging = numbers[i]
      this.#befores[numbers[i]]()
    }
  }

  /** The same op was applied; its effects stand in the machine. */
  after(): void {
    const { op, m } = this
    const place = this.#place()
    const { length } = m.effects
    const numbers =
      length === 0
        ? this.#dispatch.after[place]
        : this.#dispatch.withEffects(place, kindsOf(m.effects.words, length))
    for (let i = 0; i < numbers.length; i++) {
      this.#judging = numbers[i]
      this.#afters[numbers[i]]()
    }
    if (op.file >= 0) {
      if ((op.actor !== 0 || op.isChange) && m.effects.ok) this.#note()
    } else if (CHANGES_ACTORS[op.code] === 1) this.claims.changed()
  }

  /** Judges liveness: no strand can take a step and no host work is queued. */
  settle(): readonly Violation[] {
    this.found.length = 0
    this.op.code = 0
    this.op.seq = this.#partition.seq
    this.op.vcpu = -1
    this.op.actor = 0
    this.op.msr = -1
    this.op.file = -1
    this.#watchers.forEach((watcher, i) => {
      this.#judging = i
      watcher.settled?.()
    })
    return [...this.found]
  }

  /** Where the dispatch lists the rules for the op at hand. */
  #place(): number {
    const { op } = this
    const isNamed = op.actor !== 0
    if (op.code !== o.OP_MSR_WRITE) return placeOfCode(op.code, isNamed)
    return placeOfClass(op.file < 0 ? CLASS_OTHER : classOf(op.msr), isNamed, op.isChange)
  }

  /** The register that a write is about to change. */
  #look(msr: number): void {
    const { op, m } = this
    const v = m.rowOf(op.vcpu)
    if (v < 0) return
    op.msr = msr
    op.newLo = op.words[op.at + o.OP_ARGS + 1]
    op.newHi = op.words[op.at + o.OP_ARGS + 2]
    if (classOf(msr) === CLASS_OTHER) return
    op.file = m.nested && isNestedMsr(msr) ? v + NESTED_FILE : v
    const place = placeOf(msr)
    if (place < 0) return
    const word = op.file + wordOf(place)
    op.oldLo = m.w[word]
    op.oldHi = m.w[word + 1]
    op.isChange = op.newLo !== op.oldLo || op.newHi !== op.oldHi
  }

  #note(): void {
    const { op, m, ledger } = this
    const place = placeOf(op.msr)
    if (place < 0) return
    const now = m.w[op.file + wordOf(place)]
    ledger.note(op.file, place, op.actor, op.seq, isOn(place, op.oldLo), isOn(place, now))
  }
}

/** One bit a kind of effect. */
function kindsOf(words: Int32Array, length: number): number {
  let kinds = 0
  for (let at = 0; at < length; at += e.EFFECT_WORDS[words[at]]) kinds |= 1 << words[at]
  return kinds
}

/** Word of a register of the ledger inside its file. */
export function wordOf(place: number): number {
  return place >= LEDGER_SINTS ? SINTS + 2 * (place - LEDGER_SINTS) : FILE_WORD[place]
}

/** Enabled, or of a SINT: unmasked. */
export function isOn(place: number, lo: number): boolean {
  return place >= LEDGER_SINTS ? (lo & 0x1_0000) === 0 : (lo & 1) !== 0
}
