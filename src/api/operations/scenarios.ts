/** Operations on scenarios: the library, runs of it or of one's own, what came of them. */
import { IdempotencyKey } from '../idempotency-key.js'
import type { Operation, Reply } from '../operation.js'
import * as s from '../scenario.js'
import { NDJSON_TYPE } from './partitions.js'
import { YAML_TYPE } from './service.js'

/** What it was called before it had a registered name. */
export const TEXT_YAML_TYPE = 'text/yaml'

const accepted = {
  description: 'The run has begun.',
  schema: s.Run,
  headers: { location: 'Its path.' },
} as const satisfies Reply

export const listScenarios = {
  id: 'listScenarios',
  method: 'GET',
  path: '/v1/scenarios',
  tag: 'scenarios',
  summary: 'The library of scenarios',
  replies: { 200: { description: 'All of them, by name.', schema: s.ScenarioList } },
  problems: [],
  plane: 'control',
} as const satisfies Operation

export const getScenario = {
  id: 'getScenario',
  method: 'GET',
  path: '/v1/scenarios/{name}',
  tag: 'scenarios',
  summary: 'One scenario, as a document',
  params: s.ScenarioPath,
  replies: { 200: { description: 'The document.', schema: s.ScenarioDocument } },
  problems: ['scenario-not-found'],
  plane: 'control',
} as const satisfies Operation

export const startRun = {
  id: 'startRun',
  method: 'POST',
  path: '/v1/scenarios/{name}/runs',
  tag: 'scenarios',
  summary: 'Run a scenario of the library',
  description: 'Answers at once; `GET` on its `Location` tells how far it is, and what came of it.',
  params: s.ScenarioPath,
  headers: IdempotencyKey,
  body: { schema: s.RunRequest, required: false },
  replies: { 202: accepted },
  problems: ['scenario-not-found', 'limit-runs'],
  plane: 'control',
} as const satisfies Operation

export const startOwnRun = {
  id: 'startOwnRun',
  method: 'POST',
  path: '/v1/runs',
  tag: 'scenarios',
  summary: "Run a scenario of one's own",
  description:
    'The document is that of `docs/scenarios.md`: as JSON beside its parameters, or as the YAML text that ' +
    '`synicd scenario run` takes, by itself; the query may then name a variant. Problems of a text have ' +
    'lines. The server does not keep it.',
  query: s.OwnRunQuery,
  headers: IdempotencyKey,
  body: { schema: s.OwnRunRequest, texts: [YAML_TYPE, TEXT_YAML_TYPE], required: true },
  replies: { 202: accepted },
  problems: ['invalid-scenario', 'limit-runs'],
  plane: 'control',
} as const satisfies Operation

export const listRuns = {
  id: 'listRuns',
  method: 'GET',
  path: '/v1/runs',
  tag: 'scenarios',
  summary: 'Runs that are kept, in the order they were begun, without their reports',
  query: s.RunQuery,
  replies: { 200: { description: 'One page.', schema: s.RunList } },
  problems: ['invalid-cursor'],
  plane: 'control',
} as const satisfies Operation

export const cancelRun = {
  id: 'cancelRun',
  method: 'DELETE',
  path: '/v1/runs/{rid}',
  tag: 'scenarios',
  summary: 'Cancel a run',
  description:
    'It ends before its next op, and makes room for another. It is still told of, with the variants that ' +
    'were done. One that has ended stays as it is.',
  params: s.RunPath,
  replies: { 200: { description: 'The run as it is now.', schema: s.Run } },
  problems: ['run-not-found'],
  plane: 'control',
} as const satisfies Operation

export const getRun = {
  id: 'getRun',
  method: 'GET',
  path: '/v1/runs/{rid}',
  tag: 'scenarios',
  summary: 'How far a run is, and what came of it',
  params: s.RunPath,
  replies: { 200: { description: 'The run, with a report for each variant that is done.', schema: s.Run } },
  problems: ['run-not-found'],
  plane: 'control',
} as const satisfies Operation

export const getRunTrace = {
  id: 'getRunTrace',
  method: 'GET',
  path: '/v1/runs/{rid}/trace',
  tag: 'scenarios',
  summary: 'The ops of a variant that is done: a trace file that `synicd replay` takes',
  params: s.RunPath,
  query: s.RunTraceQuery,
  replies: { 200: { description: 'The trace.', schema: s.TraceText, type: NDJSON_TYPE } },
  problems: ['run-not-found'],
  plane: 'control',
} as const satisfies Operation
