/** One hosted partition: takes batches of wire ops, keeps its log, clock and labels, feeds the meter. */

import { resultText } from '../api/result.js'
import { putResult } from '../api/result-record.js'
import type { AuditMode } from '../api/violation.js'
import type { Violation } from '../audit/rule.js'
import { fromBigInt, highHalf, lowHalf } from '../hv/bits.js'
import { EXPIRIES_PER_ADVANCE_MAX, MEMORY_OP_BYTES_MAX } from '../hv/limits.js'
import { isTooFar } from '../synic/clock.js'
import { EFFECT_WAKE, type Effects, HAS_HALTED, HAS_VECTOR } from '../synic/effects.js'
import * as o from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import type { WordBuffer } from '../synic/word-buffer.js'
import { AuditLog, tellViolations } from './audit-log.js'
import { BatchIntake, type Records } from './batch-intake.js'
import { Journal } from './journal.js'
import { LatencyTracker } from './latency.js'
import type { ServiceLimits } from './limits.js'
import type { Meter } from './meter.js'
import { NotificationLog } from './notifications.js'
import { Sleepers } from './sleepers.js'

export type ClockMode = 'virtual' | 'realtime'
export type Labels = Readonly<Record<string, string>>

/** What a host needs from the service around it. */
export interface HostEnvironment {
  readonly limits: ServiceLimits
  readonly meter: Meter
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Buffers that every host uses in turn: nothing in them outlives a call. */
  readonly scratch: { readonly batch: o.OpWriter; readonly clock: o.OpWriter; readonly effects: Effects }
  /** vCPUs that may still be created in this process. */
  readonly vcpusLeft: () => number
  readonly vcpusCreated: (count: number) => void
}

export interface BatchOptions {
  /** Who acts where an op does not say. */
  readonly actor?: string | undefined
  /** Do not apply what follows an op that faults or fails. */
  readonly stopOnFault?: boolean | undefined
  /** Prefix of the paths in errors, such as `ops/`; null: the ops are one op and fields stand alone. */
  readonly path?: string | null
}

/** What became of a batch; `seq` is that of the first op. */
export interface BatchOutcome {
  readonly seq: number
  /** Ops applied: fewer than were sent if the batch stopped. */
  readonly applied: number
  /** vCPUs that the batch blocked, and that are still blocked behind it. */
  readonly halted: readonly number[]
}

/** A batch whose results are JSON texts. */
export interface BatchResult extends BatchOutcome {
  readonly results: readonly string[]
}

/** A batch that came as records in a frame of a client. */
export interface RecordBatch {
  readonly words: Int32Array
  readonly from: number
  /** Where the frame ends. */
  readonly end: number
  readonly count: number
  /** Text of a name that the client told. */
  readonly nameOf: (number: number) => string | undefined
}

const TICKS_PER_MS = 10_000
/** Slices one catch-up of a realtime clock may take when its timers fire too often for one op. */
const CATCH_UP_SLICES = 4

export class PartitionHost {
  readonly journal: Journal
  readonly notifications: NotificationLog
  readonly createdAt = new Date()
  labels: Labels = {}
  /** Counts replacements of the routing table, for ETags. */
  routesRevision = 0
  /** Told when the partition is deleted. */
  readonly onDelete = new Set<() => void>()
  /** Told after each batch, so that timers of realtime partitions can be set anew. */
  onSettled: (() => void) | null = null
  readonly sleepers: Sleepers
  readonly audit: AuditLog
  readonly #intake: BatchIntake
  readonly #meter: Meter
  readonly #latency: LatencyTracker
  /** Reference time 0 in monotonic milliseconds, for `realtime`. */
  #epochMs: number

  /**
   * @param serial tells this partition from every other of this process, also from later ones of the same id
   */
  constructor(
    readonly id: string,
    readonly serial: number,
    readonly partition: Partition,
    readonly clock: ClockMode,
    private readonly env: HostEnvironment,
    auditMode: AuditMode = 'observe',
  ) {
    const { logOpsMax, logBytesMax } = env.limits
    this.journal = new Journal(partition.seq, logOpsMax, logBytesMax)
    this.notifications = new NotificationLog(env.limits.streamRing)
    this.sleepers = new Sleepers(partition)
    this.audit = new AuditLog(auditMode, partition, env.limits.violationsMax)
    this.#meter = env.meter
    this.#latency = new LatencyTracker(env.meter)
    const { machine } = partition
    for (const row of machine.rowsById()) this.#latency.expect(machine.vcpuId(row))
    const { limits, scratch, vcpusLeft } = env
    this.#intake = new BatchIntake(id, partition, clock === 'realtime', {
      limits,
      vcpusLeft,
      writer: scratch.batch,
    })
    this.#epochMs = env.now() - partition.now / TICKS_PER_MS
  }

  get vcpuCount(): number {
    return this.partition.machine.vcpuCount
  }

  /**
   * Checks every op, then applies all, in order, with nothing between them.
   * @throws EngineError naming the op and the field; nothing has been applied then
   */
  applyBatch(ops: readonly unknown[], options: BatchOptions = {}): BatchResult {
    const { actor, path = 'ops/', stopOnFault = false } = options
    return this.#applyTexts(this.#intake.encode(ops, actor, path), stopOnFault)
  }

  /**
   * The same for records, which are checked and completed in place; results are appended to `out`.
   * @throws EngineError as above
   */
  applyRecords(batch: RecordBatch, options: BatchOptions, out: WordBuffer): BatchOutcome {
    const { words, from, end, count, nameOf } = batch
    const records = this.#intake.accept(words, from, end, count, options.actor, nameOf)
    const { effects } = this.partition
    const wordsMax = out.length + this.env.limits.replyBytesMax / 4
    return this.#applyAll(records, options.stopOnFault === true, () => {
      // The log has made it already, unless it keeps nothing.
      if (!this.journal.putLastResult(out)) putResult(out, effects)
      return out.length > wordsMax
    })
  }

  /**
   * `mem.write` ops for a run of bytes of any length, with nothing between them. The caller has looked that
   * there is memory, so that all of them succeed.
   */
  writeMemory(gpa: bigint, bytes: Uint8Array, actor?: string): BatchResult {
    const writer = this.env.scratch.batch
    writer.clear()
    const actorId = this.#intake.actorId(actor)
    for (let done = 0; done < bytes.length; done += MEMORY_OP_BYTES_MAX) {
      const { lo, hi } = fromBigInt(gpa + BigInt(done))
      writer.begin(o.OP_MEM_WRITE, 0, false, actorId).put(lo).put(hi)
      writer.putBytes(bytes.subarray(done, done + MEMORY_OP_BYTES_MAX)).end()
    }
    return this.#applyTexts({ words: writer.words, from: 0, end: writer.length }, false)
  }

  /** One op, as a route of its own posts it; its result as JSON text. */
  applyOne(op: unknown, actor?: string): string {
    return this.applyBatch([op], { actor, path: null }).results[0]
  }

  /**
   * Brings a realtime partition's reference time up to now, by ordinary ops of the log.
   * @param slicesMax ops that may take; when its timers fire too often for them it stays behind
   * @param expiriesMax interrupts that one of them may raise
   */
  catchUp(slicesMax = CATCH_UP_SLICES, expiriesMax = EXPIRIES_PER_ADVANCE_MAX): void {
    if (this.clock !== 'realtime' || this.partition.machine.paused) return
    const { clock } = this.env.scratch
    for (let slice = 0; slice < slicesMax; slice++) {
      let ticks = this.#ticksBehind()
      if (ticks <= 0) break
      // Too many expiries for one op: smaller steps, a bounded number of them.
      while (ticks > 1 && isTooFar(this.partition.machine, ticks, expiriesMax)) ticks = Math.ceil(ticks / 2)
      clock.clear()
      clock.begin(o.OP_CLOCK_ADVANCE, 0, true).put(lowHalf(ticks)).put(highHalf(ticks)).end()
      const nowMs = this.env.now()
      if (this.#meter.isOn) this.#latency.at(nowMs)
      this.#applyRecord(clock.words, 0, nowMs)
    }
    this.notifications.flush()
    this.sleepers.settle()
  }

  /** Milliseconds until the next timer of a realtime partition is due; Infinity if none runs. */
  msUntilDue(): number {
    const due = this.partition.machine.due.first
    return due === Number.POSITIVE_INFINITY
      ? due
      : Math.max(0, this.#epochMs + due / TICKS_PER_MS - this.env.now())
  }

  #ticksBehind(): number {
    return Math.floor((this.env.now() - this.#epochMs) * TICKS_PER_MS) - this.partition.now
  }

  /** A paused realtime partition's time stands still: it goes on from here. */
  resumeClock(): void {
    this.#epochMs = this.env.now() - this.partition.now / TICKS_PER_MS
  }

  #applyTexts(records: Records, stopOnFault: boolean): BatchResult {
    const results: string[] = []
    const { effects } = this.partition
    let bytesLeft = this.env.limits.replyBytesMax
    const outcome = this.#applyAll(records, stopOnFault, () => {
      const text = resultText(effects)
      results.push(text)
      bytesLeft -= text.length
      return bytesLeft < 0
    })
    // Written out: a spread costs as much as a small batch.
    return { seq: outcome.seq, applied: outcome.applied, halted: outcome.halted, results }
  }

  /**
   * @param take keeps the result of the op just applied; true: no more, for the rest of a batch that says too
   *   much is left undone
   */
  #applyAll({ words, from, end }: Records, stopOnFault: boolean, take: () => boolean): BatchOutcome {
    this.catchUp()
    const { partition } = this
    const seq = partition.seq + 1
    const before = this.vcpuCount
    // One timestamp a batch: what happens inside it happens at once.
    const nowMs = this.env.now()
    if (this.#meter.isOn) this.#latency.at(nowMs)
    let at = from
    let isLast = false
    while (at < end && !isLast) {
      this.#applyRecord(words, at, nowMs)
      isLast = take() || (stopOnFault && !partition.effects.ok)
      at += words[at + o.OP_LENGTH]
    }
    if (this.vcpuCount !== before) this.env.vcpusCreated(this.vcpuCount - before)
    this.notifications.flush()
    this.sleepers.settle()
    this.onSettled?.()
    return {
      seq,
      applied: partition.seq + 1 - seq,
      halted: this.sleepers.takeBlocked(),
    }
  }

  #tell(effects: Effects, found: readonly Violation[]): void {
    tellViolations(effects, found)
    for (const { invariant } of found) this.#meter.countViolation(invariant)
  }

  #applyRecord(words: Int32Array, at: number, nowMs: number): void {
    const { partition } = this
    const { effects } = partition
    const code = words[at] & o.OP_CODE
    this.audit.before(words, at)
    partition.apply(words, at)
    const found = this.audit.after()
    if (found.length > 0) this.#tell(effects, found)
    this.journal.append(partition.seq, words, at, words[at + o.OP_LENGTH], effects)
    if ((effects.kinds & (1 << EFFECT_WAKE)) !== 0) this.sleepers.follow(effects)
    const latency = this.#meter.isOn ? this.#latency : null
    const vcpu = words[at + o.OP_VCPU]
    this.notifications.follow(partition.machine, code, vcpu, partition.seq, nowMs, found, latency)
    if (latency !== null) {
      this.#meter.countOp(code, effects)
      if ((effects.has & HAS_VECTOR) !== 0) latency.taken(vcpu, effects.vector)
    }
    if (IS_SEEN_TO[code] === 1) this.#seeTo(code, words, at)
  }

  /** What rarely happens and is more than its effects. */
  #seeTo(code: number, words: Int32Array, at: number): void {
    const vcpu = words[at + o.OP_VCPU]
    if (code === o.OP_GSI_ROUTE && this.partition.effects.ok) this.routesRevision++
    if (code === o.OP_PARTITION_RESUME) this.resumeClock()
    if (code === o.OP_VCPU_HALT && hasBlocked(this.partition.effects)) this.sleepers.blocks(vcpu)
    if (endsWaits(code) && this.partition.effects.ok) {
      this.sleepers.letGo(code === o.OP_KERNEL_BOOT ? -1 : vcpu)
    }
    if (code === o.OP_VCPU_CREATE && this.partition.effects.ok) this.#latency.expect(vcpu)
    if (isReset(code, words, at)) this.#latency.forget(code === o.OP_VCPU_RESET ? vcpu : -1)
  }
}

const SEEN_TO: readonly number[] = [
  o.OP_GSI_ROUTE,
  o.OP_PARTITION_RESUME,
  o.OP_VCPU_CREATE,
  o.OP_VCPU_RESET,
  o.OP_VCPU_OFFLINE,
  o.OP_VCPU_ONLINE,
  o.OP_VCPU_HALT,
  o.OP_PARTITION_RESET,
  o.OP_KERNEL_BOOT,
]
/** The same as a table by op. */
const IS_SEEN_TO = Uint8Array.from(o.OP_NAMES, (_, code) => (SEEN_TO.includes(code) ? 1 : 0))

function hasBlocked({ has, halted }: Effects): boolean {
  return (has & HAS_HALTED) !== 0 && halted
}

/** Who ran a blocked vCPU is no more, though it may sleep on. A reset wakes it besides. */
function endsWaits(code: number): boolean {
  return code === o.OP_VCPU_OFFLINE || code === o.OP_VCPU_ONLINE || code === o.OP_KERNEL_BOOT
}

/** Of a vCPU or of the machine, be it by a kernel that starts on a fresh one. */
function isReset(code: number, words: Int32Array, at: number): boolean {
  if (code === o.OP_KERNEL_BOOT) return words[at + o.OP_ARGS + 1] === o.BOOT_RESET
  return code === o.OP_VCPU_RESET || code === o.OP_PARTITION_RESET
}
