/** Every operation of the service, in the order of openapi.yaml. */
import type { Operation } from '../operation.js'
import * as audit from './audit.js'
import * as devices from './devices.js'
import * as partitions from './partitions.js'
import * as scenarios from './scenarios.js'
import * as service from './service.js'
import * as streams from './streams.js'
import * as vcpus from './vcpus.js'

function isOperation(value: object | string | number): value is Operation {
  return typeof value === 'object' && 'method' in value
}

const METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** The order of a module's exports depends on who loads it; this one does not. */
function inOrder(a: Operation, b: Operation): number {
  if (a.path !== b.path) return a.path < b.path ? -1 : 1
  return METHODS.indexOf(a.method) - METHODS.indexOf(b.method)
}

export const OPERATIONS: readonly Operation[] = [
  partitions,
  vcpus,
  devices,
  streams,
  audit,
  scenarios,
  service,
].flatMap((part) => Object.values<object | string | number>(part).filter(isOperation).sort(inOrder))
