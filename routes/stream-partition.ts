/** A hosted partition, as the sessions of its streams see it. */
import { PROBLEMS, problemType } from '../src/api/problem.js'
import { EngineError } from '../src/engine/errors.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import type { StreamPartition } from '../src/streams/protocol.js'

/** @param actor who acts in ops that name no actor */
export function streamPartition(host: PartitionHost, actor: string | undefined): StreamPartition {
  const { notifications } = host
  return {
    id: host.id,
    get lastN() {
      return notifications.lastN
    },
    get firstN() {
      return notifications.firstN
    },
    runs: (from, to) => notifications.runs(from, to),
    settle: () => notifications.settle(),
    applyBatch: (ops, stopOnFault) => host.applyBatch(ops, { actor, stopOnFault }),
    applyRecords: (batch, stopOnFault, out) => host.applyRecords(batch, { actor, stopOnFault }, out),
    whenAwake: (vcpus, done) => host.sleepers.whenAwake(vcpus, done),
    describe: (error) => {
      if (!(error instanceof EngineError)) return undefined
      const { code, message, errors } = error
      return { type: problemType(code), ...PROBLEMS[code], detail: message, errors }
    },
  }
}
