// A second opinion on kernel events that begin in the middle: what rules say if every register that no line
// has told of yet was in use by its owner. What only this auditor finds is possible, and not proven.
import { Auditor } from '../audit/auditor.js'
import { LEDGER_SCONTROL } from '../audit/ledger.js'
import { isOnAt, isOnValue, msrAt, PLACE_COUNT, vcpuOf } from '../audit/places.js'
import { isNestedMsr, placeOf } from '../audit/registers.js'
import type { Rule } from '../audit/rule.js'
import { NESTED_FILE } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import * as o from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import type { EventOrigin } from './target.js'

/** The register that an op reads or writes; `place` -1: none that has an owner. */
interface Access {
  readonly code: number
  readonly vcpu: number
  readonly msr: number
  readonly f: number
  readonly place: number
}

export function accessIn(m: Machine, words: Int32Array, at: number): Access {
  const code = words[at] & o.OP_CODE
  const vcpu = words[at + o.OP_VCPU]
  const row = code === o.OP_MSR_READ || code === o.OP_MSR_WRITE ? m.rowOf(vcpu) : -1
  if (row < 0) return { code, vcpu, msr: -1, f: -1, place: -1 }
  const msr = words[at + o.OP_ARGS]
  const f = m.nested && isNestedMsr(msr) ? row + NESTED_FILE : row
  return { code, vcpu, msr, f, place: placeOf(msr) }
}

export class Presumption {
  readonly auditor: Auditor
  /** By register file, the op since which the recording tells of it. */
  readonly #since = new Map<number, number>()
  /** Registers that no line has told of yet. */
  readonly #untold = new Set<number>()
  #vcpus = 0

  /** @param proven the auditor that takes nothing for granted */
  constructor(
    private readonly p: Partition,
    private readonly proven: Auditor,
    rules: readonly Rule[],
  ) {
    this.auditor = new Auditor(p, { rules })
  }

  /** Follows the op just applied. @param event the line it comes from; none: it sets the machine up */
  follow(words: Int32Array, at: number, isGuest: boolean, event: EventOrigin | undefined): void {
    if (this.p.machine.vcpuCount !== this.#vcpus) this.#arrive()
    const access = accessIn(this.p.machine, words, at)
    if (event === undefined || access.place < 0 || !this.p.machine.effects.ok) return
    const byHost = (words[at] & o.OP_BY_HOST) !== 0
    if (access.code === o.OP_MSR_READ) return byHost ? undefined : this.#told(access)
    this.#untold.delete(access.f * PLACE_COUNT + access.place)
    // In a guest's own events what the host writes is what a line told of the time before.
    if (byHost && isGuest) return this.#found(access)
    const lo = words[at + o.OP_ARGS + 1]
    const isOff = access.place === LEDGER_SCONTROL && !isOnValue(access.place, lo)
    if (byHost || !isOff || event.isKnown(access.vcpu, access.msr)) return
    this.auditor.ledger.note(access.f, access.place, words[at + o.OP_ACTOR], this.p.seq, true, false)
  }

  /** Is this the op before which the recording tells nothing of the vCPU? */
  isStart(vcpu: number, seq: number): boolean {
    return seq > 0 && this.#since.get(this.p.machine.rowOf(vcpu)) === seq
  }

  /** vCPUs are made when the first line of theirs comes: what they hold is from before. */
  #arrive(): void {
    const { machine: m, seq } = this.p
    this.#vcpus = m.vcpuCount
    for (const f of m.filesById()) {
      if (this.#since.has(f)) continue
      this.#since.set(f, seq)
      for (let place = LEDGER_SCONTROL + 1; place < PLACE_COUNT; place++) {
        this.#untold.add(f * PLACE_COUNT + place)
        const owner = this.#ownerOf(f, place)
        if (owner > 0) this.auditor.ledger.presume(f, place, owner, seq)
      }
    }
  }

  /** A line tells what the register holds: presumed it is no longer. */
  #told({ f, place }: Access): void {
    if (this.#untold.delete(f * PLACE_COUNT + place)) this.auditor.ledger.presume(f, place, 0, 0)
  }

  /** It was on already when the recording began, and none but its owner is known to do that. */
  #found({ f, place }: Access): void {
    const owner = this.#ownerOf(f, place)
    const since = this.#since.get(f)
    if (owner <= 0 || since === undefined || !isOnAt(this.p.machine, f, place)) return
    for (const { ledger } of [this.proven, this.auditor]) ledger.presume(f, place, owner, since)
  }

  #ownerOf(f: number, place: number): number {
    const { machine: m } = this.p
    return this.proven.claims.owner(vcpuOf(m, f), msrAt(m, f, place))
  }
}
