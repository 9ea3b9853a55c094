/** Which register file an op with a SINT speaks of. */
import { NESTED_FILE } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import { FLAG_NESTED } from '../synic/op.js'
import type { OpView } from './rule.js'

/** The register file of an op that names a vCPU and a SINT; -1 where there is none. */
export function fileOfOp(m: Machine, op: OpView): number {
  const v = m.rowOf(op.vcpu)
  if (v < 0 || (op.words[op.at] & FLAG_NESTED) === 0) return v
  return m.nested ? v + NESTED_FILE : -1
}
