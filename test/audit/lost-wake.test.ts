/** I14: nobody sleeps who has something to do. */
import { expect, it } from 'vitest'
import { lostWake } from '../../src/audit/rules/lost-wake.js'
import { FLAGS, HALTED, OFFLINE, TIMER_PENDING_SHIFT, WAKE_TOKEN } from '../../src/synic/layout.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const kick = { op: 'vcpu.kick', vcpu: 0, sticky: false }

it.each([
  ['asleep with nothing to do', ['halt v0']],
  ['woken by an interrupt', ['halt v0', 'post v0 s2 t=1']],
  ['an interrupt that came first keeps it awake', ['post v0 s2 t=1', 'halt v0']],
  ['a wake that came first is remembered', ['kick v0', 'halt v0']],
  ['woken by its timer', ['v0 x STIMER0_CONFIG=0x1ed9 STIMER0_COUNT=10', 'halt v0', 'advance 20']],
  ['an interrupt below its priority', ['v0 x TPR=0xff', 'halt v0', 'post v0 s2 t=1']],
  ['the other vCPU is busy', ['halt v1', 'post v0 s2 t=1']],
] as const)('%s', (_why, lines) => {
  const m = audited({ profile: 'kvm-synic2', vcpus: 2 }, lostWake).run(UP, ...lines, 'settle')
  expect(m.said()).toEqual([])
})

it.each([
  ['an interrupt could be delivered', HALTED, 0, 1],
  ['a timer waits to be processed', HALTED | (1 << TIMER_PENDING_SHIFT), 0, 2],
  ['it was woken', HALTED | WAKE_TOKEN, 0, 2],
  ['but it is offline', HALTED | OFFLINE, 0, 0],
  ['but the priority is raised', HALTED, 0xff, 0],
] as const)('put to sleep although %s', (_why, flags, tpr, count) => {
  const m = audited({ profile: 'tlfs' }, lostWake).run(UP, 'post v0 s2 t=1')
  m.do({ op: 'apic.tpr', vcpu: 0, value: tpr })
  m.partition.machine.w[FLAGS] |= flags
  m.run('settle')
  expect(m.violations.length).toBe(count)
  for (const found of m.violations)
    expect(found).toMatchObject({ invariant: 'I14', severity: 'error', vcpu: 0 })
})

it('while paused nobody is meant to run', () => {
  const m = audited({ profile: 'tlfs' }, lostWake).run(UP, 'post v0 s2 t=1', 'pause')
  m.partition.machine.w[FLAGS] |= HALTED
  expect(m.run('settle').said()).toEqual([])
})

it('a wake between the look and the sleep is forgotten', () => {
  const m = audited({ profile: 'kvm-synic2' }, lostWake).run('v0 x TPR=0xff')
  m.do(kick)
  m.run('halt v0', 'settle')
  expect(m.violations).toMatchObject([{ rule: 'lost_wake', otherSeq: m.partition.seq - 1 }])
})

it('it is not, if the vCPU looked again or was woken later', () => {
  for (const line of ['enter v0', 'kick v0']) {
    const m = audited({ profile: 'kvm-synic2' }, lostWake)
    m.do(kick)
    expect(m.run(line, 'halt v0', 'settle').said()).toEqual([])
  }
  const asleep = audited({ profile: 'kvm-synic2' }, lostWake).run('halt v0')
  asleep.do(kick)
  expect(asleep.run('halt v0', 'settle').said()).toEqual([])
})
