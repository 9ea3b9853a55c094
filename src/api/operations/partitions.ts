/** Operations on partitions as wholes. */
import { z } from 'zod'
import { OpBatch, OpBatchResult } from '../batch.js'
import { IdempotencyKey } from '../idempotency-key.js'
import type { Operation, Reply } from '../operation.js'
import { integerText, PartitionPath } from '../params.js'
import * as p from '../partition.js'
import { Snapshot } from '../snapshot.js'

export const NDJSON_TYPE = 'application/x-ndjson'

const created = (description: string): Reply => ({
  description,
  schema: p.PartitionView,
  headers: { location: 'Its path.' },
})

export const createPartition = {
  id: 'createPartition',
  method: 'POST',
  path: '/v1/partitions',
  tag: 'partitions',
  summary: 'Create a partition, or restore one from a snapshot',
  headers: IdempotencyKey,
  body: { schema: p.PartitionCreate, required: false },
  replies: { 201: created('The partition made.') },
  problems: ['partition-exists', 'limit-partitions', 'limit-vcpus', 'invalid-config', 'invalid-snapshot'],
  plane: 'control',
} as const satisfies Operation

export const listPartitions = {
  id: 'listPartitions',
  method: 'GET',
  path: '/v1/partitions',
  tag: 'partitions',
  summary: 'List partitions in the order they were made',
  query: p.PartitionQuery,
  replies: { 200: { description: 'One page.', schema: p.PartitionList } },
  problems: ['invalid-cursor'],
  plane: 'control',
} as const satisfies Operation

export const getPartition = {
  id: 'getPartition',
  method: 'GET',
  path: '/v1/partitions/{pid}',
  tag: 'partitions',
  summary: 'One partition',
  params: PartitionPath,
  replies: { 200: { description: 'The partition.', schema: p.PartitionView } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const patchPartition = {
  id: 'patchPartition',
  method: 'PATCH',
  path: '/v1/partitions/{pid}',
  tag: 'partitions',
  summary: 'Change labels, pause, resume',
  description: 'Pausing and resuming are ops of the log; a partition already in that state gets none.',
  params: PartitionPath,
  body: { schema: p.PartitionPatch, required: true },
  replies: { 200: { description: 'The partition as it is now.', schema: p.PartitionView } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const deletePartition = {
  id: 'deletePartition',
  method: 'DELETE',
  path: '/v1/partitions/{pid}',
  tag: 'partitions',
  summary: 'Delete a partition',
  params: PartitionPath,
  replies: { 204: { description: 'Gone.' } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const postOps = {
  id: 'postOps',
  method: 'POST',
  path: '/v1/partitions/{pid}/ops',
  tag: 'ops',
  summary: 'Apply a batch of ops',
  description:
    'Every op is checked before the first is applied, and nothing comes between them. An architectural ' +
    'failure (a fault, an errno) is a result, not an error.',
  params: PartitionPath,
  headers: IdempotencyKey,
  body: { schema: OpBatch, required: true },
  replies: { 200: { description: 'Results in order of the ops.', schema: OpBatchResult } },
  problems: [
    'invalid-op',
    'too-many-ops',
    'reply-too-large',
    'too-busy',
    'vcpu-not-found',
    'limit-vcpus',
    'realtime-clock',
  ],
  plane: 'data',
} as const satisfies Operation

export const getSnapshot = {
  id: 'getSnapshot',
  method: 'GET',
  path: '/v1/partitions/{pid}/snapshot',
  tag: 'partitions',
  summary: 'The whole state as one document',
  description: 'Give it back as `snapshot` when creating a partition.',
  params: PartitionPath,
  replies: { 200: { description: 'The state.', schema: Snapshot } },
  problems: ['snapshot-too-large', 'too-busy'],
  plane: 'control',
} as const satisfies Operation

export const forkPartition = {
  id: 'forkPartition',
  method: 'POST',
  path: '/v1/partitions/{pid}/fork',
  tag: 'partitions',
  summary: 'Copy a partition under another id',
  params: PartitionPath,
  headers: IdempotencyKey,
  body: { schema: p.PartitionFork.optional(), required: false },
  replies: { 201: created('The copy.') },
  problems: ['partition-exists', 'limit-partitions', 'limit-vcpus'],
  plane: 'control',
} as const satisfies Operation

const Seq = (min: number, description: string) =>
  integerText(min, Number.MAX_SAFE_INTEGER).optional().meta({ description })

export const getLog = {
  id: 'getLog',
  method: 'GET',
  path: '/v1/partitions/{pid}/log',
  tag: 'ops',
  summary: 'The op log with results: a trace file that `synicd replay` takes',
  description:
    'JSON lines. The first is a header with `base_seq`, the number of the op before the first in the file; ' +
    'each further line is `{"seq","in","out"}`.',
  params: PartitionPath,
  query: z.strictObject({
    from: Seq(0, 'First op, at most the one that comes next; the oldest that is kept unless given.'),
    to: Seq(1, 'Last op; the newest unless given, or where it is later.'),
  }),
  replies: { 200: { description: 'The trace.', schema: z.string(), type: NDJSON_TYPE } },
  problems: ['op-not-found', 'log-truncated'],
  plane: 'control',
} as const satisfies Operation
