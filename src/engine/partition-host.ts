/** One hosted partition: takes batches of wire ops, keeps its log, clock and labels, feeds the meter. */
import { encodeOp } from '../api/op-encode.js'
import { OpInputError } from '../api/op-fields.js'
import { resultText } from '../api/result.js'
import { fromBigInt, highHalf, lowHalf } from '../hv/bits.js'
import { MEMORY_OP_BYTES_MAX } from '../hv/limits.js'
import { isTooFar } from '../synic/clock.js'
import { type Effects, HAS_DELIVERY, QUEUED } from '../synic/effects.js'
import * as o from '../synic/op.js'
import { namesVcpu, type Partition } from '../synic/partition.js'
import { EngineError } from './errors.js'
import { Journal } from './journal.js'
import { LatencyTracker } from './latency.js'
import type { ServiceLimits } from './limits.js'
import type { Meter } from './meter.js'
import { NotificationLog } from './notifications.js'

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

/** Results of a batch as JSON texts; `seq` is that of the first op. */
export interface BatchResult {
  readonly seq: number
  readonly results: readonly string[]
}

const NONE_CREATED: ReadonlySet<number> = new Set()
const TICKS_PER_MS = 10_000
/**
 * What a `synic.dump` is counted as; a mostly empty one is shorter, one of full pages three times as long.
 */
const DUMP_BYTES = 24 * 1024
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
  ) {
    const { logOpsMax, logBytesMax } = env.limits
    this.journal = new Journal(partition.seq, logOpsMax, logBytesMax)
    this.notifications = new NotificationLog(env.limits.streamRing)
    this.#latency = new LatencyTracker(env.meter)
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
    const { opsPerBatchMax } = this.env.limits
    if (ops.length > opsPerBatchMax) {
      const message = `at most ${opsPerBatchMax} ops, got ${ops.length}`
      throw new EngineError('too-many-ops', `A batch holds ${message}.`, [{ path: 'ops', message }])
    }
    return this.#applyRecords(this.#encode(ops, options), options.stopOnFault === true)
  }

  /**
   * `mem.write` ops for a run of bytes of any length, with nothing between them. The caller has looked that
   * there is memory, so that all of them succeed.
   */
  writeMemory(gpa: bigint, bytes: Uint8Array, actor?: string): BatchResult {
    const writer = this.env.scratch.batch
    writer.clear()
    const actorId = this.#actorId(actor)
    const starts: number[] = []
    for (let done = 0; done < bytes.length; done += MEMORY_OP_BYTES_MAX) {
      starts.push(writer.length)
      const { lo, hi } = fromBigInt(gpa + BigInt(done))
      writer.begin(o.OP_MEM_WRITE, 0, false, actorId).put(lo).put(hi)
      writer.putBytes(bytes.subarray(done, done + MEMORY_OP_BYTES_MAX)).end()
    }
    return this.#applyRecords(starts, false)
  }

  #applyRecords(starts: readonly number[], stopOnFault: boolean): BatchResult {
    this.catchUp()
    const seq = this.partition.seq + 1
    const began = this.env.now()
    const results = this.#applyAll(starts, stopOnFault)
    this.notifications.flush(began)
    this.onSettled?.()
    return { seq, results }
  }

  /** One op, as a route of its own posts it; its result as JSON text. */
  applyOne(op: unknown, actor?: string): string {
    return this.applyBatch([op], { actor, path: null }).results[0]
  }

  /** Brings a realtime partition's reference time up to now, by an ordinary op of the log. */
  catchUp(): void {
    if (this.clock !== 'realtime' || this.partition.machine.paused) return
    const { clock } = this.env.scratch
    for (let slice = 0; slice < CATCH_UP_SLICES; slice++) {
      let ticks = this.#ticksBehind()
      if (ticks <= 0) break
      // Too many expiries for one op: smaller steps, a bounded number of them.
      while (isTooFar(this.partition.machine, ticks)) ticks = Math.ceil(ticks / 2)
      clock.clear()
      clock.begin(o.OP_CLOCK_ADVANCE, 0, true).put(lowHalf(ticks)).put(highHalf(ticks)).end()
      this.#applyRecord(clock.words, 0, this.env.now())
    }
    this.notifications.flush(this.env.now())
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

  #encode(ops: readonly unknown[], options: BatchOptions): number[] {
    const { names } = this.partition
    const known = names.size
    try {
      return this.#encodeAll(ops, options)
    } catch (error) {
      // A refused batch leaves no names behind either.
      names.truncate(known)
      throw error
    }
  }

  #encodeAll(ops: readonly unknown[], options: BatchOptions): number[] {
    const { names } = this.partition
    const writer = this.env.scratch.batch
    writer.clear()
    const prefix = options.path === undefined ? 'ops/' : options.path
    const actor = this.#actorId(options.actor)
    const starts = new Array<number>(ops.length)
    let created = NONE_CREATED
    let replyBytes = 0
    for (let i = 0; i < ops.length; i++) {
      starts[i] = writer.length
      try {
        encodeOp(ops[i], writer, names, actor)
      } catch (error) {
        if (!(error instanceof OpInputError)) throw error
        throw invalidOp(opPath(prefix, i, error.path), error.rule)
      }
      created = this.#checkVcpu(starts[i], created, prefix, i)
      replyBytes += this.#replyBytes(starts[i], prefix, i)
    }
    this.#checkReply(replyBytes)
    const left = this.env.vcpusLeft()
    if (created.size > left) {
      throw new EngineError(
        'limit-vcpus',
        `This server has room for ${left} more vCPUs, not ${created.size}.`,
      )
    }
    return starts
  }

  #actorId(actor: string | undefined): number {
    const { names } = this.partition
    const id = actor === undefined ? 0 : names.intern(actor)
    if (id < 0) throw new EngineError('invalid-op', `A partition knows at most ${names.max} names.`)
    return id
  }

  /**
   * Bytes the result of an op can come to, as far as that is much. Refuses to move a realtime clock by hand.
   */
  #replyBytes(at: number, prefix: string | null, i: number): number {
    const { words } = this.env.scratch.batch
    switch (words[at] & o.OP_CODE) {
      case o.OP_MEM_READ:
        return 2 * words[at + o.OP_ARGS + 2]
      case o.OP_SYNIC_DUMP:
        return DUMP_BYTES
      case o.OP_CLOCK_ADVANCE: {
        if (this.clock === 'virtual') return 0
        const path = opPath(prefix, i, 'op')
        throw new EngineError('realtime-clock', `The clock of partition ${this.id} follows the wall clock.`, [
          { path, message: 'must not be clock.advance' },
        ])
      }
      default:
        return 0
    }
  }

  #checkReply(bytes: number): void {
    const { replyBytesMax } = this.env.limits
    if (bytes <= replyBytesMax) return
    const message = `must ask for at most ${replyBytesMax} bytes of results, not ${bytes}`
    throw new EngineError('reply-too-large', `A batch ${message}.`, [{ path: 'ops', message }])
  }

  /** The vCPU an op names must exist, or be created earlier in the batch. Returns those created so far. */
  #checkVcpu(
    at: number,
    created: ReadonlySet<number>,
    prefix: string | null,
    i: number,
  ): ReadonlySet<number> {
    const { words } = this.env.scratch.batch
    const code = words[at] & o.OP_CODE
    const vcpu = words[at + o.OP_VCPU]
    if (code === o.OP_VCPU_CREATE) {
      // Few batches create vCPUs: the set is made when one does.
      const more = created === NONE_CREATED ? new Set<number>() : (created as Set<number>)
      return more.add(vcpu)
    }
    if (!namesVcpu(code) || this.partition.hasVcpu(vcpu) || created.has(vcpu)) return created
    const path = opPath(prefix, i, 'vcpu')
    throw new EngineError('vcpu-not-found', `Partition ${this.id} has no vCPU ${vcpu >>> 0}.`, [
      { path, message: `no vCPU ${vcpu >>> 0} in this partition` },
    ])
  }

  #applyAll(starts: readonly number[], stopOnFault: boolean): string[] {
    const { words } = this.env.scratch.batch
    const before = this.vcpuCount
    // One timestamp a batch: what happens inside it happens at once.
    const nowMs = this.env.now()
    const results: string[] = []
    const { replyBytesMax } = this.env.limits
    let bytes = 0
    for (let i = 0; i < starts.length; i++) {
      const text = this.#applyRecord(words, starts[i], nowMs)
      results.push(text)
      bytes += text.length
      // What an op will say is not known before; the rest of a batch that says too much is left undone.
      if ((stopOnFault && !this.partition.effects.ok) || bytes > replyBytesMax) break
    }
    if (this.vcpuCount !== before) this.env.vcpusCreated(this.vcpuCount - before)
    return results
  }

  #applyRecord(words: Int32Array, at: number, nowMs: number): string {
    const { partition } = this
    const { effects } = partition
    const code = words[at] & o.OP_CODE
    partition.apply(words, at)
    const text = resultText(effects)
    this.journal.append(partition.seq, words, at, words[at + o.OP_LENGTH], text)
    this.env.meter.countOp(code, effects)
    if (code === o.OP_APIC_ACK || effects.length > 0) {
      this.#latency.follow(code, words[at + o.OP_VCPU], effects, nowMs)
    }
    if (code === o.OP_MESSAGE_POST && (effects.has & HAS_DELIVERY) !== 0 && effects.delivery === QUEUED) {
      this.#latency.noteQueued(words[at + o.OP_VCPU], words[at + o.OP_ARGS], nowMs)
    }
    this.notifications.follow(partition.machine, code, words[at + o.OP_VCPU], partition.seq)
    if (code === o.OP_GSI_ROUTE && effects.ok) this.routesRevision++
    if (code === o.OP_PARTITION_RESUME) this.resumeClock()
    return text
  }
}

/** Where a field of op `i` stands in what the client sent. */
function opPath(prefix: string | null, i: number, field: string): string {
  if (prefix === null) return field
  return field === '' ? `${prefix}${i}` : `${prefix}${i}/${field}`
}

function invalidOp(path: string, rule: string): EngineError {
  const message = `must be ${rule}`
  return new EngineError('invalid-op', `${path} ${message}.`, [{ path, message }])
}
