// What a replay runs on: one partition, here in the process or on a server, made at the start and closed at
// the end.
import type { WireOp } from '../api/op-decode.js'
import type { Result } from '../api/result.js'
import type { PartitionKind } from '../hv/cpuid.js'
import type { OptionOverrides, ProfileName } from '../synic/profile.js'

/** What a recording is: JSON lines, kvm:* events of a host, msr:* events of a guest's kernel. */
export type Source = 'trace' | 'host' | 'guest'

/** Where in the recording an op comes from: for targets that watch. */
export interface Origin {
  readonly line: number
  /** The number that a trace gives the op. */
  readonly seq?: number
  readonly event?: EventOrigin
}

/** What a kernel event tells of itself, and what is known where it stands. */
export interface EventOrigin {
  /** Seconds since boot. */
  readonly time: number
  readonly text: string
  /** Does the register's value, before this event, follow from the trace? */
  readonly isKnown: (vcpu: number, msr: number) => boolean
  /** No event names the thread's vCPU. */
  readonly isGuessed: boolean
  /** Line of the last `[LOST n EVENTS]` before it; 0: nothing was lost. */
  readonly gapLine: number
}

export interface TargetConfig {
  /** Default: `trace`. */
  readonly source?: Source
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
  apply(ops: readonly WireOp[], originOf?: (index: number) => Origin): Promise<Result[]>
  /** Whether teardown writes under a disabled SynIC fault from now on; a server has no such switch. */
  faultDisabledWrites?(faults: boolean): void
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
