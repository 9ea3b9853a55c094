/** The whole state of one partition, and how to find things in it. Rules live in the modules around it. */
import type { PartitionKind } from '../hv/cpuid.js'
import { VCPUS_MAX } from '../hv/limits.js'
import { DueQueue } from './due-queue.js'
import { Effects, sintWord } from './effects.js'
import type { EventRing } from './event-ring.js'
import { GuestMemory } from './guest-memory.js'
import {
  ACTIVE,
  FILE_FLAGS,
  FILE_WORDS,
  FLAGS,
  IN_TIMER_ROWS,
  NESTED_FILE,
  ROW_WORDS,
  VCPU_ID,
  VP_INDEX,
} from './layout.js'
import type { QueuedMessage } from './message-queue.js'
import type { Connection, Port } from './ports.js'
import { DISABLED_WRITES, type Options, PROFILES, type Profile, type ProfileName } from './profile.js'
import { type QemuRoute, QemuRoutes } from './qemu-routes.js'
import type { SplitDelivery } from './split-delivery.js'

/** What a partition is made with; it never changes. */
export interface PartitionConfig {
  readonly kind: PartitionKind
  readonly profile: ProfileName
  /** Pages of guest physical address space: memory is [0, gpaPages * 4096). */
  readonly gpaPages: number
  /** Guest pages that may be touched. */
  readonly memoryPagesMax: number
  readonly options: Options
}

/** A driver that runs in the guest, and the registers it says are its own (vCPU -1 = on all). */
export interface Actor {
  readonly claims: readonly { readonly vcpu: number; readonly msr: number }[]
}

/** Partition-wide registers, each lo, hi. */
export const GUEST_OS_ID = 0
export const HYPERCALL = 2
export const REFERENCE_TSC = 4
export const CRASH_P0 = 6
export const CRASH_CTL = 16
export const SHARED_WORDS = 18

/** Shared by every machine that has nothing yet. */
const NO_WORDS = new Int32Array(0)
const NO_BYTES = new Uint8Array(0)

export class Machine {
  readonly profile: Profile
  readonly options: Options
  /** Words per row: a nested root's rows carry a second register file. */
  readonly stride: number
  readonly nested: boolean
  /** A kernel's interrupt chip, whole or split (KVM irqchip_in_kernel). Only KVM can be without. */
  readonly hasIrqchip: boolean
  readonly auditsDisabledWrites: boolean
  /** Set for one op at a time by a replay whose recording tells how the write ended. */
  faultsDisabledWrites: boolean

  /** One row a vCPU, see layout.ts. */
  w: Int32Array
  vcpuCount = 0
  #rows: readonly number[] = []
  #files: readonly number[] = []
  shared = new Int32Array(SHARED_WORDS)
  /** Registers that only hold what was written, by row * 0x1000 + low twelve bits of the MSR. */
  plain = new Map<number, readonly [number, number]>()
  /** Reference time, 100 ns ticks since partition start. */
  now = 0
  /** Where a `clock.advance` in progress will end; no guest acts before. */
  horizon = 0
  paused = false
  memory: GuestMemory = new GuestMemory()
  due = new DueQueue()
  /** vCPUs with a non-empty auto-EOI bitmap; while any, APICv is inhibited. */
  autoEoiUsers = 0

  /** Rows with a timer to process on the next guest entry. */
  timerRows: number[] = []
  /** OpenVMM: rows whose queues or due timers are looked at before the vCPU runs. */
  scanRows: number[] = []
  /** SynIC pages by guest page number; the newest mapping last. Values are file offset * 2 + page. */
  synicPages = new Map<number, number[]>()
  /** Messages behind slots, by file offset * 16 + SINT. */
  queues = new Map<number, QueuedMessage[]>()
  qemuRoutes = new QemuRoutes()
  /** QEMU: routes whose completion is scheduled, first in first out. */
  bottomHalves: QemuRoute[] = []
  /** GSI to VP index and SINT, two words each, where `routed` says that there is an entry. */
  routes: Int32Array = NO_WORDS
  routed: Uint8Array = NO_BYTES
  /** GSI to 1 = irqfd bound, 3 = bound with a resampler. */
  irqfds = new Map<number, number>()
  eventfds = new Set<number>()
  ports = new Map<number, Port>()
  connections = new Map<number, Connection>()
  /** Connections with a doorbell: only then are stores compared. */
  doorbells = 0
  rings = new Map<number, EventRing>()
  splits: SplitDelivery[] = []
  pageHolders = new Map<number, string>()
  actors = new Map<string, Actor>()
  kernel = ''

  /** @param effects where ops say what they did; machines that are used in turn may share one */
  constructor(
    readonly config: PartitionConfig,
    readonly effects = new Effects(),
  ) {
    this.profile = PROFILES[config.profile]
    this.options = config.options
    this.nested = this.profile.microsoftRegisters && config.kind === 'nested_root'
    this.stride = this.nested ? ROW_WORDS + FILE_WORDS : ROW_WORDS
    this.hasIrqchip = !this.profile.kvm || this.options.irqchip !== 'none'
    const disabledWrite = DISABLED_WRITES.indexOf(config.options.disabled_write)
    this.auditsDisabledWrites = disabledWrite > 0
    this.faultsDisabledWrites = disabledWrite === 2 && config.kind !== 'guest'
    this.w = NO_WORDS
  }

  /** Takes over the state of another machine of the same config, which nobody may use any more. */
  become(other: Machine): void {
    const { effects } = this
    Object.assign(this, other, { effects })
  }

  /** Word where the row of a vCPU begins, or -1. Ids are usually the order of creation. */
  rowOf(vcpu: number): number {
    const guess = vcpu * this.stride
    if (vcpu >= 0 && vcpu < this.vcpuCount && this.w[guess + VCPU_ID] === vcpu) return guess
    for (let v = 0; v < this.vcpuCount * this.stride; v += this.stride) {
      if (this.w[v + VCPU_ID] === vcpu) return v
    }
    return -1
  }

  /** KVM get_vcpu_by_vpidx: the vCPU whose index equals the VP index, else the first that matches. */
  rowOfVp(vp: number): number {
    if (vp < 0 || vp >= VCPUS_MAX) return -1
    const guess = vp * this.stride
    if (vp < this.vcpuCount && this.w[guess + VP_INDEX] === vp) return guess
    for (let v = 0; v < this.vcpuCount * this.stride; v += this.stride) {
      if (this.w[v + VP_INDEX] === vp) return v
    }
    return -1
  }

  /** Where each row begins, in order of vCPU id. */
  rowsById(): readonly number[] {
    this.#order()
    return this.#rows
  }

  /** Where each register file begins, in the same order. */
  filesById(): readonly number[] {
    this.#order()
    return this.#files
  }

  /** Rows stay, and so does their order while none is added. */
  #order(): void {
    if (this.#rows.length === this.vcpuCount) return
    const rows = Array.from({ length: this.vcpuCount }, (_, i) => i * this.stride)
    this.#rows = rows.sort((a, b) => this.w[a + VCPU_ID] - this.w[b + VCPU_ID])
    this.#files = this.#rows.flatMap((v) => this.filesOf(v))
  }

  /** Row that a register file belongs to. */
  rowOfFile(f: number): number {
    return f - (f % this.stride)
  }

  isNestedFile(f: number): boolean {
    return f % this.stride === NESTED_FILE
  }

  /** The register files of a row: one, or two on a nested root. */
  filesOf(v: number): readonly number[] {
    return this.nested ? [v, v + NESTED_FILE] : [v]
  }

  isActive(f: number): boolean {
    return (this.w[f + FILE_FLAGS] & ACTIVE) !== 0
  }

  vcpuId(v: number): number {
    return this.w[v + VCPU_ID]
  }

  /** Second word of effects that speak of a SINT. */
  sintWord(f: number, sint: number, source: number): number {
    return sintWord(source, sint, this.nested && this.isNestedFile(f))
  }

  queueKey(f: number, sint: number): number {
    return f * 16 + sint
  }

  /** Where `plain` holds a register of this row. */
  plainKey(v: number, msr: number): number {
    return (v / this.stride) * 0x1000 + (msr & 0xfff)
  }

  listForTimers(v: number): void {
    if ((this.w[v + FLAGS] & IN_TIMER_ROWS) === 0) {
      this.w[v + FLAGS] |= IN_TIMER_ROWS
      this.timerRows.push(v)
    }
  }

  /** Room for one more row. */
  growRows(): void {
    const needed = (this.vcpuCount + 1) * this.stride
    if (needed <= this.w.length) return
    const rows = Math.min(VCPUS_MAX, this.vcpuCount === 0 ? 1 : this.vcpuCount * 2)
    const w = new Int32Array(rows * this.stride)
    w.set(this.w)
    this.w = w
  }

  /** Exact room for `count` rows, where the number is known beforehand. */
  reserveRows(count: number): void {
    if (count * this.stride <= this.w.length) return
    const w = new Int32Array(Math.min(count, VCPUS_MAX) * this.stride)
    w.set(this.w)
    this.w = w
  }
}
