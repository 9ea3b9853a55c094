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
}

export const DEFAULT_LIMITS: ServiceLimits = {
  partitionsMax: 16_384,
  vcpusMax: 262_144,
  memoryPagesMax: 262_144,
  opsPerBatchMax: 10_000,
  logOpsMax: 65_536,
  logBytesMax: 16 * 1024 * 1024,
}
