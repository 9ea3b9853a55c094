/** A machine under audit: steps in short form or as wire ops, and what the auditor says of them. */
import { encodeOp } from '../../src/api/op-encode.js'
import { type Result, resultText } from '../../src/api/result.js'
import { Auditor } from '../../src/audit/auditor.js'
import type { Rule, Violation } from '../../src/audit/rule.js'
import { parseShort } from '../../src/scenario/short-form.js'
import { OpWriter } from '../../src/synic/op.js'
import type { Partition } from '../../src/synic/partition.js'
import { type MachineSetup, machine, type WireInput } from './machine.js'

export class AuditedMachine {
  readonly auditor: Auditor
  /** All that was reported, in order. */
  readonly violations: Violation[] = []
  readonly results: Result[] = []
  readonly #writer = new OpWriter()

  constructor(
    readonly partition: Partition,
    rules?: readonly Rule[],
  ) {
    this.auditor = new Auditor(partition, rules === undefined ? { deep: true } : { rules })
  }

  /** One op; returns its result. */
  do(op: WireInput): Result {
    this.#writer.clear()
    encodeOp(op, this.#writer, this.partition.names, 0)
    this.auditor.before(this.#writer.words, 0)
    this.partition.apply(this.#writer.words, 0)
    const result = JSON.parse(resultText(this.partition.effects)) as Result
    this.auditor.after()
    this.violations.push(...this.auditor.found)
    this.results.push(result)
    return result
  }

  /** Lines in short form (src/scenario/short-form.ts); `settle` judges liveness. */
  run(...lines: readonly string[]): this {
    for (const step of lines.flatMap(parseShort)) {
      if ('op' in step) this.do(step)
      else if (step.do === 'settle') this.violations.push(...this.auditor.settle())
      else throw new Error(`this machine cannot ${step.do}`)
    }
    return this
  }

  /** `rule actor register` of each violation, notes with a `?`. */
  said(): string[] {
    return this.violations.map(({ rule, severity, actor, msr }) => {
      const words = [severity === 'note' ? `${rule}?` : rule, actor, msr < 0 ? '' : msr.toString(16)]
      return words.filter((word) => word !== '').join(' ')
    })
  }
}

export function audited(setup: MachineSetup, ...rules: readonly Rule[]): AuditedMachine {
  return new AuditedMachine(machine(setup).partition, rules.length === 0 ? undefined : rules)
}
