/** A batch of ops: its schema, and the hand check of its outer shape that the route uses instead. */
import { z } from 'zod'
import { didYouMean } from './did-you-mean.js'
import { Op } from './op.js'
import { InputError } from './problem.js'
import { Result } from './result.js'
import { NAME_PATTERN, NAME_RULE, Name } from './wire.js'

export const OpBatch = z
  .strictObject({
    ops: z.array(Op).meta({ description: 'At most 10,000 unless the server is configured otherwise.' }),
    stop_on_fault: z
      .boolean()
      .optional()
      .meta({ description: 'Apply nothing behind the first op that faults or fails.' }),
    actor: Name.optional().meta({ description: 'Who acts where an op does not say.' }),
  })
  .meta({
    id: 'OpBatch',
    examples: [{ ops: [{ op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x1001' }], stop_on_fault: true }],
  })

export const OpBatchResult = z
  .object({
    seq: z.int().min(1).meta({ description: 'Number of the first op.' }),
    results: z.array(Result).meta({ description: 'One for each op applied.' }),
  })
  .meta({ id: 'OpBatchResult' })

export interface Batch {
  readonly ops: readonly unknown[]
  readonly stopOnFault: boolean
  readonly actor: string | undefined
}

const FIELDS = new Set(['ops', 'stop_on_fault', 'actor'])

/**
 * The parts of a batch. Ops themselves are checked where they are encoded.
 * @throws InputError
 */
export function readBatch(body: unknown): Batch {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new InputError([{ path: '', message: 'must be an object with a list "ops"' }])
  }
  const { ops, stop_on_fault: stopOnFault = false, actor } = body as Record<string, unknown>
  for (const field in body) if (!FIELDS.has(field)) refuse(field, `absent${didYouMean(field, [...FIELDS])}`)
  if (!Array.isArray(ops)) refuse('ops', 'a list of ops')
  if (typeof stopOnFault !== 'boolean') refuse('stop_on_fault', 'true or false')
  if (actor !== undefined && (typeof actor !== 'string' || !NAME_PATTERN.test(actor)))
    refuse('actor', NAME_RULE)
  return { ops, stopOnFault, actor }
}

function refuse(path: string, rule: string): never {
  throw new InputError([{ path, message: `must be ${rule}` }])
}
