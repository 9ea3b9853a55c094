/** What a refusal must look like, as far as most tests care. */
import { expect } from 'vitest'
import type { Reply } from './contract.js'

/** @param at path of the first error; left out where no field is to blame */
export function expectProblem(reply: Reply, status: number, type: string, at?: string): void {
  expect({ status: reply.status, type: reply.body.type }).toEqual({ status, type: `/problems/${type}` })
  if (at === undefined) return
  const errors = reply.body.errors as { path: string; message: string }[]
  expect(errors[0]).toEqual({ path: at, message: expect.stringMatching(/\S/) })
}
