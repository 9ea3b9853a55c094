/** Scenarios: the library, runs of it or of the client's own, and their traces. */
import { isUtf8 } from 'node:buffer'
import type { FastifyInstance } from 'fastify'
import type { z } from 'zod'
import { didYouMean } from '../src/api/did-you-mean.js'
import { NDJSON_TYPE } from '../src/api/operations/partitions.js'
import * as operations from '../src/api/operations/scenarios.js'
import { YAML_TYPE } from '../src/api/operations/service.js'
import { cursorAfter, PAGE_LIMIT_DEFAULT } from '../src/api/paging.js'
import { fieldProblems, InputError, type ProblemCode, UTF8_RULE } from '../src/api/problem.js'
import {
  type OwnRunQuery,
  OwnRunRequest,
  type Run,
  RunRequest,
  type ScenarioDocument,
} from '../src/api/scenario.js'
import { choiceOf } from '../src/api/schema-words.js'
import type { Asked } from '../src/scenario/choices.js'
import { checkScenario, parseScenario } from '../src/scenario/document.js'
import { scenarioLibrary, summaryOf } from '../src/scenario/library.js'
import { TEXT_BYTES_MAX } from '../src/scenario/limits.js'
import { ScenarioError } from '../src/scenario/problems.js'
import { Runs } from '../src/scenario/runs.js'
import { type Answer, answerOnce } from './idempotency.js'
import { type RouteParts, serialAfter } from './parts.js'
import { checkQuery, type Input, Router } from './typed.js'

function documentOf(name: string): ScenarioDocument {
  const document = scenarioLibrary().get(name)
  if (document !== undefined) return document
  throw new InputError(
    [],
    'scenario-not-found',
    `There is no scenario "${name}"${didYouMean(name, [...scenarioLibrary().keys()]) || '.'}`,
  )
}

/** What is wrong with a document stands below `document` in the body, what with parameters, beside it. */
function asInput<T>(make: () => T, below: string, code: ProblemCode): T {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error
    const errors = error.problems.map(({ path, message, line }) => ({
      path: [below, path].filter((part) => part !== '').join('/'),
      message,
      ...(line === 0 ? {} : { line }),
    }))
    throw new InputError(errors, code)
  }
}

/** Which variant: its name is looked at here, where it has a place of its own. */
function askedOf({ variants = {} }: ScenarioDocument, body: Asking): Asked {
  const { variant, with: params } = body
  const names = Object.keys(variants)
  if (variant === undefined || names.includes(variant)) return { variant, params }
  const rule = names.length === 0 ? 'absent: the scenario has no variants' : choiceOf(names)
  throw new InputError([{ path: 'variant', message: `must be ${rule}${didYouMean(variant, names)}` }])
}

type Asking = z.output<typeof RunRequest>

/** The query may name the variant instead of the body; both may if they agree. */
function withQuery(body: Asking, { variant }: z.output<typeof OwnRunQuery>): Asking {
  if (variant === undefined || body.variant === variant) return body
  if (body.variant === undefined) return { ...body, variant }
  const message = `must be absent from the query, or "${body.variant}" as in the body`
  throw new InputError([{ path: 'variant', message }])
}

/** One page of runs, as they were begun, without what makes them long. */
function page(runs: Runs, { state, limit = PAGE_LIMIT_DEFAULT, cursor }: PageQuery) {
  const items: Omit<Run, 'reports'>[] = []
  let last = 0
  for (const { serial, run } of runs.after(serialAfter(cursor))) {
    if (state !== undefined && run.state !== state) continue
    if (items.length === limit) return { items, next_cursor: cursorAfter(last) }
    const { reports: _long, ...summary } = run
    items.push(summary)
    last = serial
  }
  return { items }
}
type PageQuery = Input<typeof operations.listRuns>['query']

/** A document as text, by itself. */
class YamlBody {
  constructor(readonly text: string) {}
}

interface OwnRun {
  readonly document: ScenarioDocument
  readonly asked: Asked
  readonly text?: string
}

/** `document` is looked at on its own: its mistakes are problems of their own. */
function ownRequest(body: unknown, query: z.output<typeof OwnRunQuery>): OwnRun {
  if (body instanceof YamlBody) {
    const { text } = body
    const read = asInput(() => parseScenario(text), '', 'invalid-scenario')
    return { document: read, asked: askedOf(read, query), text }
  }
  const { document, ...rest } = (
    typeof body === 'object' && body !== null ? body : {}
  ) as Partial<OwnRunRequest>
  const request = Array.isArray(body) ? undefined : rest
  const { data, error } = RunRequest.safeParse(request)
  if (error !== undefined) {
    throw new InputError(fieldProblems(error.issues, { schema: OwnRunRequest, value: request }))
  }
  const checked = asInput(() => checkScenario(document), 'document', 'invalid-scenario')
  return { document: checked, asked: askedOf(checked, withQuery(data, query)) }
}

export default async function scenarioRoutes(app: FastifyInstance, parts: RouteParts) {
  const router = new Router(app, parts.meter)
  const runs = new Runs()
  app.addHook('onClose', (_app, done) => {
    runs.stop()
    done()
  })

  const start = ({ document, asked, text }: OwnRun): Answer => {
    if (runs.isFull) throw new InputError([], 'limit-runs', 'As many runs wait as may; try again later.')
    const run = asInput(() => runs.start(document, asked, text), '', 'invalid-request')
    return { status: 202, text: JSON.stringify(run), location: `/v1/runs/${run.id}` }
  }
  const runOf = (rid: string) => {
    const run = runs.get(rid)
    if (run !== undefined) return run
    throw new InputError([], 'run-not-found', `There is no run "${rid}", or no longer.`)
  }

  router.on(operations.listScenarios, () => ({ items: [...scenarioLibrary().values()].map(summaryOf) }))
  router.on(operations.getScenario, ({ params }) => documentOf(params.name))
  router.on(operations.startRun, ({ params, body }, request, reply) => {
    const document = documentOf(params.name)
    answerOnce(parts.idempotency, reply, `run ${params.name}`, request.body, () =>
      start({ document, asked: askedOf(document, body) }),
    )
    return reply
  })
  // A scope of its own: nothing else takes YAML.
  await app.register(async (scope) => {
    const types = [YAML_TYPE, operations.TEXT_YAML_TYPE]
    const bounded = { parseAs: 'buffer', bodyLimit: TEXT_BYTES_MAX } as const
    scope.addContentTypeParser<Buffer>(types, bounded, (_request, body, done) => {
      if (isUtf8(body)) return done(null, new YamlBody(body.toString()))
      done(new InputError([{ path: '', message: UTF8_RULE }], 'invalid-scenario'))
    })
    new Router(scope, parts.meter).raw(operations.startOwnRun, (request, reply) => {
      const { body } = request
      const query = checkQuery(operations.startOwnRun, request) as z.output<typeof OwnRunQuery>
      // The key belongs to all that was asked.
      const whole = query.variant === undefined ? body : [query.variant, body]
      answerOnce(parts.idempotency, reply, 'run', whole, () => start(ownRequest(body, query)))
    })
  })
  router.on(operations.listRuns, ({ query }) => page(runs, query))
  router.on(operations.cancelRun, ({ params }) => runs.cancel(runOf(params.rid).id))
  router.on(operations.getRun, ({ params }) => runOf(params.rid))
  router.on(operations.getRunTrace, ({ params, query }, _request, reply) => {
    parts.outgoing.admit()
    const { id, reports } = runOf(params.rid)
    const done = reports.map(({ variant }) => variant)
    const text = runs.trace(id, query.variant ?? (done.length === 1 ? done[0] : ''))
    if (text === undefined) {
      const message = done.length === 0 ? 'must wait: none is done' : `must be one of ${done.join(', ')}`
      throw new InputError([{ path: 'variant', message }])
    }
    parts.outgoing.track(reply.raw, text)
    reply.header('content-type', NDJSON_TYPE)
    return reply.send(text)
  })
}
