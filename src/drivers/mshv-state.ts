/** What the MSHV driver of one kernel knows: its version, mapped pages, doorbells, partitions. */
import type { Gpn } from './kernel.js'

/**
 * The driver before "mshv: limit SynIC management to MSHV-owned resources", the ownership patch of v1 alone
 * (4 of 6, without the event ring's page and the notifier), and that series' versions.
 */
export const MSHV_VERSIONS = ['pre-series', 'v1-patch-4', 'v1', 'v2', 'v3', 'v4'] as const
export type MshvVersion = (typeof MSHV_VERSIONS)[number]

/** Where MSHV found the SynIC pages of a CPU (struct hv_synic_pages). */
export interface MappedPages {
  readonly messages: Gpn
  readonly events: Gpn
  readonly ring: Gpn
}

export class MshvState {
  version: MshvVersion | null = null
  readonly pages = new Map<number, MappedPages>()
  /** hv_synic_eventring_tail, of SINT5, by CPU: kept until the CPU goes offline. */
  readonly tails = new Map<number, number>()
  /** Doorbell ports by id, and how often each was answered (the port table). */
  readonly doorbells = new Map<number, number>()
  /** Child partitions by the low half of their id (mshv_partition_find). */
  readonly partitions = new Set<number>()
  /** Interrupt vectors whose end somebody waits for (the irqfd acknowledgement notifiers). */
  readonly awaited = new Set<number>()
  /** VPs and waiters of hypercalls that were woken. */
  wakes = 0
  /** Type of the message that was left in its slot last; 0: none was. */
  unhandled = 0
}
