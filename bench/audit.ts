// What watching costs: the same cycles with and without the auditor that `observe` runs, in turn; of the bare
// core, and in batches through the engine, as every op of a client comes.
import { encodeOp } from '../src/api/op-encode.js'
import type { AuditMode } from '../src/api/violation.js'
import { Auditor } from '../src/audit/auditor.js'
import { benchPartition } from '../src/bench/core.js'
import {
  type Cycle,
  Cycles,
  enlighten,
  GSI_CYCLE,
  MESSAGE_CYCLE,
  SINT_WRITE,
  VCPUS,
} from '../src/bench/cycles.js'
import { median, nsEach, summary } from '../src/bench/timing.js'
import { Service } from '../src/engine/service.js'
import { OpWriter } from '../src/synic/op.js'
import type { ProfileName } from '../src/synic/profile.js'
import { WordBuffer } from '../src/synic/word-buffer.js'
import type { Row } from './measure.js'

const ITERATIONS = 200_000
const ROUNDS = 9
const GOAL = 1.5
/** QEMU's rests on KVM's, and has routes of its own besides. */
const PROFILES: readonly ProfileName[] = ['kvm-synic2', 'qemu']

const OWNED_WRITE: Cycle = {
  what: 'SINT write by the driver that owns it',
  ops: (vcpu) => [{ op: 'msr.write', vcpu, msr: 'SINT2', value: 0xf3, actor: 'vmbus' }],
}
const CYCLES: readonly Cycle[] = [SINT_WRITE, OWNED_WRITE, MESSAGE_CYCLE, GSI_CYCLE]

/** Both in turn, a round each. */
function pairsOf(bare: (count: number) => void, audited: (count: number) => void, count: number) {
  for (const run of [bare, audited, bare, audited]) run(count)
  return Array.from({ length: ROUNDS }, () => [nsEach(count, bare), nsEach(count, audited)] as const)
}

function rowsOf(what: string, pairs: readonly (readonly [number, number])[]): Row[] {
  const ratio = median(pairs.map(([without, withAudit]) => withAudit / without))
  return [
    { what: `${what}, audit off`, unit: 'ns', ...summary(pairs.map(([without]) => without)) },
    {
      what: `${what}, observed`,
      unit: 'ns',
      ...summary(pairs.map(([, withAudit]) => withAudit)),
      ratio,
      baseline: 'audit off',
      goal: `<= ${GOAL}`,
      met: ratio <= GOAL,
    },
  ]
}

function compare(profile: ProfileName, cycle: Cycle): Row[] {
  const plain = new Cycles(benchPartition(profile, cycle), cycle.ops)
  const partition = benchPartition(profile, cycle)
  const watched = new Cycles(partition, cycle.ops)
  const auditor = new Auditor(partition)
  const audited = (count: number) => watched.runAudited(count, auditor)
  return rowsOf(
    `${profile}: ${cycle.what}`,
    pairsOf((count) => plain.run(count), audited, ITERATIONS),
  )
}

/** A batch of records with one cycle on each vCPU, for a partition of its own. */
function engine(profile: ProfileName, audit: AuditMode, cycle: Cycle): (count: number) => void {
  const host = new Service().create({ id: audit, profile, vcpus: VCPUS, audit })
  host.applyBatch(enlighten())
  const writer = new OpWriter()
  let ops = 0
  for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
    for (const op of cycle.ops(vcpu)) {
      encodeOp(op, writer, host.partition.names, 0)
      ops++
    }
  }
  const nameOf = (name: number) => host.partition.names.text(name)
  const batch = { words: writer.words, from: 0, end: writer.length, count: ops, nameOf }
  const out = new WordBuffer(16 * 1024)
  return (count) => {
    for (let done = 0; done < count; done += VCPUS) {
      out.clear()
      host.applyRecords(batch, {}, out)
    }
  }
}

function compareInEngine(profile: ProfileName, cycle: Cycle): Row[] {
  const [bare, audited] = (['off', 'observe'] as const).map((audit) => engine(profile, audit, cycle))
  const what = `${profile}, in batches through the engine: ${cycle.what}`
  return rowsOf(what, pairsOf(bare, audited, ITERATIONS / 4))
}

export function auditRows(): Row[] {
  return PROFILES.flatMap((profile) =>
    [compare, compareInEngine].flatMap((each) => CYCLES.flatMap((cycle) => each(profile, cycle))),
  )
}
