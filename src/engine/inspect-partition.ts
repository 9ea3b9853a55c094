/** A partition as a resource: its summary, and all there is to say of it as a whole. */
import type { PartitionView } from '../api/partition.js'
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import { apicvFact } from './inspect-vcpu.js'
import type { PartitionHost } from './partition-host.js'

export function gpaLimitText(host: PartitionHost): string {
  const { gpaPages } = host.partition.machine.config
  return `0x${(BigInt(gpaPages) * BigInt(GPA_PAGE_BYTES)).toString(16)}`
}

export function partitionSummary(host: PartitionHost) {
  host.catchUp()
  const { machine, seq, now } = host.partition
  const { kind, profile } = machine.config
  return {
    id: host.id,
    kind,
    profile,
    vcpus: machine.vcpuCount,
    gpa_limit: gpaLimitText(host),
    clock: host.clock,
    state: machine.paused ? ('paused' as const) : ('running' as const),
    seq,
    now,
    labels: host.labels,
    durability: 'memory' as const,
    audit: host.audit.mode,
    created_at: host.createdAt.toISOString(),
  }
}

export function partitionView(host: PartitionHost): PartitionView {
  const { machine } = host.partition
  return {
    ...partitionSummary(host),
    options: machine.options,
    apicv: apicvFact(host),
    kernel: machine.kernel,
    memory_pages: machine.memory.pageCount,
  }
}
