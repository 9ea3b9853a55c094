/** Idempotency-Key: which operations take it, and what it may be. */
import { z } from 'zod'
import type { Operation } from './operation.js'

export const IDEMPOTENCY_KEY = 'idempotency-key'
export const KEY_RULE = '1 to 128 visible characters'

export const IdempotencyKey = z.strictObject({
  [IDEMPOTENCY_KEY]: z
    .string({ error: KEY_RULE })
    .min(1, { error: KEY_RULE })
    .max(128, { error: KEY_RULE })
    .regex(/^[\x21-\x7e]+$/, { error: KEY_RULE })
    .optional()
    .meta({ description: 'The same key and body again: the first answer again, and nothing is done twice.' }),
})

/** Is a request with a key that came before answered as it was then? */
export function takesKey({ headers }: Operation): boolean {
  return headers !== undefined && IDEMPOTENCY_KEY in headers.shape
}
