/** Operations of the auditor: what it found in a partition. */
import type { Operation } from '../operation.js'
import { PartitionPath } from '../params.js'
import { ViolationList, ViolationQuery } from '../violation.js'

export const listViolations = {
  id: 'listViolations',
  method: 'GET',
  path: '/v1/partitions/{pid}/violations',
  tag: 'audit',
  summary: 'What the auditor found',
  description:
    'Invariants of ownership, messages, interrupts, timers and routes that ops of this partition broke, ' +
    'with who did it and whom it hit. Found by looking at ops and results alone; docs/invariants.md lists ' +
    'the rules.',
  params: PartitionPath,
  query: ViolationQuery,
  replies: { 200: { description: 'The violations.', schema: ViolationList } },
  problems: ['invalid-cursor'],
  plane: 'control',
} as const satisfies Operation
