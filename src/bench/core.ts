/** What a cycle costs the core of one profile, bare and watched by the auditor: `synicd bench`. */
import { Auditor } from '../audit/auditor.js'
import { Service } from '../engine/service.js'
import type { Partition } from '../synic/partition.js'
import type { ProfileName } from '../synic/profile.js'
import { CYCLES, type Cycle, Cycles, enlighten, VCPUS } from './cycles.js'
import { nsEach, type Spread, summary } from './timing.js'

export interface CycleCost {
  readonly what: string
  /** Ops of a cycle. */
  readonly ops: number
  /** Nanoseconds a cycle; of all rounds. */
  readonly bare: Spread
  readonly audited: Spread
}

const ROUNDS = 9
/** The part of the time in which the compiler may finish; and cycles that are timed at once then. */
const WARM_UP = 0.5
const PROBE = 1000

/** A partition with 64 vCPUs whose SynICs are up, that nobody watches. */
export function benchPartition(profile: ProfileName, cycle: Cycle): Partition {
  const host = new Service().create({ profile, vcpus: VCPUS, audit: 'off' })
  host.applyBatch([...enlighten(), ...(cycle.prepare ?? [])])
  return host.partition
}

/** Cycles that take that long, once they have run for a while. */
function countFor(run: (count: number) => void, ms: number): number {
  const endMs = performance.now() + ms * WARM_UP
  let ns = 1
  do ns = nsEach(PROBE, run)
  while (performance.now() < endMs)
  return Math.max(PROBE, Math.round((ms * (1 - WARM_UP) * 1e6) / ROUNDS / ns))
}

/** @param ms about how long it takes */
export function costOf(profile: ProfileName, cycle: Cycle, ms: number): CycleCost {
  const bare = new Cycles(benchPartition(profile, cycle), cycle.ops)
  const partition = benchPartition(profile, cycle)
  const watched = new Cycles(partition, cycle.ops)
  const auditor = new Auditor(partition)
  const runBare = (count: number) => bare.run(count)
  const runAudited = (count: number) => watched.runAudited(count, auditor)
  const counts = [countFor(runBare, ms / 2), countFor(runAudited, ms / 2)]
  // In turn: what holds up the machine holds up both.
  const pairs = Array.from({ length: ROUNDS }, () => [
    nsEach(counts[0], runBare),
    nsEach(counts[1], runAudited),
  ])
  const [bareNs, auditedNs] = [0, 1].map((which) => summary(pairs.map((pair) => pair[which])))
  return { what: cycle.what, ops: cycle.ops(0).length, bare: bareNs, audited: auditedNs }
}

export function cyclesOf(profile: ProfileName): Cycle[] {
  return CYCLES.filter(({ suits }) => suits === undefined || suits(profile))
}
