/** A hosted partition, as the sessions of its streams see it. */
import { PROBLEMS, problemType } from '../src/api/problem.js'
import { EngineError } from '../src/engine/errors.js'
import type { PartitionHost } from '../src/engine/partition-host.js'
import type { StreamPartition } from '../src/streams/protocol.js'

/** @param actor who acts in ops that name no actor */
export function streamPartition(host: PartitionHost, actor: string | undefined): StreamPartition {
  const { notifications } = host
  const goesOn = { actor, stopOnFault: false }
  const stops = { actor, stopOnFault: true }
  return {
    id: host.id,
    createdAt: host.createdAt,
    get lastN() {
      return notifications.lastN
    },
    get firstN() {
      return notifications.firstN
    },
    run: (from, to) => notifications.run(from, to),
    settle: () => notifications.settle(),
    applyBatch: (ops, stopOnFault) => host.applyBatch(ops, stopOnFault ? stops : goesOn),
    applyRecords: (batch, stopOnFault, out) => host.applyRecords(batch, stopOnFault ? stops : goesOn, out),
    whenAwake: (vcpus, done) => host.sleepers.whenAwake(vcpus, done),
    describe: (error) => {
      if (!(error instanceof EngineError)) return undefined
      const { code, message, errors } = error
      return { type: problemType(code), ...PROBLEMS[code], detail: message, errors }
    },
  }
}
