/** I19: what was restored goes on like the original, and a difference is named. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { encodeOp } from '../../src/api/op-encode.js'
import { differsAfter } from '../../src/audit/rules/snapshot-complete.js'
import { parseShort } from '../../src/scenario/short-form.js'
import { forkPartition } from '../../src/synic/fork.js'
import { FLAGS, MSG_PENDING_SHIFT } from '../../src/synic/layout.js'
import { OpWriter } from '../../src/synic/op.js'
import type { Partition } from '../../src/synic/partition.js'
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import { audited } from '../support/audited.js'
import type { WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SINT3=0xf4 SCONTROL=1'

function encoded(partition: Partition, ops: readonly WireInput[]): OpWriter {
  const writer = new OpWriter()
  for (const op of ops) encodeOp(op, writer, partition.names, 0)
  return writer
}

function continued(one: Partition, other: Partition, lines: readonly string[]) {
  const ops = lines.flatMap(parseShort).filter((step): step is WireInput => 'op' in step)
  const { words, length } = encoded(one, ops)
  return differsAfter(one, other, words, length)
}

const WAITING = [
  'post v0 s2 t=1 #A',
  'post v0 s2 t=1 #B',
  'v0 x STIMER0_CONFIG=0x20001 STIMER0_COUNT=5',
  'advance 9',
]
const GO_ON = [
  'take v0',
  'done v0 s2',
  'eoi v0',
  'done v0 s2',
  'attach SIMP by who',
  'advance 100',
  'done v0 s2',
]

it.each(['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const)(
  'on %s a restored partition goes on alike',
  (profile) => {
    const { partition } = audited({ profile }).run(UP, ...WAITING)
    expect(continued(partition, restorePartition(savePartition(partition)), GO_ON)).toBeUndefined()
  },
)

it('so does any other, whatever comes next', () => {
  const run = fc.property(randomSetup, randomOps(40), randomOps(20), (setup, before, after) => {
    const m = audited(setup)
    for (const op of before) m.do(op)
    const restored = restorePartition(savePartition(m.partition))
    const { words, length } = encoded(m.partition, after)
    expect(differsAfter(forkPartition(m.partition), restored, words, length)).toBeUndefined()
  })
  holds(run, 60)
})

it('so does one with drivers attached, whose names come in another order', () => {
  const m = audited({ profile: 'kvm' }).run('claim 0x10000 by mshv', 'attach SIMP by vmbus')
  const restored = restorePartition(savePartition(m.partition))
  const { words, length } = encoded(m.partition, [{ op: 'page.claim', gpa: 0x1_0000, actor: 'vmbus' }])
  expect(differsAfter(forkPartition(m.partition), restored, words, length)).toBeUndefined()
})

it('names the place that was forgotten', () => {
  const { partition } = audited({ profile: 'kvm-synic2' }).run(UP, ...WAITING)
  const restored = restorePartition(savePartition(partition))
  restored.machine.w[FLAGS] &= ~(1 << MSG_PENDING_SHIFT)
  expect(differsAfter(partition, restored)).toMatchObject({ index: -1, where: 'vcpus.0.flags' })
})

it('a queue that was not saved', () => {
  const { partition } = audited({ profile: 'tlfs' }).run(UP, ...WAITING)
  const restored = restorePartition({ ...savePartition(partition), queues: [] })
  expect(differsAfter(partition, restored)).toMatchObject({ index: -1, where: 'queues.0', other: 'nothing' })
})

it('names the op whose answers differ', () => {
  const { partition } = audited({ profile: 'openvmm' }).run(UP)
  const other = forkPartition(partition)
  const apply = other.apply.bind(other)
  other.apply = (words, at) => {
    apply(words, at)
    other.effects.vector ^= 1
  }
  const found = continued(partition, other, ['v0 x SINT2?', 'post v0 s2 t=1', 'take v0'])
  expect(found).toMatchObject({ index: 2, where: 'the answer to apic.ack' })
})

it('a deadline that was not kept', () => {
  const { partition } = audited({ profile: 'tlfs' }).run(UP)
  const other = forkPartition(partition)
  other.machine.due.arm(0, 8)
  expect(differsAfter(partition, other)).toMatchObject({ where: 'vcpus.0.timers.0.deadline', one: 'null' })
})
