// Cost of one op as the number of partitions grows, visited in turn: it should stay flat.

import { encodeOp } from '../src/api/op-encode.js'
import { median, nsEach, summary } from '../src/bench/timing.js'
import { OpWriter } from '../src/synic/op.js'
import type { Partition } from '../src/synic/partition.js'
import { machine } from '../test/support/machine.js'
import type { Row } from './measure.js'

const OPS = 400_000
const ROUNDS = 9
const COUNTS = [1, 1000, 10_000]

/** A message cycle: what a guest and its VMM do most. */
const CYCLE = [
  { op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '5a'.repeat(32) },
  { op: 'apic.ack', vcpu: 0 },
  { op: 'message.complete', vcpu: 0, sint: 2 },
  { op: 'apic.eoi', vcpu: 0 },
]

function prepared(): Partition {
  const test = machine({ profile: 'kvm-synic2' })
  test.write('SIMP', 0x100001)
  test.write('SINT2', 0xf3)
  return test.partition
}

/** @param visit cycles done in one partition before the next has its turn */
function runOver(partitions: readonly Partition[], visit: number): (count: number) => void {
  const writer = new OpWriter()
  const starts = CYCLE.map((op) => {
    const at = writer.length
    encodeOp(op, writer, partitions[0].names, 0)
    return at
  })
  const { words } = writer
  let next = 0
  return (count) => {
    for (let done = 0; done < count; done += visit * starts.length) {
      const partition = partitions[next]
      next = (next + 1) % partitions.length
      for (let cycle = 0; cycle < visit; cycle++) {
        for (let i = 0; i < starts.length; i++) partition.apply(words, starts[i])
      }
    }
  }
}

/** Rounds of every count in turn, so that a slow moment of the machine meets them all. */
export function scaleRows(): Row[] {
  const all = Array.from({ length: Math.max(...COUNTS) }, prepared)
  return [1, 16].flatMap((visit) => {
    const runs = COUNTS.map((count) => runOver(all.slice(0, count), visit))
    for (const run of runs) run(OPS)
    const times = runs.map((): number[] => [])
    for (let round = 0; round < ROUNDS; round++) {
      runs.forEach((run, i) => {
        times[i].push(nsEach(OPS, run))
      })
    }
    return COUNTS.map((count, i) => {
      const what = `op with ${count} partitions, ${visit * CYCLE.length} ops a visit`
      const row = { what, unit: 'ns', ...summary(times[i]) }
      if (i === 0) return row
      const ratio = median(times[i].map((time, round) => time / times[0][round]))
      return { ...row, ratio, baseline: 'the same with 1' }
    })
  })
}
