/** What the composition root hands to every route file, and the parameters that many of them take. */
import type { FastifyRequest } from 'fastify'
import { serialOf } from '../src/api/paging.js'
import { InputError } from '../src/api/problem.js'
import { U32_MAX, U32_RULE } from '../src/api/wire.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import type { Service } from '../src/engine/service.js'
import type { IdempotencyStore } from './idempotency.js'
import type { Outgoing } from './outgoing.js'
import type { HttpMeter } from './typed.js'

export interface RouteParts {
  readonly service: Service
  readonly meter: HttpMeter
  readonly idempotency: IdempotencyStore
  readonly outgoing: Outgoing
}

type Params = Readonly<Record<string, string>>

/** The partition a path names. */
export function hostOf(service: Service, request: FastifyRequest): PartitionHost {
  return service.get((request.params as Params).pid)
}

/** A number in a path, checked by hand as `integerText` does. */
export function numberOf(request: FastifyRequest, name: string, max = U32_MAX): number {
  const text = (request.params as Params)[name]
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0 && value <= max && String(value) === text) return value
  const message = `must be ${max === U32_MAX ? U32_RULE : `an integer from 0 to ${max}`}`
  throw new InputError([{ path: name, message }])
}

/** Where a page of a list begins: behind the item with this number. */
export function serialAfter(cursor: string | undefined): number {
  const serial = cursor === undefined ? 0 : serialOf(cursor)
  if (serial !== undefined) return serial
  throw new InputError([{ path: 'cursor', message: 'must be a next_cursor of this list' }], 'invalid-cursor')
}
