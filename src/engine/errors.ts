/**
 * Client mistakes, by code. Routes turn each into a problem document; a guest outcome is never one of them.
 */

export type ErrorCode =
  | 'partition-not-found'
  | 'partition-exists'
  | 'vcpu-not-found'
  | 'invalid-op'
  | 'invalid-snapshot'
  | 'invalid-config'
  | 'too-many-ops'
  | 'limit-partitions'
  | 'limit-vcpus'
  | 'revision-mismatch'
  | 'op-not-found'
  | 'log-truncated'
  | 'realtime-clock'
  | 'page-disabled'
  | 'gpa-out-of-range'
  | 'limit-memory'
  | 'msr-not-found'
  | 'reply-too-large'
  | 'snapshot-too-large'
  | 'not-found'
  | 'idempotency-conflict'

/** One field that breaks a rule; `path` as in `ops/3/vcpu`. */
export interface FieldError {
  readonly path: string
  readonly message: string
}

export class EngineError extends Error {
  constructor(
    readonly code: ErrorCode,
    detail: string,
    readonly errors: readonly FieldError[] = [],
  ) {
    super(detail)
  }
}
