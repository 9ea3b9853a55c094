/** What a correct machine never does: an op whose outcome is spoiled before the auditor sees it. */
import { encodeOp } from '../../src/api/op-encode.js'
import type { Machine } from '../../src/synic/machine.js'
import { OpWriter } from '../../src/synic/op.js'
import type { AuditedMachine } from './audited.js'
import type { WireInput } from './machine.js'

const writer = new OpWriter()

export function doctored(
  m: AuditedMachine,
  op: WireInput,
  spoil: (machine: Machine) => void,
): AuditedMachine {
  writer.clear()
  encodeOp(op, writer, m.partition.names, 0)
  m.auditor.before(writer.words, 0)
  m.partition.apply(writer.words, 0)
  spoil(m.partition.machine)
  m.auditor.after()
  m.violations.push(...m.auditor.found)
  return m
}
