/** I16: the host gets done, and the guest gets on. */
import { expect, it } from 'vitest'
import { progress } from '../../src/audit/rules/progress.js'
import { EFFECT_DROPPED, EFFECT_MESSAGE, EFFECT_WAKE, FROM_TIMER, sintWord } from '../../src/synic/effects.js'
import { FLAGS, TIMER_PENDING_SHIFT } from '../../src/synic/layout.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

const UP = 'v0 vmbus SIMP=0x10001 SINT3=0xf3 SCONTROL=1'
const PERIODIC = 'v0 x STIMER0_CONFIG=0x30003 STIMER0_COUNT=5000'
const DONE = ['take v0', 'done v0 s3', 'eoi v0']
const PROFILES = ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const

it.each([
  ['a handler that takes nearly a period', [1, 2, 3, 4, 5, 6].flatMap(() => ['advance 5200', ...DONE])],
  [
    'a busy slot for a one-shot',
    ['post v0 s3 t=1', 'v0 t STIMER1_CONFIG=0x30001 STIMER1_COUNT=1', 'advance 10', ...DONE],
  ],
  ['a short direct period', ['v0 t STIMER1_CONFIG=0x1ed3 STIMER1_COUNT=1', 'advance 9000']],
  ['the host zeroes timers', ['v0 host STIMER1_CONFIG=0 STIMER1_COUNT=0']],
  ['paused, with a timer that came due', ['pause', 'advance 6000']],
] as const)('%s', (_why, lines) => {
  for (const profile of PROFILES) {
    expect(
      audited({ profile }, progress)
        .run(UP, PERIODIC, ...lines, 'settle')
        .said(),
    ).toEqual([])
  }
})

/** The guest is always later than its period: its tick waits whenever the handler ends. */
const LATE = [1, 2, 3, 4, 5, 6].flatMap(() => ['take v0', 'advance 12000', 'done v0 s3', 'eoi v0'])

it.each([
  ['kvm-synic2', []],
  ['qemu', []],
  ['openvmm', ['progress?']],
  ['tlfs', ['progress?']],
] as const)('a handler longer than its period on %s', (profile, expected) => {
  const m = audited({ profile }, progress).run(UP, PERIODIC, 'advance 5000', ...LATE)
  expect(m.said()).toEqual(expected)
})

it('ticks that pile up where late ones are to be dropped', () => {
  const m = audited({ profile: 'kvm-synic2' }, progress).run(UP, PERIODIC, 'advance 5000')
  for (let i = 0; i < 5; i++) {
    doctored(m, { op: 'message.complete', vcpu: 0, sint: 3 }, ({ effects }) => {
      effects.push(EFFECT_MESSAGE, 0, sintWord(FROM_TIMER, 3, false), 1)
      effects.push(EFFECT_WAKE, 0)
    })
  }
  expect(m.said()).toEqual(['progress'])
  expect(m.violations[0]).toMatchObject({ invariant: 'I16', vcpu: 0 })
})

it('a periodic timer on a masked SINT is written again after each EOM, as KVM does', () => {
  const m = audited({ profile: 'kvm-synic2' }, progress)
  m.run(UP, 'v0 x SINT3=0x100f3', PERIODIC, 'advance 5000')
  for (let i = 0; i < 6; i++) m.run('poke 0x10300=00000000', 'v0 x EOM=0')
  expect(m.said()).toEqual([])
})

it.each([
  ['without end', EFFECT_WAKE, ['progress']],
  ['to throw a long queue away', EFFECT_DROPPED, []],
] as const)('the host takes steps %s', (_why, kind, expected) => {
  const m = audited({ profile: 'openvmm' }, progress).run(UP)
  doctored(m, { op: 'apic.eoi', vcpu: 0 }, ({ effects }) => {
    for (let i = 0; i < 500; i++) effects.push(kind, 0, 0, 0)
  })
  expect(m.said()).toEqual(expected)
})

it("zeroing a vCPU's timers gives it nothing to do", () => {
  const op = { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: 0, by: 'host' }
  const marked = audited({ profile: 'kvm-synic2' }, progress)
  doctored(marked, op, ({ w }) => {
    w[FLAGS] |= 1 << TIMER_PENDING_SHIFT
  })
  const woken = audited({ profile: 'kvm-synic2' }, progress)
  doctored(woken, op, ({ effects }) => effects.push(EFFECT_WAKE, 0))
  for (const m of [marked, woken]) expect(m.said()).toEqual(['progress 400000b0'])
})

it('settled means settled', () => {
  const m = audited({ profile: 'kvm-synic2' }, progress)
  m.partition.machine.timerRows.push(0)
  expect(m.run('settle').said()).toEqual(['progress'])
})
