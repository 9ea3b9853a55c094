/**
 * Who owns which register of which vCPU: what drivers say when they attach, and for drivers that say nothing
 * the table of their partition kind. The table counts for a driver that is there: from the first op it makes
 * until it detaches or its kernel ends, so that the order of ops alone decides. The key of a claim is a vCPU
 * and an MSR, and the nested registers have numbers of their own: a claim on one SynIC says nothing about the
 * other.
 */
import type { PartitionKind } from '../hv/cpuid.js'
import * as msrs from '../hv/msrs.js'
import { SINT_DOORBELL, SINT_INTERCEPT, SINT_VMBUS } from '../hv/registers.js'
import type { Machine } from '../synic/machine.js'
import type { NameTable } from '../synic/names.js'

const NESTED = msrs.NESTED_MSR_OFFSET
const { HV_X64_MSR_SCONTROL, HV_X64_MSR_SIEFP, HV_X64_MSR_SIMP, HV_X64_MSR_SINT0, HV_X64_MSR_SIRBP } = msrs
const PAGES = [HV_X64_MSR_SCONTROL, HV_X64_MSR_SIMP, HV_X64_MSR_SIEFP]
const INTERCEPTS = HV_X64_MSR_SINT0 + SINT_INTERCEPT
const DOORBELLS = HV_X64_MSR_SINT0 + SINT_DOORBELL
const CHANNELS = HV_X64_MSR_SINT0 + SINT_VMBUS
const PARENTS = [INTERCEPTS, DOORBELLS, HV_X64_MSR_SIRBP]

const NO_WORDS = new Int32Array(0)
/** Names that most partitions make do with: `nobody`, and a few drivers. */
const FIRST_NAMES = 16

/** MSRs of the SynIC and its nested twin differ within their low sixteen bits. */
const MSR_SPAN = 0x1_0000

/** Roles of the two Linux drivers that share a SynIC, by the names they usually go by. */
const CONVENTION: Readonly<Record<PartitionKind, Readonly<Record<string, readonly number[]>>>> = {
  guest: { vmbus: [...PAGES, CHANNELS] },
  root: { mshv: [...PAGES, ...PARENTS] },
  nested_root: { vmbus: [...PAGES, CHANNELS].map((msr) => msr + NESTED), mshv: PARENTS },
  l1vh: { vmbus: [...PAGES, CHANNELS], mshv: PARENTS },
}

/** Names that have a role in some kind of partition. */
export const ROLE_NAMES: readonly string[] = [
  ...new Set(Object.values(CONVENTION).flatMap((roles) => Object.keys(roles))),
]

export class Claims {
  readonly #byMsr = new Map<number, string>()
  /** Owners worked out, by vCPU and register. */
  readonly #owners = new Map<number, number>()
  /** Owners plus 1 by file and place in the ledger, 0 = not known; files lie further apart than places. */
  #known: Int32Array = NO_WORDS
  /** By name id, 1: it is there. Nobody (0) always is, and has no role. */
  #here = new Uint8Array(FIRST_NAMES)

  /** @param onChange told whenever owners may be others */
  constructor(
    private readonly m: Machine,
    private readonly names: NameTable,
    private readonly onChange: () => void,
  ) {
    for (const [actor, owned] of Object.entries(CONVENTION[m.config.kind])) {
      for (const msr of owned) this.#byMsr.set(msr, actor)
    }
    this.#here[0] = 1
    // In a partition that was restored those who are attached have no numbers until they make an op.
    for (const name of m.actors.keys()) names.intern(name)
  }

  /** The actor makes an op: with its first one it is there. */
  meet(actor: number): void {
    if (this.#here[actor] !== 1) this.#came(actor)
  }

  /** The actor has detached. */
  left(actor: number): void {
    this.#here[actor] = 0
    this.changed()
  }

  /** The kernel has ended, or the machine was reset: whoever was there is not. */
  allLeft(): void {
    this.#here.fill(0, 1)
    this.changed()
  }

  #came(actor: number): void {
    if (actor >= this.#here.length) {
      const here = new Uint8Array(2 * actor)
      here.set(this.#here)
      this.#here = here
    }
    this.#here[actor] = 1
    this.changed()
  }

  /** Claims are others: what was worked out so far may be otherwise now. */
  changed(): void {
    this.#owners.clear()
    this.#known.fill(0)
    this.onChange()
  }

  /**
   * Name id of who owns the register on this vCPU: the first to claim it of those that are attached, else by
   * the table the one whose role it is, if that one is there; 0: nobody.
   */
  owner(vcpu: number, msr: number): number {
    const key = vcpu * MSR_SPAN + (msr % MSR_SPAN)
    let owner = this.#owners.get(key)
    if (owner === undefined) {
      owner = this.#find(vcpu, msr)
      this.#owners.set(key, owner)
    }
    return owner
  }

  /** The owner, if that is somebody else than `actor`; else 0. */
  foreignOwner(vcpu: number, msr: number, actor: number): number {
    const owner = this.owner(vcpu, msr)
    return owner === actor ? 0 : owner
  }

  /**
   * The same for the register at `place` of file `f`, which costs nothing once it is known.
   * @param actor who writes; 0 if the register is its own or nobody's
   */
  foreignOwnerAt(f: number, place: number, vcpu: number, msr: number, actor: number): number {
    const at = f + place
    if (at >= this.#known.length) this.#known = new Int32Array(this.m.w.length)
    let known = this.#known[at]
    if (known === 0) {
      known = this.owner(vcpu, msr) + 1
      this.#known[at] = known
    }
    return known === actor + 1 ? 0 : known - 1
  }

  #find(vcpu: number, msr: number): number {
    for (const [actor, { claims }] of this.m.actors) {
      const isClaimed = claims.some((claim) => claim.msr === msr && (claim.vcpu < 0 || claim.vcpu === vcpu))
      if (isClaimed) return this.names.find(actor)
    }
    const actor = this.#byMsr.get(msr)
    // Who attached and did not claim it has said that it is not its own.
    if (actor === undefined || this.m.actors.has(actor)) return 0
    // A name alone is nothing: it may come from an op that is still to be applied, or never will be.
    const id = this.names.find(actor)
    return id > 0 && this.#here[id] === 1 ? id : 0
  }
}
