/** Operations on one vCPU: its state, registers, messages, event flags, interrupts. */
import { z } from 'zod'
import { IdempotencyKey } from '../idempotency-key.js'
import { BY } from '../op.js'
import * as routes from '../op-routes.js'
import type { Operation, Reply } from '../operation.js'
import { booleanText, FlagPath, MsrPath, PartitionPath, SintPath, VcpuPath } from '../params.js'
import { Result } from '../result.js'
import { MsrList } from '../tables.js'
import { EventsView, MessagesView, VcpuList, VcpuView } from '../vcpu.js'
import { Name } from '../wire.js'

export const RESULT: Reply = {
  description: 'What the op did. An architectural failure is `ok: false`, with status 200.',
  schema: Result,
}
const ByQuery = z.strictObject({
  by: z.enum(BY).optional().meta({ description: 'Read as the guest (default) or as the VMM.' }),
})
const nested = booleanText()
  .optional()
  .meta({ description: "A nested root's second register file; false unless given." })
const NestedQuery = z.strictObject({ nested })

export const listVcpus = {
  id: 'listVcpus',
  method: 'GET',
  path: '/v1/partitions/{pid}/vcpus',
  tag: 'vcpus',
  summary: 'The vCPUs of a partition',
  params: PartitionPath,
  replies: { 200: { description: 'All of them, by number.', schema: VcpuList } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const getVcpu = {
  id: 'getVcpu',
  method: 'GET',
  path: '/v1/partitions/{pid}/vcpus/{vp}',
  tag: 'vcpus',
  summary: 'One vCPU, decoded',
  params: VcpuPath,
  replies: { 200: { description: 'SynIC, timers, local APIC.', schema: VcpuView } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const listMsrs = {
  id: 'listMsrs',
  method: 'GET',
  path: '/v1/partitions/{pid}/vcpus/{vp}/msrs',
  tag: 'registers',
  summary: 'Every MSR by number and name, and what reading it gives',
  params: VcpuPath,
  query: ByQuery,
  replies: { 200: { description: 'All registers.', schema: MsrList } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const readMsr = {
  id: 'readMsr',
  method: 'GET',
  path: '/v1/partitions/{pid}/vcpus/{vp}/msrs/{msr}',
  tag: 'registers',
  summary: 'Read an MSR',
  description: 'Looks only: unlike the op `msr.read` it is no step of the machine and not in the log.',
  params: MsrPath,
  query: ByQuery,
  replies: { 200: RESULT },
  problems: ['msr-not-found'],
  plane: 'data',
} as const satisfies Operation

export const writeMsr = {
  id: 'writeMsr',
  method: 'PUT',
  path: '/v1/partitions/{pid}/vcpus/{vp}/msrs/{msr}',
  tag: 'registers',
  summary: 'Write an MSR',
  params: MsrPath,
  headers: IdempotencyKey,
  body: { schema: routes.MSR_WRITE.body, required: true },
  replies: { 200: RESULT },
  problems: ['msr-not-found', 'invalid-op'],
  plane: 'data',
} as const satisfies Operation

export const getMessages = {
  id: 'getMessages',
  method: 'GET',
  path: '/v1/partitions/{pid}/vcpus/{vp}/messages',
  tag: 'messages',
  summary: 'The sixteen message slots, decoded',
  params: VcpuPath,
  query: NestedQuery,
  replies: { 200: { description: 'The message page.', schema: MessagesView } },
  problems: ['not-found'],
  plane: 'data',
} as const satisfies Operation

export const postMessage = {
  id: 'postMessage',
  method: 'POST',
  path: '/v1/partitions/{pid}/vcpus/{vp}/messages',
  tag: 'messages',
  summary: 'Post a message to a SINT, as the host',
  params: VcpuPath,
  headers: IdempotencyKey,
  body: { schema: routes.MESSAGE_POST.body, required: true },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'data',
} as const satisfies Operation

export const completeMessage = {
  id: 'completeMessage',
  method: 'POST',
  path: '/v1/partitions/{pid}/vcpus/{vp}/messages/{sint}/complete',
  tag: 'messages',
  summary: 'Acknowledge a message as a guest driver does',
  params: SintPath,
  headers: IdempotencyKey,
  body: { schema: routes.MESSAGE_COMPLETE.body, required: false },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'data',
} as const satisfies Operation

export const getEvents = {
  id: 'getEvents',
  method: 'GET',
  path: '/v1/partitions/{pid}/vcpus/{vp}/events',
  tag: 'events',
  summary: 'Event flags that are set',
  params: VcpuPath,
  query: NestedQuery,
  replies: { 200: { description: 'The event-flags page.', schema: EventsView } },
  problems: ['not-found'],
  plane: 'data',
} as const satisfies Operation

export const signalEvent = {
  id: 'signalEvent',
  method: 'POST',
  path: '/v1/partitions/{pid}/vcpus/{vp}/events',
  tag: 'events',
  summary: 'Set an event flag, as the host',
  params: VcpuPath,
  headers: IdempotencyKey,
  body: { schema: routes.EVENT_SIGNAL.body, required: true },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'data',
} as const satisfies Operation

export const clearEvent = {
  id: 'clearEvent',
  method: 'DELETE',
  path: '/v1/partitions/{pid}/vcpus/{vp}/events/{sint}/{flag}',
  tag: 'events',
  summary: 'Clear an event flag as a guest does',
  description: 'One atomic step, logged as `mem.cas`; result `value` is the byte of flags as it was.',
  params: FlagPath,
  query: z.strictObject({ nested, actor: Name.optional() }),
  replies: { 200: RESULT },
  problems: ['not-found', 'page-disabled', 'gpa-out-of-range'],
  plane: 'data',
} as const satisfies Operation

export const ackInterrupt = {
  id: 'ackInterrupt',
  method: 'POST',
  path: '/v1/partitions/{pid}/vcpus/{vp}/apic/ack',
  tag: 'interrupts',
  summary: 'Take the highest deliverable interrupt',
  params: VcpuPath,
  headers: IdempotencyKey,
  body: { schema: routes.APIC_ACK.body, required: false },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'data',
} as const satisfies Operation

export const endInterrupt = {
  id: 'endInterrupt',
  method: 'POST',
  path: '/v1/partitions/{pid}/vcpus/{vp}/apic/eoi',
  tag: 'interrupts',
  summary: 'End the highest interrupt in service',
  description:
    'A CPU ends its own interrupts: `by` the host it is refused with errno -22, and nothing changes.',
  params: VcpuPath,
  headers: IdempotencyKey,
  body: { schema: routes.APIC_EOI.body, required: false },
  replies: { 200: RESULT },
  problems: ['invalid-op'],
  plane: 'data',
} as const satisfies Operation
