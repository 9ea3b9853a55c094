/** Bounds of the service, each set by a flag of `synicd serve`. */

export interface ServiceLimits {
  /** Partitions of this process. */
  readonly partitionsMax: number
  /** vCPUs of all partitions together. */
  readonly vcpusMax: number
  /** Pages of guest memory one partition may touch. */
  readonly memoryPagesMax: number
  /** Ops in one batch. */
  readonly opsPerBatchMax: number
  /** Ops the log of one partition keeps, and the bytes of their results. */
  readonly logOpsMax: number
  readonly logBytesMax: number
  /**
   * Bytes that the results of one batch may come to: what `mem.read` and `synic.dump` ask for is known
   * before.
   */
  readonly replyBytesMax: number
  /** Pages of guest memory that one snapshot document may hold. */
  readonly snapshotPagesMax: number
  /** Violations that one partition keeps for who asks. */
  readonly violationsMax: number
  /** Notifications each partition keeps for streams that come back. */
  readonly streamRing: number
}

export const DEFAULT_LIMITS: ServiceLimits = {
  partitionsMax: 16_384,
  vcpusMax: 262_144,
  memoryPagesMax: 262_144,
  opsPerBatchMax: 10_000,
  logOpsMax: 65_536,
  logBytesMax: 16 * 1024 * 1024,
  replyBytesMax: 32 * 1024 * 1024,
  snapshotPagesMax: 7800,
  violationsMax: 10_000,
  streamRing: 65_536,
}
