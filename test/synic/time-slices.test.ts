/** Time has no grain: an advance in one op comes to what the same advance in slices comes to. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { savePartition } from '../../src/synic/save-state.js'
import { type MachineSetup, machine, type TestMachine, type WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'
import {
  advance,
  completes,
  EVERY_PROFILE,
  empties,
  irq,
  ONE_SHOT,
  PERIODIC,
  payload,
  type Step,
  scenarios,
  setSlot,
  slotHas,
  startTimer,
  UP,
  u32s,
} from '../support/script.js'

const timerMessage = (index: number, due: number, delivered: number) =>
  payload(2, u32s(index, 0, due, 0, delivered, 0))
const vcpu = fc.nat(1)
const sint = fc.constantFrom(2, 2, 3)
const timer = fc.nat(3)
const page = (of: number) => (0x10 + of) * 4096

const write = (of: number, msr: string, value: number): WireInput => ({
  op: 'msr.write',
  vcpu: of,
  msr,
  value,
})
const config = fc
  .tuple(fc.constantFrom(1, 3, 3, 7), sint, fc.constantFrom(0, 0, 0, 0x1ed0))
  .map(([mode, on, direct]) => mode | (on << 16) | direct)

/** Timers that meet in two slots, and what frees those or does not. */
const timerOps: fc.Arbitrary<WireInput[]> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(vcpu, timer, fc.constantFrom(3, 7, 10, 35, 50), config)
      .map(([of, i, count, mode]) => [
        write(of, `STIMER${i}_COUNT`, count),
        write(of, `STIMER${i}_CONFIG`, mode),
      ]),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(vcpu, sint, fc.constantFrom('00000000', '00000000', '01000000'))
      .map(([of, on, hex]) => [{ op: 'mem.write', gpa: page(of) + on * 256, hex }]),
  },
  { weight: 1, arbitrary: vcpu.map((of) => [write(of, 'EOM', 0)]) },
  { weight: 1, arbitrary: fc.tuple(vcpu, sint).map(([of, on]) => [write(of, `SINT${on}`, 0x100f3)]) },
  { weight: 1, arbitrary: fc.tuple(vcpu, fc.nat(1)).map(([of, on]) => [write(of, 'SIMP', page(of) + on)]) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(vcpu, sint)
      .map(([of, on]) => [{ op: 'message.post', vcpu: of, sint: on, type: 1, hex: '' }]),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(vcpu, sint).map(([of, on]) => [{ op: 'message.complete', vcpu: of, sint: on }]),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ op: fc.constantFrom('apic.ack', 'apic.eoi', 'vcpu.offline', 'vcpu.online'), vcpu })
      .map((op) => [op]),
  },
  { weight: 3, arbitrary: fc.constantFrom(10, 49).map((ticks) => [{ op: 'clock.advance', ticks }]) },
)

const timerWorld: fc.Arbitrary<[MachineSetup, WireInput[]]> = fc.tuple(
  fc.record({
    profile: fc.constantFrom(...EVERY_PROFILE, 'tlfs' as const),
    vcpus: fc.constant(2),
    options: fc.record({ masked_blocks_messages: fc.boolean(), scontrol_reset: fc.constant(1) }),
  }),
  fc
    .array(timerOps, { minLength: 1, maxLength: 30, size: 'max' })
    .map((ops) => [
      ...[0, 1].flatMap((of) => [
        write(of, 'SIMP', page(of) + 1),
        write(of, 'SINT2', 0xf3),
        write(of, 'SINT3', 0xe3),
      ]),
      ...ops.flat(),
    ]),
)
const slices = fc.array(fc.constantFrom(0, 1, 2, 5, 10, 30), { minLength: 2, maxLength: 20 })

/** All of a partition but the number of ops it has seen. */
const stateOf = (test: TestMachine) => ({ ...savePartition(test.partition), seq: 0 })

function agree(setup: MachineSetup, before: readonly WireInput[], parts: readonly number[]): void {
  const [whole, sliced] = [machine(setup), machine(setup)]
  for (const op of before) for (const test of [whole, sliced]) test.do(op)
  const ticks = parts.reduce((sum, part) => sum + part, 0)
  const atOnce = whole.do({ op: 'clock.advance', ticks }).irqs ?? []
  const inParts = parts.flatMap((part) => sliced.do({ op: 'clock.advance', ticks: part }).irqs ?? [])
  expect(inParts).toEqual(atOnce)
  expect(stateOf(sliced)).toEqual(stateOf(whole))
}

/** Timer 0 ticks, timer 1 comes later; timer 0's message waits behind a slot emptied without EOM. */
const waitsBehindNothing = (period: number, later: number): Step[] => [
  ...UP,
  setSlot(2, 9),
  ...startTimer(PERIODIC, period),
  ...startTimer(ONE_SHOT, later, {}, 1),
  advance(period),
  empties(2),
]

describe('ticks that find their buffer in use', () =>
  scenarios([
    [
      'find it free again once the message of another timer made the hypervisor try',
      'tlfs',
      [
        ...waitsBehindNothing(10, 35),
        advance(90, irq()),
        timerMessage(0, 10, 35),
        completes(2, irq()),
        timerMessage(1, 35, 100),
        completes(2, irq()),
        timerMessage(0, 40, 100),
      ],
    ],
    [
      'are leapt over up to there, and behind',
      'tlfs',
      [...waitsBehindNothing(1, 500_000_000), advance(1_000_000_000, irq()), timerMessage(0, 1, 500_000_000)],
    ],
    [
      'are leapt over where nobody else comes',
      'tlfs',
      [
        ...UP,
        setSlot(2, 9),
        ...startTimer(PERIODIC, 1),
        advance(1),
        empties(2),
        advance(1_000_000_000),
        slotHas(2, 0),
      ],
    ],
  ]))

describe('clock.advance in one op is the same in slices', () => {
  it('where timers meet', () =>
    holds(
      fc.property(timerWorld, slices, ([setup, before], parts) => agree(setup, before, parts)),
      1500,
    ))

  it('after anything', () =>
    holds(
      fc.property(randomSetup, randomOps(100), slices, (setup, before, parts) => agree(setup, before, parts)),
      200,
    ))
})
