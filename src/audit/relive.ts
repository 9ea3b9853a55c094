/** An auditor of a partition that was restored or forked: it learns what it knows from the ops before. */
import { Machine } from '../synic/machine.js'
import type { Partition } from '../synic/partition.js'
import type { Auditor } from './auditor.js'

/** An op of the past, a record at `at`; or null where liveness was judged. */
export type PastStep = { readonly seq: number; readonly words: Int32Array; readonly at: number } | null

/**
 * Applies the ops once more, from the creation on, before the eyes of a new auditor; then puts back
 * the state that it had. What is found in them has been told before, and is not told again.
 * @param past all ops from the first on; they name actors by the numbers that `partition.names` has
 * @param begin makes the auditor, of the partition as it was created
 */
export function relive(partition: Partition, past: Iterable<PastStep>, begin: () => Auditor): Auditor {
  const { machine, seq } = partition
  const present = new Machine(machine.config, machine.effects)
  present.become(machine)
  machine.become(new Machine(machine.config, machine.effects))
  const auditor = begin()
  for (const step of past) {
    if (step === null) auditor.settle()
    else {
      // Numbers may be left out: a look from outside takes one, too.
      partition.seq = step.seq - 1
      auditor.before(step.words, step.at)
      partition.apply(step.words, step.at)
      auditor.after()
    }
  }
  machine.become(present)
  partition.seq = seq
  auditor.restored()
  return auditor
}
