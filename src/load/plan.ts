/** What a load consists of. */
import type { z } from 'zod'
import type { PartitionCreate } from '../api/partition.js'
import type { Mix } from './mix.js'

export type LoadProfile = NonNullable<z.input<typeof PartitionCreate>['profile']>

export const PROTOCOLS = ['json', 'bin'] as const

export interface LoadPlan {
  readonly url: string
  /** One vCPU each, spread over the partitions as the harnesses and the watchers are. */
  readonly guests: number
  readonly harnesses: number
  readonly watchers: number
  readonly partitions: number
  readonly profile: LoadProfile
  readonly protocol: (typeof PROTOCOLS)[number]
  readonly durationMs: number
  readonly mix: Mix
  /** Ops a harness puts into a batch, at most. */
  readonly batch: number
  /** Batches of a harness that may be unanswered. */
  readonly window: number
  /** Messages a second in all; undefined: as fast as it goes. */
  readonly rate: number | undefined
  /** Leave the partitions on the server. */
  readonly keep: boolean
}

/** Why a load cannot begin, in one line. */
export class LoadError extends Error {}

/** It could not begin, and the partitions it had made could not be deleted either. */
export class LeftBehind extends Error {
  /** @param left their ids */
  constructor(
    override readonly cause: unknown,
    readonly left: readonly string[],
  ) {
    super(`left on the server: ${left.join(', ')}`, { cause })
  }
}

/**
 * Of the time, but no more than that: what it takes until code is compiled and buffers have grown says
 * nothing about the rest.
 */
const WARMUP_SHARE = 0.1
const WARMUP_MAX_MS = 10_000

export const warmupMsOf = (durationMs: number): number => Math.min(WARMUP_MAX_MS, durationMs * WARMUP_SHARE)
