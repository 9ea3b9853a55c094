/**
 * Method and path of every operation, and the content type of its reply if that is not JSON. The compiler
 * holds the table to `src/api/operations`: nothing can be missing or differ. Written out because the
 * operations themselves bring zod along, which would make a browser's bundle thirty times as large.
 */
import type * as audit from '../api/operations/audit.js'
import type * as devices from '../api/operations/devices.js'
import type * as partitions from '../api/operations/partitions.js'
import type * as scenarios from '../api/operations/scenarios.js'
import type * as service from '../api/operations/service.js'
import type * as vcpus from '../api/operations/vcpus.js'

type Modules = typeof partitions &
  typeof vcpus &
  typeof devices &
  typeof audit &
  typeof scenarios &
  typeof service

/** Every operation of the service by its id, as the schemas describe it. */
export type Operations = {
  [K in keyof Modules as Modules[K] extends { readonly method: string } ? K : never]: Modules[K]
}

export type OperationId = keyof Operations

type Reply<Id extends OperationId> = Operations[Id]['replies'][keyof Operations[Id]['replies']]

type OtherType<R> = R extends { readonly type: infer Type extends string } ? ` ${Type}` : ''

type Endpoint<Id extends OperationId> =
  `${Operations[Id]['method']} ${Operations[Id]['path']}${OtherType<Reply<Id>>}`

export const ENDPOINTS = {
  createPartition: 'POST /v1/partitions',
  listPartitions: 'GET /v1/partitions',
  getPartition: 'GET /v1/partitions/{pid}',
  patchPartition: 'PATCH /v1/partitions/{pid}',
  deletePartition: 'DELETE /v1/partitions/{pid}',
  postOps: 'POST /v1/partitions/{pid}/ops',
  getSnapshot: 'GET /v1/partitions/{pid}/snapshot',
  forkPartition: 'POST /v1/partitions/{pid}/fork',
  getLog: 'GET /v1/partitions/{pid}/log application/x-ndjson',
  listVcpus: 'GET /v1/partitions/{pid}/vcpus',
  getVcpu: 'GET /v1/partitions/{pid}/vcpus/{vp}',
  listMsrs: 'GET /v1/partitions/{pid}/vcpus/{vp}/msrs',
  readMsr: 'GET /v1/partitions/{pid}/vcpus/{vp}/msrs/{msr}',
  writeMsr: 'PUT /v1/partitions/{pid}/vcpus/{vp}/msrs/{msr}',
  getMessages: 'GET /v1/partitions/{pid}/vcpus/{vp}/messages',
  postMessage: 'POST /v1/partitions/{pid}/vcpus/{vp}/messages',
  completeMessage: 'POST /v1/partitions/{pid}/vcpus/{vp}/messages/{sint}/complete',
  getEvents: 'GET /v1/partitions/{pid}/vcpus/{vp}/events',
  signalEvent: 'POST /v1/partitions/{pid}/vcpus/{vp}/events',
  clearEvent: 'DELETE /v1/partitions/{pid}/vcpus/{vp}/events/{sint}/{flag}',
  ackInterrupt: 'POST /v1/partitions/{pid}/vcpus/{vp}/apic/ack',
  endInterrupt: 'POST /v1/partitions/{pid}/vcpus/{vp}/apic/eoi',
  getRoutes: 'GET /v1/partitions/{pid}/gsi-routes',
  putRoutes: 'PUT /v1/partitions/{pid}/gsi-routes',
  assertGsi: 'POST /v1/partitions/{pid}/gsis/{gsi}/assert',
  bindIrqfd: 'PUT /v1/partitions/{pid}/irqfds/{gsi}',
  unbindIrqfd: 'DELETE /v1/partitions/{pid}/irqfds/{gsi}',
  listPorts: 'GET /v1/partitions/{pid}/ports',
  createPort: 'POST /v1/partitions/{pid}/ports',
  deletePort: 'DELETE /v1/partitions/{pid}/ports/{port}',
  listConnections: 'GET /v1/partitions/{pid}/connections',
  createConnection: 'POST /v1/partitions/{pid}/connections',
  deleteConnection: 'DELETE /v1/partitions/{pid}/connections/{connection}',
  readMemory: 'GET /v1/partitions/{pid}/memory/{gpa} application/octet-stream',
  writeMemory: 'PUT /v1/partitions/{pid}/memory/{gpa}',
  getClock: 'GET /v1/partitions/{pid}/clock',
  advanceClock: 'POST /v1/partitions/{pid}/clock',
  listViolations: 'GET /v1/partitions/{pid}/violations',
  listScenarios: 'GET /v1/scenarios',
  getScenario: 'GET /v1/scenarios/{name}',
  startRun: 'POST /v1/scenarios/{name}/runs',
  startOwnRun: 'POST /v1/runs',
  listRuns: 'GET /v1/runs',
  cancelRun: 'DELETE /v1/runs/{rid}',
  getRun: 'GET /v1/runs/{rid}',
  getRunTrace: 'GET /v1/runs/{rid}/trace application/x-ndjson',
  livez: 'GET /livez',
  readyz: 'GET /readyz',
  getMetrics: 'GET /metrics text/plain',
  getOpenapi: 'GET /openapi.yaml application/yaml',
  getAsyncapi: 'GET /asyncapi.yaml application/yaml',
  getDocs: 'GET /docs text/html',
  getIndex: 'GET /',
} as const satisfies { readonly [Id in OperationId]: Endpoint<Id> }
