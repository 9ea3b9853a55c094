/**
 * Routes that are one op: some fields in the path, the rest in the body. Schema and hand check from one list.
 */
import { z } from 'zod'
import type { OpName } from '../synic/op.js'
import { didYouMean } from './did-you-mean.js'
import { BY, OP_FIELDS } from './op.js'
import { InputError } from './problem.js'
import { Name } from './wire.js'

export interface OpRoute {
  /** What the body may be; the hand check and the op's own encoder accept exactly the same. */
  readonly body: z.ZodType
  readonly bodyRequired: boolean
  /**
   * The op of a request. Unknown fields are refused here; values are checked where the op is encoded.
   * @throws InputError
   */
  opOf(path: Readonly<Record<string, unknown>>, body: unknown): Record<string, unknown>
}

export function opRoute(name: OpName, fromPath: readonly string[], id: string): OpRoute {
  const all = Object.entries(OP_FIELDS[name] as z.ZodRawShape)
  const own: z.ZodRawShape = Object.fromEntries(all.filter(([field]) => !fromPath.includes(field)))
  const shape = { ...own, by: z.enum(BY).optional(), actor: Name.optional() }
  const schema = z.strictObject(shape).meta({ id })
  const allowed = new Set(Object.keys(shape))
  const bodyRequired = !schema.safeParse({}).success
  return {
    body: bodyRequired ? schema : schema.optional(),
    bodyRequired,
    opOf(path, body) {
      const op: Record<string, unknown> = { op: name }
      for (const field in path) op[field] = path[field]
      if (body === undefined && !bodyRequired) return op
      if (typeof body !== 'object' || body === null || Array.isArray(body)) {
        throw new InputError([{ path: '', message: 'must be an object' }])
      }
      for (const field in body) {
        if (!allowed.has(field)) {
          const message = `must be absent${didYouMean(field, [...allowed])}`
          throw new InputError([{ path: field, message }])
        }
        op[field] = (body as Record<string, unknown>)[field]
      }
      return op
    },
  }
}
