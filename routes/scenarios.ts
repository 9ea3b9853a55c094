/** Scenarios: the library, runs of it or of the client's own, and their traces. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { NDJSON_TYPE } from '../src/api/operations/partitions.js'
import * as operations from '../src/api/operations/scenarios.js'
import { fieldProblems, InputError } from '../src/api/problem.js'
import {
  type OwnRunRequest,
  type ParamValues,
  RunRequest,
  type ScenarioDocument,
} from '../src/api/scenario.js'
import { checkScenario } from '../src/scenario/document.js'
import { scenarioLibrary, summaryOf } from '../src/scenario/library.js'
import { ScenarioError } from '../src/scenario/problems.js'
import { Runs } from '../src/scenario/runs.js'
import type { RouteParts } from './parts.js'
import { Router, sendJson } from './typed.js'

function documentOf(name: string): ScenarioDocument {
  const document = scenarioLibrary().get(name)
  if (document !== undefined) return document
  throw new InputError([], 'scenario-not-found', `There is no scenario "${name}".`)
}

/** What is wrong with a document stands below `document` in the body, what with parameters, beside it. */
function asInput<T>(make: () => T, below: string): T {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error
    const errors = error.problems.map(({ path, message }) => ({
      path: [below, path].filter((part) => part !== '').join('/'),
      message,
    }))
    throw new InputError(errors, below === '' ? 'invalid-request' : 'invalid-scenario')
  }
}

/** `document` is looked at on its own: its mistakes are problems of their own. */
function ownRequest(body: unknown): { document: ScenarioDocument; params: ParamValues | undefined } {
  const { document, ...rest } = (
    typeof body === 'object' && body !== null ? body : {}
  ) as Partial<OwnRunRequest>
  const { data, error } = RunRequest.safeParse(Array.isArray(body) ? undefined : rest)
  if (error !== undefined) throw new InputError(fieldProblems(error.issues))
  return { document: asInput(() => checkScenario(document), 'document'), params: data.with }
}

export default async function scenarioRoutes(app: FastifyInstance, parts: RouteParts) {
  const router = new Router(app, parts.meter)
  const runs = new Runs()
  app.addHook('onClose', (_app, done) => {
    runs.stop()
    done()
  })

  const start = (document: ScenarioDocument, params: ParamValues | undefined, reply: FastifyReply): void => {
    if (runs.isFull) throw new InputError([], 'limit-runs', 'As many runs wait as may; try again later.')
    const run = asInput(() => runs.start(document, params), '')
    reply.code(202)
    reply.header('location', `/v1/runs/${run.id}`)
    sendJson(reply, run)
  }
  const runOf = (rid: string) => {
    const run = runs.get(rid)
    if (run !== undefined) return run
    throw new InputError([], 'run-not-found', `There is no run "${rid}", or no longer.`)
  }

  router.on(operations.listScenarios, () => ({ items: [...scenarioLibrary().values()].map(summaryOf) }))
  router.on(operations.getScenario, ({ params }) => documentOf(params.name))
  router.on(operations.startRun, ({ params, body }, _request, reply) => {
    start(documentOf(params.name), body.with, reply)
    return reply
  })
  router.raw(operations.startOwnRun, (request, reply) => {
    const { document, params } = ownRequest(request.body)
    start(document, params, reply)
  })
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
