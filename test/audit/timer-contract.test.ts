/** I15: when timers expire, how often, and when they do not. */
import { expect, it } from 'vitest'
import { timerContract } from '../../src/audit/rules/timer-contract.js'
import { EFFECT_IRQ, FROM_TIMER, NO_SINT, sintWord } from '../../src/synic/effects.js'
import { CONFIG, EXP_TIME, FLAGS, MSG_PENDING, TIMER_PENDING, TIMERS } from '../../src/synic/layout.js'
import type { Machine } from '../../src/synic/machine.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

const UP = 'v0 vmbus SIMP=0x10001 SINT3=0xf3 SCONTROL=1'
const PROFILES = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const
const DONE = ['take v0', 'done v0 s3', 'eoi v0']

it.each([
  ['one-shot', ['v0 x STIMER0_COUNT=100 STIMER0_CONFIG=0x30001', 'advance 100', ...DONE, 'advance 500']],
  ['one-shot in the past', ['advance 500', 'v0 x STIMER0_COUNT=100 STIMER0_CONFIG=0x30001', ...DONE]],
  [
    'auto-enabled, armed twice',
    [
      'v0 x STIMER0_CONFIG=0x30008 STIMER0_COUNT=10',
      'advance 20',
      ...DONE,
      'v0 x STIMER0_COUNT=30',
      'advance 20',
      ...DONE,
    ],
  ],
  [
    'periodic',
    ['v0 x STIMER0_CONFIG=0x30003 STIMER0_COUNT=10', 'advance 10', ...DONE, 'advance 10', ...DONE],
  ],
  [
    'periodic, its slot full',
    ['v0 x STIMER0_CONFIG=0x30003 STIMER0_COUNT=10', 'advance 45', ...DONE, 'advance 5'],
  ],
  ['direct and periodic', ['v0 x STIMER0_CONFIG=0x1ed3 STIMER0_COUNT=10', 'advance 45', 'advance 5']],
  [
    'waits for a full slot',
    ['post v0 s3 t=1', 'v0 x STIMER0_CONFIG=0x30001 STIMER0_COUNT=10', 'advance 20', ...DONE, ...DONE],
  ],
  [
    'written again while it waits',
    [
      'post v0 s3 t=1',
      'v0 x STIMER0_CONFIG=0x30001 STIMER0_COUNT=10',
      'advance 20',
      'v0 x STIMER0_COUNT=15 STIMER0_CONFIG=0x30001',
      ...DONE,
      ...DONE,
      ...DONE,
    ],
  ],
  [
    'SIMP is off',
    ['v0 x SIMP=0 STIMER0_CONFIG=0x30001 STIMER0_COUNT=10', 'advance 20', 'v0 x SIMP=0x10001 EOM=0'],
  ],
  [
    'its SINT is masked',
    [
      'v0 x SINT3=0x100f3 STIMER0_CONFIG=0x30001 STIMER0_COUNT=10',
      'advance 20',
      'v0 x EOM=0',
      'done v0 s3',
      'v0 x EOM=0',
    ],
  ],
  ['a count of 0', ['v0 x STIMER0_CONFIG=0x30009 STIMER0_COUNT=0', 'advance 50']],
  ['disabled in time', ['v0 x STIMER0_CONFIG=0x30001 STIMER0_COUNT=10 STIMER0_CONFIG=0x30000', 'advance 50']],
  ['counts that wrap', ['v0 x STIMER0_CONFIG=0x30003 STIMER0_COUNT=0xffffffffffffffff', 'advance 50']],
  ['restored by the host', ['v0 host STIMER0_CONFIG=0x30008 STIMER0_COUNT=0', 'advance 50']],
  [
    'late after a pause',
    ['v0 x STIMER0_CONFIG=0x30003 STIMER0_COUNT=10', 'pause', 'advance 55', 'resume', ...DONE, 'advance 5'],
  ],
  [
    'on a vCPU that is offline',
    ['v0 x STIMER0_CONFIG=0x30001 STIMER0_COUNT=10', 'offline v0', 'advance 20', 'settle', 'online v0'],
  ],
  ['a reset forgets', ['v0 x STIMER0_CONFIG=0x30001 STIMER0_COUNT=10', 'reset', 'advance 20']],
] as const)('%s', (_why, lines) => {
  for (const profile of PROFILES) {
    const m = audited({ profile }, timerContract).run(UP, ...lines, 'settle')
    expect([profile, ...m.violations]).toEqual([profile])
  }
})

it('spent, restored by the host, and not armed by that', () => {
  const m = audited({ profile: 'kvm-synic2' }, timerContract)
  m.run(UP, 'v0 host STIMER0_CONFIG=0x30008 STIMER0_COUNT=1000', 'advance 2000', 'settle')
  expect(m.said()).toEqual([])
})

const expire = (timer: number) => (m: Machine) =>
  m.effects.push(EFFECT_IRQ, 0, 0xed, sintWord(FROM_TIMER, NO_SINT, false) | (timer << 24))

it.each([
  ['too early', ['v0 x STIMER0_CONFIG=0x1ed1 STIMER0_COUNT=100'], 'and is due at 100'],
  ['disabled', ['v0 x STIMER0_CONFIG=0x1ed0 STIMER0_COUNT=5'], 'it is disabled'],
  ['with a count of 0', ['v0 x STIMER0_CONFIG=0x1ed1 STIMER0_COUNT=0'], 'it is disabled'],
  [
    'a second time',
    ['v0 x STIMER0_CONFIG=0x1ed1 STIMER0_COUNT=5', 'advance 10'],
    'without having been armed again',
  ],
  [
    'more often than its time came',
    ['v0 x STIMER0_CONFIG=0x1ed3 STIMER0_COUNT=10', 'advance 10'],
    '2 times, its time came 1',
  ],
] as const)('expires %s', (_why, lines, text) => {
  for (const profile of PROFILES) {
    const m = audited({ profile }, timerContract).run(UP, ...lines)
    expect(m.said()).toEqual([])
    doctored(m, { op: 'vcpu.kick', vcpu: 0 }, expire(0))
    expect(m.violations).toMatchObject([{ invariant: 'I15', severity: 'error', vcpu: 0 }])
    expect(m.violations[0].text).toContain(text)
  }
})

const config = (value: number) => (m: Machine) => {
  m.w[TIMERS + CONFIG] = value
}

it.each([
  ['a count of 0 that leaves it enabled', 'guest', 0, config(0x30009), 'left the timer enabled'],
  ["the host's count that enables it", 'host', 50, config(0x30009), "host's write"],
] as const)('%s', (_why, by, value, spoil, text) => {
  const m = audited({ profile: 'kvm-synic2' }, timerContract).run(UP, 'v0 host STIMER0_CONFIG=0x30008')
  doctored(m, { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value, by }, spoil)
  expect(m.violations[0].text).toContain(text)
})

it('a message that says it was early', () => {
  const m = audited({ profile: 'kvm-synic2' }, timerContract)
  m.run(UP, 'v0 x STIMER0_CONFIG=0x30001 STIMER0_COUNT=100')
  doctored(m, { op: 'clock.advance', ticks: 100 }, ({ memory }) => {
    const frame = memory.frameAt(0x10)
    memory.chunk(frame)[memory.offset(frame) + 3 * 64 + 6] = 101
  })
  expect(m.violations[0].text).toContain('due at 101, was delivered at 100')
})

it('due, and neither expired nor waiting', () => {
  const m = audited({ profile: 'tlfs' }, timerContract).run(
    UP,
    'v0 x STIMER0_CONFIG=0x1ed1 STIMER0_COUNT=100',
  )
  const { machine } = m.partition
  machine.w[TIMERS + EXP_TIME] = 0
  expect(m.run('settle').violations[0].text).toContain('was never started')
  machine.now = 200
  machine.w[TIMERS + EXP_TIME] = 100
  expect(m.run('settle').violations[1].text).toContain('has not expired')
  machine.w[FLAGS] |= MSG_PENDING | TIMER_PENDING
  expect(m.run('settle').violations.length).toBe(2)
})
