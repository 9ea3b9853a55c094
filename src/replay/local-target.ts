// A partition in this process: the simulation core, spoken to with the wire's ops.
import type { WireOp } from '../api/op-decode.js'
import { encodeOp } from '../api/op-encode.js'
import { OpInputError } from '../api/op-fields.js'
import { type Result, resultText } from '../api/result.js'
import { Snapshot } from '../api/snapshot.js'
import { GPA_PAGE_BYTES, MEMORY_PAGES_DEFAULT } from '../hv/limits.js'
import { OpWriter } from '../synic/op.js'
import { Partition } from '../synic/partition.js'
import { resolveOptions } from '../synic/profile.js'
import { restorePartition } from '../synic/save-state.js'
import { ReplayInputError } from './input-error.js'
import { type Origin, RefusedOpError, type ReplayTarget, type TargetConfig } from './target.js'

export class LocalTarget implements ReplayTarget {
  readonly name = 'this process'
  readonly #writer = new OpWriter()
  #partition: Partition | undefined

  async create(config: TargetConfig): Promise<void> {
    this.#partition = config.snapshot === undefined ? fresh(config) : restored(config.snapshot)
    const ops = Array.from({ length: config.vcpus }, (_, vcpu) => ({ op: 'vcpu.create', vcpu }))
    for (const result of await this.apply(ops)) {
      if (!result.ok)
        throw new ReplayInputError(`cannot create ${config.vcpus} vCPUs (errno ${result.errno})`)
    }
  }

  async apply(ops: readonly WireOp[], originOf?: (index: number) => Origin): Promise<Result[]> {
    const partition = this.#partition
    if (partition === undefined) throw new Error('the partition is created first')
    const starts = this.#encode(ops, partition)
    return starts.map((at, index) => {
      this.applyRecord(partition, this.#writer.words, at, originOf?.(index))
      return JSON.parse(resultText(partition.effects)) as Result
    })
  }

  faultDisabledWrites(faults: boolean): void {
    const machine = this.#partition?.machine
    if (machine !== undefined) machine.faultsDisabledWrites = faults && machine.config.kind !== 'guest'
  }

  async close(): Promise<void> {
    this.#partition = undefined
  }

  /** One op; who watches ops does so around it. */
  protected applyRecord(partition: Partition, words: Int32Array, at: number, _origin?: Origin): void {
    partition.apply(words, at)
  }

  /** All or nothing, as a server's batch. */
  #encode(ops: readonly WireOp[], { names }: Partition): number[] {
    const writer = this.#writer
    writer.clear()
    return ops.map((op, index) => {
      const at = writer.length
      try {
        encodeOp(op, writer, names, 0)
      } catch (error) {
        if (error instanceof OpInputError) throw new RefusedOpError(index, error.message)
        throw error
      }
      return at
    })
  }
}

function fresh({ kind, profile, gpaLimit, options }: TargetConfig): Partition {
  return new Partition({
    kind,
    profile,
    gpaPages: Number(BigInt(gpaLimit) / BigInt(GPA_PAGE_BYTES)),
    memoryPagesMax: MEMORY_PAGES_DEFAULT,
    options: resolveOptions(profile, kind, options),
  })
}

function restored(document: object): Partition {
  const snapshot = Snapshot.safeParse(document)
  if (snapshot.success) return restorePartition(snapshot.data as Snapshot)
  const [{ path, message }] = snapshot.error.issues
  throw new ReplayInputError(`the snapshot cannot be restored: ${path.join('/')}: ${message}`)
}
