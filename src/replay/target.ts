// What a replay runs on: one partition, here in the process or on a server, made at the start and closed at
// the end.
import type { WireOp } from '../api/op-decode.js'
import type { Result } from '../api/result.js'
import type { PartitionKind } from '../hv/cpuid.js'
import type { OptionOverrides, ProfileName } from '../synic/profile.js'

export interface TargetConfig {
  readonly profile: ProfileName
  readonly kind: PartitionKind
  /** A u64 as the wire writes it. */
  readonly gpaLimit: string
  /** vCPUs 0..n-1 there from the start; they are no ops of the trace. */
  readonly vcpus: number
  readonly options: OptionOverrides
  /** A snapshot document to begin from; it then decides about all of the above. */
  readonly snapshot?: object
}

export interface ReplayTarget {
  /** How reports name it. */
  readonly name: string
  create(config: TargetConfig): Promise<void>
  /** Applies the ops in order; one result each. */
  apply(ops: readonly WireOp[]): Promise<Result[]>
  close(): Promise<void>
}

/** One op of a batch was refused before anything was applied. */
export class RefusedOpError extends Error {
  constructor(
    readonly index: number,
    reason: string,
  ) {
    super(reason)
  }
}
