/**
 * What an invariant is made of: one rule a file in `rules/`, which watches the ops of one partition. Rules
 * know ops, results, state and claims; they know no driver, no scenario and no bug.
 */
import type { Machine } from '../synic/machine.js'
import type { Claims } from './claims.js'
import type { GsiBook } from './gsi-book.js'
import type { Ledger } from './ledger.js'

/** `note`: unusual or redundant, but documented software does it. */
export type Severity = 'error' | 'note'

/** What every rule can ask and say. */
export interface Desk {
  /** The state: before the op in `before`, behind it in `after` and `settled`. */
  readonly m: Machine
  /** Who owns which register. */
  readonly claims: Claims
  /** Who wrote which register last, and when. */
  readonly ledger: Ledger
  /** Which GSI's edge is under way, and which were acknowledged. */
  readonly gsis: GsiBook
  /** The op at hand. One object is used for all ops: nothing of it may be kept. */
  readonly op: OpView
  /** The kernel has reported that it crashed, and no other has started yet. */
  readonly hasCrashed: boolean
  /** An actor's name; '' for ops that name none. */
  nameOf(actor: number): string
  report(finding: Finding): void
  /** The rule that is asked has something to follow up, or no longer: see Interest.whileAwake. */
  wake(isAwake: boolean): void
}

/** The op being judged, as its record has it. */
export interface OpView {
  readonly code: number
  readonly seq: number
  /** vCPU id; 0 where the op has none. */
  readonly vcpu: number
  /** Name id of who acts; 0 if the op names nobody. */
  readonly actor: number
  readonly byHost: boolean
  /** The record: arguments begin at `at + OP_ARGS`. */
  readonly words: Int32Array
  readonly at: number
  /** Of `msr.write` to a SynIC or timer register of a vCPU that exists; else -1. */
  readonly msr: number
  /** Where in the slab the register's file (of timers: the row) begins; -1 without such a register. */
  readonly file: number
  /** The register's value before the write, and what is written. */
  readonly oldLo: number
  readonly oldHi: number
  readonly newLo: number
  readonly newHi: number
}

/** A rule's finding; seq, vCPU and actor are those of the op at hand unless said otherwise. */
export interface Finding {
  readonly severity: Severity
  /** One sentence that a kernel developer understands, without the seq it collides with. */
  readonly text: string
  readonly vcpu?: number
  /** The register it is about. */
  readonly msr?: number
  readonly actor?: number
  /** The actor on the other side, and the op it collides with. */
  readonly other?: number
  readonly otherSeq?: number
}

/** One rule at work on one partition. */
export interface Watcher {
  /** Sees the op before it is applied. */
  before?(): void
  /** Sees the op and its effects (`desk.m.effects`). */
  after?(): void
  /** No strand can take a step and no host work is queued: liveness is judged here, and only here. */
  settled?(): void
  /** The machine is in the same state made of other objects: it was restored where it stood. */
  restored?(): void
}

/** Registers by use, so that rules are only asked about those they care for. */
export type RegisterClass = 'SCONTROL' | 'SIEFP' | 'SIMP' | 'SIRBP' | 'EOM' | 'SINT' | 'STIMER' | 'other'

/**
 * What a rule is asked about: ops by code, writes by register, whatever raised an interrupt, filled a slot,
 * set a flag, ... by kind of effect. The conditions keep it from being asked where it would have nothing to
 * say.
 */
export interface Interest {
  /** Ops by code; `msr.write` by register instead. */
  readonly ops?: readonly number[]
  readonly registers?: readonly RegisterClass[]
  readonly effects?: readonly number[]
  /** Registers and effects: only of ops that name an actor. */
  readonly needsActor?: boolean
  /** Registers: only writes that change the register. */
  readonly onChange?: boolean
  /** Registers: only writes by an actor to what is somebody else's. */
  readonly onForeign?: boolean
  /** Registers: only while SCONTROL is clear after the write. */
  readonly whileOff?: boolean
  /**
   * Only where the answer is not plain success: a fault, errno, status, or a message that is not delivered.
   */
  readonly onRefusal?: boolean
  /** Not where the op had an effect of this kind. */
  readonly unless?: number
  /** Only while the watcher said that it has something to follow up; it may be asked though it sleeps. */
  readonly whileAwake?: boolean
  /** It guards the machine itself: asked only where cost does not matter. */
  readonly deep?: boolean
}

export interface Rule extends Interest {
  /** `I1` to `I24`, or the rule's own name where it belongs to none of them. */
  readonly invariant: string
  /** snake_case. */
  readonly rule: string
  /** What must hold, in one sentence. */
  readonly holds: string
  readonly ops: readonly number[]
  readonly registers: readonly RegisterClass[]
  /** What it is asked about besides, on other conditions. */
  readonly more?: readonly Interest[]
  watch(desk: Desk): Watcher
}

/** A violation as it is kept and told. */
export interface Violation {
  readonly invariant: string
  readonly rule: string
  readonly severity: Severity
  readonly seq: number
  /** -1: of the partition as a whole. */
  readonly vcpu: number
  /** -1: of no register. */
  readonly msr: number
  /** Names; '' where nobody was named. */
  readonly actor: string
  readonly other: string
  /** The earlier op it collides with; 0: none. */
  readonly otherSeq: number
  readonly text: string
}
