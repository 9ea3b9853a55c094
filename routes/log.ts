/** The op log as a trace file: JSON lines, written as fast as the reader takes them. */
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { decodeOp } from '../src/api/op-decode.js'
import { getLog, NDJSON_TYPE } from '../src/api/operations/partitions.js'
import { InputError } from '../src/api/problem.js'
import { resultTextAt } from '../src/api/result-record.js'
import { EngineError } from '../src/engine/errors.js'
import { gpaLimitText } from '../src/engine/inspect-partition.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import type { RouteParts } from './parts.js'
import { type Input, Router } from './typed.js'

type Range = Input<typeof getLog>['query']

/** Text made at a time: enough to be quick, and so little that a slow reader costs next to nothing. */
const CHUNK_CHARS = 32 * 1024

function header(host: PartitionHost, from: number, to: number): string {
  const { kind, profile, options } = host.partition.machine.config
  const description = `Log of partition ${host.id}, ops ${from} to ${to}`
  const gpaLimit = gpaLimitText(host)
  return `${JSON.stringify({
    trace: host.id,
    source: 'synicd',
    profile,
    kind,
    gpa_limit: gpaLimit,
    options,
    base_seq: from - 1,
    description,
  })}\n`
}

/**
 * The trace from `from` to `to`, in chunks of whole lines. The partition goes on while somebody reads.
 * @throws EngineError log-truncated when the log forgets what is still to come: the stream then breaks off
 */
export function* traceText(host: PartitionHost, from: number, to: number): Generator<string> {
  yield header(host, from, to)
  let next = from
  while (next <= to) {
    if (next < host.journal.firstSeq) throw truncated(host, next)
    let text = ''
    // Looked up afresh for each chunk: the log's own list changes between them.
    for (const { seq, words, at, resultAt } of host.journal.entries(next, to)) {
      const op = JSON.stringify(decodeOp(words, at, host.partition.names))
      const result = resultTextAt(words, resultAt)
      text += `{"seq":${seq},"in":${op},"out":${result}}\n`
      next = seq + 1
      if (text.length >= CHUNK_CHARS) break
    }
    yield text
  }
}

function truncated({ id, journal: { firstSeq } }: PartitionHost, seq: number, path = 'from'): EngineError {
  return new EngineError(
    'log-truncated',
    `The log of partition ${id} begins at op ${firstSeq}, not ${seq}.`,
    [{ path, message: `must be at least ${firstSeq}` }],
  )
}

/**
 * The ops asked for, as far as they have come. That nothing has come yet is no mistake where it is the next
 * op that is asked for: so a log is followed.
 * @throws what is wrong with a range that can have no op
 */
function rangeOf(host: PartitionHost, { from, to }: Range): { first: number; last: number } {
  const { firstSeq } = host.journal
  const { seq } = host.partition
  const first = Math.max(1, from ?? firstSeq)
  if (from !== undefined && to !== undefined && to < first) {
    throw new InputError([{ path: 'to', message: `must be at least ${first}, which is \`from\`` }])
  }
  if (first < firstSeq) throw truncated(host, first)
  if (to !== undefined && to < firstSeq && firstSeq > 1) throw truncated(host, to, 'to')
  if (first > seq + 1) {
    throw new EngineError('op-not-found', `Partition ${host.id} is at op ${seq}, and not yet at ${first}.`, [
      { path: 'from', message: `must be at most ${seq + 1}` },
    ])
  }
  return { first, last: Math.min(to ?? seq, seq) }
}

export default async function logRoutes(app: FastifyInstance, parts: RouteParts) {
  new Router(app, parts.meter).on(getLog, ({ params, query }, _request, reply) => {
    const host = parts.service.get(params.pid)
    const { first, last } = rangeOf(host, query)
    reply.header('content-type', NDJSON_TYPE)
    return reply.send(Readable.from(traceText(host, first, last), { objectMode: false }))
  })
}
