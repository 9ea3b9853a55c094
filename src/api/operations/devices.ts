/** Operations on what surrounds the vCPUs: GSIs, ports, memory, time. */

import { z } from 'zod'
import { ETAG_RULE, isTagList } from '../etag.js'
import { IdempotencyKey } from '../idempotency-key.js'
import * as routes from '../op-routes.js'
import { BYTES_TYPE, type Operation } from '../operation.js'
import { ConnectionPath, GpaPath, GsiPath, integerText, PartitionPath, PortPath } from '../params.js'
import { ClockView, ConnectionList, PortList, Routes } from '../tables.js'
import { Name } from '../wire.js'
import { RESULT } from './vcpus.js'

/** Bytes one memory route reads. */
export const MEMORY_READ_BYTES_MAX = 16 * 1024 * 1024
const PAGE = 4096

const ETAG = { etag: 'Revision of the table.' }
const Tags = z.string().max(1024).refine(isTagList, { error: ETAG_RULE }).optional()
const ActorQuery = z.strictObject({ actor: Name.optional().meta({ description: 'Who does it.' }) })

export const getRoutes = {
  id: 'getRoutes',
  method: 'GET',
  path: '/v1/partitions/{pid}/gsi-routes',
  tag: 'routing',
  summary: 'The GSI routing table',
  params: PartitionPath,
  headers: z.strictObject({ 'if-none-match': Tags }),
  replies: {
    200: { description: 'The whole table, by GSI.', schema: Routes, headers: ETAG },
    304: { description: 'Not changed since.', headers: ETAG },
  },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const putRoutes = {
  id: 'putRoutes',
  method: 'PUT',
  path: '/v1/partitions/{pid}/gsi-routes',
  tag: 'routing',
  summary: 'Replace the GSI routing table',
  params: PartitionPath,
  headers: z.strictObject({
    'if-match': Tags.meta({ description: 'Replace only this revision: a lost race is 412.' }),
  }),
  body: { schema: routes.GSI_ROUTE.body, required: true },
  replies: { 200: { ...RESULT, headers: ETAG } },
  problems: ['invalid-op', 'revision-mismatch'],
  plane: 'control',
} as const satisfies Operation

export const assertGsi = {
  id: 'assertGsi',
  method: 'POST',
  path: '/v1/partitions/{pid}/gsis/{gsi}/assert',
  tag: 'routing',
  summary: 'One edge on a GSI, as a write to its irqfd',
  params: GsiPath,
  headers: IdempotencyKey,
  body: { schema: routes.GSI_ASSERT.body, required: false },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'data',
} as const satisfies Operation

export const bindIrqfd = {
  id: 'bindIrqfd',
  method: 'PUT',
  path: '/v1/partitions/{pid}/irqfds/{gsi}',
  tag: 'routing',
  summary: 'Bind an irqfd, with or without a resampler',
  params: GsiPath,
  headers: IdempotencyKey,
  body: { schema: routes.IRQFD_BIND.body, required: false },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'control',
} as const satisfies Operation

export const unbindIrqfd = {
  id: 'unbindIrqfd',
  method: 'DELETE',
  path: '/v1/partitions/{pid}/irqfds/{gsi}',
  tag: 'routing',
  summary: 'Unbind an irqfd',
  params: GsiPath,
  query: ActorQuery,
  replies: { 200: RESULT },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const listPorts = {
  id: 'listPorts',
  method: 'GET',
  path: '/v1/partitions/{pid}/ports',
  tag: 'ports',
  summary: 'Message, event and doorbell ports',
  params: PartitionPath,
  replies: { 200: { description: 'All ports, by id.', schema: PortList } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const createPort = {
  id: 'createPort',
  method: 'POST',
  path: '/v1/partitions/{pid}/ports',
  tag: 'ports',
  summary: 'Create a port',
  params: PartitionPath,
  headers: IdempotencyKey,
  body: { schema: routes.PORT_CREATE.body, required: true },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'control',
} as const satisfies Operation

export const deletePort = {
  id: 'deletePort',
  method: 'DELETE',
  path: '/v1/partitions/{pid}/ports/{port}',
  tag: 'ports',
  summary: 'Delete a port',
  params: PortPath,
  query: ActorQuery,
  replies: { 200: RESULT },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const listConnections = {
  id: 'listConnections',
  method: 'GET',
  path: '/v1/partitions/{pid}/connections',
  tag: 'ports',
  summary: 'Connections to ports',
  params: PartitionPath,
  replies: { 200: { description: 'All connections, by id.', schema: ConnectionList } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const createConnection = {
  id: 'createConnection',
  method: 'POST',
  path: '/v1/partitions/{pid}/connections',
  tag: 'ports',
  summary: 'Connect to a port',
  params: PartitionPath,
  headers: IdempotencyKey,
  body: { schema: routes.CONNECTION_CREATE.body, required: true },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'control',
} as const satisfies Operation

export const deleteConnection = {
  id: 'deleteConnection',
  method: 'DELETE',
  path: '/v1/partitions/{pid}/connections/{connection}',
  tag: 'ports',
  summary: 'Disconnect',
  params: ConnectionPath,
  query: ActorQuery,
  replies: { 200: RESULT },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const readMemory = {
  id: 'readMemory',
  method: 'GET',
  path: '/v1/partitions/{pid}/memory/{gpa}',
  tag: 'memory',
  summary: 'Read guest memory as raw bytes',
  description: 'Looks only: unlike the op `mem.read` it is no step of the machine and not in the log.',
  params: GpaPath,
  query: z.strictObject({
    len: integerText(1, MEMORY_READ_BYTES_MAX)
      .optional()
      .meta({ description: `Bytes; ${PAGE} unless given.` }),
  }),
  replies: { 200: { description: 'The bytes.', schema: z.string(), type: BYTES_TYPE } },
  problems: ['gpa-out-of-range'],
  plane: 'data',
} as const satisfies Operation

export const writeMemory = {
  id: 'writeMemory',
  method: 'PUT',
  path: '/v1/partitions/{pid}/memory/{gpa}',
  tag: 'memory',
  summary: 'Write guest memory, raw bytes, whole or not at all',
  description: 'Logged as `mem.write` ops of at most 64 KiB, with nothing between them.',
  params: GpaPath,
  query: ActorQuery,
  body: { schema: z.string(), type: BYTES_TYPE, required: true },
  replies: { 200: RESULT },
  problems: ['gpa-out-of-range', 'limit-memory'],
  plane: 'data',
} as const satisfies Operation

export const getClock = {
  id: 'getClock',
  method: 'GET',
  path: '/v1/partitions/{pid}/clock',
  tag: 'clock',
  summary: 'Reference time, and when the next timer fires',
  params: PartitionPath,
  replies: { 200: { description: 'The clock.', schema: ClockView } },
  problems: [],
  plane: 'data',
} as const satisfies Operation

export const advanceClock = {
  id: 'advanceClock',
  method: 'POST',
  path: '/v1/partitions/{pid}/clock',
  tag: 'clock',
  summary: 'Move reference time on',
  params: PartitionPath,
  headers: IdempotencyKey,
  body: { schema: routes.CLOCK_ADVANCE.body, required: true },
  replies: { 200: RESULT },
  problems: ['invalid-op', 'realtime-clock'],
  plane: 'data',
} as const satisfies Operation
