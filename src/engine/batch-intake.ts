/** Batches on their way in: every op checked, as JSON or as a record, before the first is applied. */
import { encodeOp } from '../api/op-encode.js'
import { OpInputError } from '../api/op-fields.js'
import { acceptOpRecord, type NameOf } from '../api/op-records.js'
import * as o from '../synic/op.js'
import { namesVcpu, type Partition } from '../synic/partition.js'
import { EngineError } from './errors.js'
import type { ServiceLimits } from './limits.js'

/** Op records back to back: those of `words` from `from` up to `end`. */
export interface Records {
  readonly words: Int32Array
  readonly from: number
  readonly end: number
}

/** What the intake asks of the partition's host. */
export interface IntakeEnvironment {
  readonly limits: ServiceLimits
  /** The buffer that JSON batches are encoded into; nothing in it outlives a batch. */
  readonly writer: o.OpWriter
  /** vCPUs that may still be created in this process. */
  readonly vcpusLeft: () => number
}

const NONE_CREATED: ReadonlySet<number> = new Set()
/** What a `synic.dump` counts as; a mostly empty one is shorter, one of full pages three times as long. */
const DUMP_BYTES = 24 * 1024

export class BatchIntake {
  /** vCPUs that the batch at hand has created so far, and the bytes its results can come to. */
  #created = NONE_CREATED
  #replyBytes = 0

  constructor(
    private readonly id: string,
    private readonly partition: Partition,
    private readonly followsWallClock: boolean,
    private readonly env: IntakeEnvironment,
  ) {}

  /**
   * JSON ops as records in the shared buffer.
   * @param prefix of the paths in errors, such as `ops/`; null: the ops are one op and fields stand alone
   * @throws EngineError naming the op and the field
   */
  encode(ops: readonly unknown[], actor: string | undefined, prefix: string | null): Records {
    this.#begin(ops.length)
    const { writer } = this.env
    writer.clear()
    return this.#orForget(() => {
      const { names } = this.partition
      const actorId = this.actorId(actor)
      for (let i = 0; i < ops.length; i++) {
        const at = writer.length
        try {
          encodeOp(ops[i], writer, names, actorId)
        } catch (error) {
          throw located(error, prefix, i)
        }
        this.#look(writer.words, at, prefix, i)
      }
      this.#end()
      return { words: writer.words, from: 0, end: writer.length }
    })
  }

  /**
   * `count` records of a client, from `from`, checked and completed in place.
   * @param end where the frame ends
   * @param nameOf text of a name that the client told
   * @throws EngineError naming the op and the field
   */
  accept(
    words: Int32Array,
    from: number,
    end: number,
    count: number,
    actor: string | undefined,
    nameOf: (number: number) => string | undefined,
  ): Records {
    this.#begin(count)
    const { names } = this.partition
    const known = names.size
    let i = 0
    try {
      const actorId = this.actorId(actor)
      this.#nameOf = nameOf
      let at = from
      for (; i < count; i++) {
        const next = acceptOpRecord(words, at, end, actorId, this.#idOf)
        this.#look(words, at, 'ops/', i)
        at = next
      }
      this.#end()
      return { words, from, end: at }
    } catch (error) {
      names.truncate(known)
      throw located(error, 'ops/', i)
    }
  }

  /** What the client of the batch at hand calls its names. */
  #nameOf: (number: number) => string | undefined = () => undefined

  readonly #idOf: NameOf = (number) => {
    const text = this.#nameOf(number)
    return text === undefined ? -1 : this.actorId(text)
  }

  /** The number of a name in this partition; 0 of none. */
  actorId(actor: string | undefined): number {
    const { names } = this.partition
    const id = actor === undefined ? 0 : names.intern(actor)
    if (id < 0) throw new EngineError('invalid-op', `A partition knows at most ${names.max} names.`)
    return id
  }

  /** A refused batch leaves no names behind. */
  #orForget(check: () => Records): Records {
    const { names } = this.partition
    const known = names.size
    try {
      return check()
    } catch (error) {
      names.truncate(known)
      throw error
    }
  }

  #begin(count: number): void {
    this.#created = NONE_CREATED
    this.#replyBytes = 0
    const { opsPerBatchMax } = this.env.limits
    if (count <= opsPerBatchMax) return
    const message = `at most ${opsPerBatchMax} ops, got ${count}`
    throw new EngineError('too-many-ops', `A batch holds ${message}.`, [{ path: 'ops', message }])
  }

  /** What a well-formed op still may not do here. */
  #look(words: Int32Array, at: number, prefix: string | null, i: number): void {
    const code = words[at] & o.OP_CODE
    switch (code) {
      case o.OP_MEM_READ:
        this.#replyBytes += 2 * words[at + o.OP_ARGS + 2]
        break
      case o.OP_SYNIC_DUMP:
        this.#replyBytes += DUMP_BYTES
        break
      case o.OP_CLOCK_ADVANCE:
        if (this.followsWallClock) this.#refuseClock(prefix, i)
        break
      case o.OP_VCPU_CREATE:
        // Few batches create vCPUs: the set is made when one does.
        if (this.#created === NONE_CREATED) this.#created = new Set()
        ;(this.#created as Set<number>).add(words[at + o.OP_VCPU])
        return
    }
    const vcpu = words[at + o.OP_VCPU]
    if (!namesVcpu(code) || this.partition.hasVcpu(vcpu) || this.#created.has(vcpu)) return
    const message = `no vCPU ${vcpu >>> 0} in this partition`
    throw new EngineError('vcpu-not-found', `Partition ${this.id} has no vCPU ${vcpu >>> 0}.`, [
      { path: opPath(prefix, i, 'vcpu'), message },
    ])
  }

  #refuseClock(prefix: string | null, i: number): never {
    const detail = `The clock of partition ${this.id} follows the wall clock.`
    // A route of its own has no op that it could name.
    const mistake =
      prefix === null
        ? { path: 'ticks', message: 'cannot be given to a clock that moves by itself' }
        : { path: opPath(prefix, i, 'op'), message: 'must not be clock.advance' }
    throw new EngineError('realtime-clock', detail, [mistake])
  }

  #end(): void {
    const { replyBytesMax } = this.env.limits
    if (this.#replyBytes > replyBytesMax) {
      const message = `must ask for at most ${replyBytesMax} bytes of results, not ${this.#replyBytes}`
      throw new EngineError('reply-too-large', `A batch ${message}.`, [{ path: 'ops', message }])
    }
    const left = this.env.vcpusLeft()
    if (this.#created.size > left) {
      const message = `room for ${left} more vCPUs, not ${this.#created.size}`
      throw new EngineError('limit-vcpus', `This server has ${message}.`)
    }
  }
}

/** Where a field of op `i` stands in what the client sent. */
function opPath(prefix: string | null, i: number, field: string): string {
  if (prefix === null) return field
  return field === '' ? `${prefix}${i}` : `${prefix}${i}/${field}`
}

/** A field that breaks its rule, with its place in the batch; anything else as it is. */
function located(error: unknown, prefix: string | null, i: number): unknown {
  if (!(error instanceof OpInputError)) return error
  const path = opPath(prefix, i, error.path)
  const message = `must be ${error.rule}`
  return new EngineError('invalid-op', `${path} ${message}${message.endsWith('?') ? '' : '.'}`, [
    { path, message },
  ])
}
