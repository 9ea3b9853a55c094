/** Partitions as wholes: create or restore, list, get, change, delete, snapshot, fork. */
import type { FastifyInstance } from 'fastify'
import * as ops from '../src/api/operations/partitions.js'
import { cursorAfter, PAGE_LIMIT_DEFAULT } from '../src/api/paging.js'
import { gpaLimitPages, LABELS_MAX } from '../src/api/partition.js'
import { InputError } from '../src/api/problem.js'
import { partitionSummary, partitionView } from '../src/engine/inspect-partition.js'
import type { Labels, PartitionHost } from '../src/engine/partition-host.js'
import type { Service } from '../src/engine/service.js'
import { type Answer, answerOnce } from './idempotency.js'
import { hostOf, type RouteParts, serialAfter } from './parts.js'
import { type Input, Router } from './typed.js'

type Body = Input<typeof ops.createPartition>['body']

function make(service: Service, body: Body): PartitionHost {
  const { snapshot, gpa_limit: gpaLimit, durability: _memory, ...rest } = body
  if (snapshot !== undefined) return service.restore(body.id, snapshot, body.clock, body.labels, body.audit)
  return service.create({ ...rest, gpaPages: gpaLimitPages(gpaLimit) })
}

function made(host: PartitionHost): Answer {
  const location = `/v1/partitions/${host.id}`
  return { status: 201, text: JSON.stringify(partitionView(host)), location }
}

function hasLabels(host: PartitionHost, wanted: readonly string[]): boolean {
  return wanted.every((label) => {
    const colon = label.indexOf(':')
    return host.labels[label.slice(0, colon)] === label.slice(colon + 1)
  })
}

/** One page of partitions, in the order they were made. */
function page(service: Service, { label = [], limit = PAGE_LIMIT_DEFAULT, cursor }: PageQuery) {
  const after = serialAfter(cursor)
  const items: ReturnType<typeof partitionSummary>[] = []
  let last = 0
  for (const host of service.list()) {
    if (host.serial <= after || !hasLabels(host, label)) continue
    if (items.length === limit) return { items, next_cursor: cursorAfter(last) }
    items.push(partitionSummary(host))
    last = host.serial
  }
  return { items }
}
type PageQuery = Input<typeof ops.listPartitions>['query']

function mergedLabels(old: Labels, patch: Readonly<Record<string, string | null>>): Labels {
  const entries = Object.entries({ ...old, ...patch }).filter(([, value]) => value !== null)
  if (entries.length > LABELS_MAX) {
    throw new InputError([{ path: 'labels', message: `must leave at most ${LABELS_MAX} labels` }])
  }
  return Object.fromEntries(entries) as Labels
}

export default async function partitionRoutes(app: FastifyInstance, parts: RouteParts) {
  const { service, idempotency, outgoing } = parts
  const router = new Router(app, parts.meter)

  router.on(ops.createPartition, ({ body }, request, reply) => {
    answerOnce(idempotency, reply, 'create', request.body, () => made(make(service, body)))
    return reply
  })

  router.on(ops.listPartitions, ({ query }) => page(service, query))

  router.on(ops.getPartition, ({ params }) => partitionView(service.get(params.pid)))

  router.on(ops.patchPartition, ({ params, body }) => {
    const host = service.get(params.pid)
    if (body.labels !== undefined) host.labels = mergedLabels(host.labels, body.labels)
    const paused = host.partition.machine.paused
    if (body.state === 'paused' && !paused) host.applyOne({ op: 'partition.pause', by: 'host' })
    if (body.state === 'running' && paused) host.applyOne({ op: 'partition.resume', by: 'host' })
    return partitionView(host)
  })

  router.on(ops.deletePartition, ({ params }, _request, reply) => {
    service.delete(params.pid)
    return reply.code(204).send()
  })

  router.on(ops.getSnapshot, ({ params }, _request, reply) => {
    outgoing.admit()
    const text = JSON.stringify(service.snapshot(service.get(params.pid)))
    outgoing.track(reply.raw, text)
    return text
  })

  router.on(ops.forkPartition, ({ body = {} }, request, reply) => {
    const host = hostOf(service, request)
    answerOnce(idempotency, reply, `fork ${host.serial}`, request.body, () =>
      made(service.fork(host, body.id, body.labels)),
    )
    return reply
  })
}
