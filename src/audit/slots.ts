/** Which register file an op with a SINT speaks of. */
import { NESTED_FILE } from '../synic/layout.js'
import type { Machine } from '../synic/machine.js'
import { FLAG_NESTED, OP_VCPU_RESET } from '../synic/op.js'
import type { Desk, OpView } from './rule.js'

/** Forgets what is kept by file * `perFile`: of the vCPU that the op resets, and of another op all of it. */
export function forgetReset(
  { m, op }: Desk,
  kept: { keys(): Iterable<number>; delete(key: number): unknown; clear(): void },
  perFile: number,
): void {
  if (op.code !== OP_VCPU_RESET) return kept.clear()
  const v = m.rowOf(op.vcpu)
  for (const key of [...kept.keys()]) if (m.rowOfFile(Math.floor(key / perFile)) === v) kept.delete(key)
}

/** The register file of an op that names a vCPU and a SINT; -1 where there is none. */
export function fileOfOp(m: Machine, op: OpView): number {
  const v = m.rowOf(op.vcpu)
  if (v < 0 || (op.words[op.at] & FLAG_NESTED) === 0) return v
  return m.nested ? v + NESTED_FILE : -1
}
