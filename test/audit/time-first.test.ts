/** I22, from its definition: how the reference time moves. */
import { expect, it } from 'vitest'
import { Auditor } from '../../src/audit/auditor.js'
import { timeFirst } from '../../src/audit/rules/time-first.js'
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

it.each([
  ['advances', ['advance 10', 'v0 x TIME_REF_COUNT?', 'advance 0', 'v0 x TIME_REF_COUNT?']],
  ['passes while paused', ['pause', 'advance 10', 'resume', 'v0 x TIME_REF_COUNT?']],
  ['is nothing to write', ['v0 x TIME_REF_COUNT=5', 'v0 host TIME_REF_COUNT=5', 'v0 x TIME_REF_COUNT?']],
  ['goes on over resets', ['advance 10', 'reset v0', 'reset', 'boot next reset', 'v0 x TIME_REF_COUNT?']],
  ['stays where a step is refused', ['advance 9007199254740991', 'advance 1', 'v0 x TIME_REF_COUNT?']],
] as const)('time %s', (_why, lines) => {
  for (const profile of ['kvm-synic2', 'tlfs', 'openvmm', 'qemu'] as const) {
    expect(
      audited({ profile }, timeFirst)
        .run(...lines)
        .said(),
    ).toEqual([])
  }
})

it('a restored partition starts where it was', () => {
  const m = audited({ profile: 'tlfs' }, timeFirst).run('advance 1000000000')
  const restored = restorePartition(savePartition(m.partition))
  const auditor = new Auditor(restored, { rules: [timeFirst] })
  expect(auditor.m.now).toBe(1_000_000_000)
})

const READ = 'v0 x TIME_REF_COUNT?'

it.each([
  ['set back between two ops', 1000, -500, READ, 'went back from 1000 to 500'],
  ['set on after vCPUs ran', 1000, 500, READ, 'leapt from 1000 to 1500'],
  ['wrong when it is resumed', 1000, -1000, 'resume', 'went back from 1000 to 0'],
  ['wrong when a timer is armed', 1000, 7, 'v0 x STIMER0_COUNT=2000', 'leapt from 1000 to 1007'],
] as const)('%s', (_why, at, by, line, text) => {
  const m = audited({ profile: 'kvm-synic2' }, timeFirst).run(`advance ${at}`, 'pause', 'resume')
  m.partition.machine.now += by
  m.run(line, line)
  expect(m.violations).toMatchObject([{ invariant: 'I22', severity: 'error' }])
  expect(m.violations[0].text).toContain(text)
})

it.each([
  ['a step that is too long', { op: 'clock.advance', ticks: 10 }, '10 ticks took the time from 0 to 11'],
  ['another op that moves it', { op: 'partition.pause' }, 'moved it from 0 to 1'],
] as const)('%s', (_why, op, text) => {
  const m = audited({ profile: 'kvm-synic2' }, timeFirst)
  doctored(m, op, (machine) => {
    machine.now += 1
  })
  expect(m.violations[0].text).toContain(text)
})

it('a clock that reads wrong', () => {
  const m = audited({ profile: 'kvm-synic2' }, timeFirst)
  doctored(m, { op: 'msr.read', vcpu: 0, msr: 'TIME_REF_COUNT' }, ({ effects }) => effects.value(7, 0))
  expect(m.violations[0].text).toBe('TIME_REF_COUNT reads 7 at reference time 0')
})
