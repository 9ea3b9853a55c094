// The core alone, one thread: nanoseconds for the cycles that guests and VMMs spend their time in.
import { benchPartition, cyclesOf } from '../src/bench/core.js'
import { type Cycle, Cycles, GSI_CYCLE, MESSAGE_CYCLE, SINT_WRITE, VCPUS } from '../src/bench/cycles.js'
import { rounds, summary } from '../src/bench/timing.js'
import type { ProfileName } from '../src/synic/profile.js'
import type { Row } from './measure.js'

const ITERATIONS = 400_000

/** At most so many nanoseconds. */
const GOALS: ReadonlyMap<Cycle, number> = new Map([
  [SINT_WRITE, 60],
  [MESSAGE_CYCLE, 250],
  [GSI_CYCLE, 120],
])

/** The least a store of a 64-bit register can cost here: two words in a slab, after a range check. */
function slabStore(count: number): void {
  const slab = new Uint32Array(VCPUS * 128)
  for (let i = 0; i < count; i++) {
    const at = (i % VCPUS) * 128 + 2 * (i & 15)
    if (at < 0 || at + 1 >= slab.length) throw new RangeError('out of range')
    slab[at] = i
    slab[at + 1] = 0
  }
}

function measure(profile: ProfileName, cycle: Cycle): Row {
  const cycles = new Cycles(benchPartition(profile, cycle), cycle.ops)
  const each = summary(rounds(ITERATIONS, (count) => cycles.run(count)))
  const goalNs = GOALS.get(cycle)
  const goal = goalNs === undefined ? {} : { goal: `<= ${goalNs} ns`, met: each.median <= goalNs }
  return { what: `${profile}: ${cycle.what}`, unit: 'ns', ...each, ...goal }
}

/**
 * Every cycle of one profile. Profiles run in processes of their own, so that none warms up another's code.
 */
export function coreRows(profile: ProfileName): Row[] {
  const store = summary(rounds(ITERATIONS, slabStore))
  return [
    { what: `${profile}: floor: checked store of two words`, unit: 'ns', ...store },
    ...cyclesOf(profile).map((cycle) => measure(profile, cycle)),
  ]
}
