/** I17 and I18, from their definitions: whom an acknowledgement tells, and who is owed one. */
import { expect, it } from 'vitest'
import { resamplePairs } from '../../src/audit/rules/resample-pairs.js'
import { routeAgreement } from '../../src/audit/rules/route-agreement.js'
import { EFFECT_ACK, EFFECT_IRQ, FROM_GSI, sintWord } from '../../src/synic/effects.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

const UP = 'v0,v1 vmbus SIMP=0x10001 SINT2=0xf3 SINT3=0xf4 SCONTROL=1'
const explicit = { implicit_irqfds: false }
const BOUND = ['route 24:v0.s2', 'bind 24 resample']

it.each([
  ['asserted, taken, ended', [...BOUND, 'assert 24', 'take v0', 'eoi v0']],
  ['twice', [...BOUND, 'assert 24', 'take v0', 'eoi v0', 'assert 24', 'take v0', 'eoi v0']],
  ['coalesced into one', [...BOUND, 'assert 24', 'assert 24', 'take v0', 'eoi v0']],
  ['still pending', [...BOUND, 'assert 24']],
  ['still in service', [...BOUND, 'assert 24', 'take v0']],
  ['nobody resamples', ['route 24:v0.s2', 'bind 24', 'assert 24', 'take v0', 'eoi v0']],
  ['masked: nothing to end', [...BOUND, 'v0 x SINT2=0x100f3', 'assert 24']],
  ['unbound in service', [...BOUND, 'assert 24', 'take v0', 'unbind 24', 'eoi v0']],
  ['the table set again as it was', [...BOUND, 'assert 24', 'take v0', 'route 24:v0.s2', 'eoi v0']],
  ['moved in service', [...BOUND, 'assert 24', 'take v0', 'route 24:v0.s3', 'eoi v0']],
  ['moved to another vCPU in service', [...BOUND, 'assert 24', 'take v0', 'route 24:v1.s2', 'eoi v0']],
  ['reset in service', [...BOUND, 'assert 24', 'take v0', 'reset']],
] as const)('%s', (_why, lines) => {
  for (const profile of ['kvm-synic2', 'tlfs'] as const) {
    const m = audited({ profile, vcpus: 2, options: explicit }, routeAgreement, resamplePairs)
    expect(m.run(UP, ...lines, 'settle').said()).toEqual([])
  }
})

it.each([
  [
    'the route is gone, its link stays',
    ['route', 'post v0 s2 t=1', 'take v0', 'eoi v0'],
    ['route_agreement?'],
  ],
  ['told once a table', ['route', 'v0 x EOM=0', 'v0 x EOM=0', 'v0 x EOM=0'], ['route_agreement?']],
  ['moved away, and EOM still finds it', ['route 24:v1.s2', 'v0 x EOM=0'], ['route_agreement?']],
] as const)('KVM: %s', (_why, lines, expected) => {
  const m = audited({ profile: 'kvm-synic2', vcpus: 2, options: explicit }, routeAgreement)
  expect(m.run(UP, ...BOUND, ...lines, 'settle').said()).toEqual(
    expected.map((each) => expect.stringContaining(each)),
  )
})

it('elsewhere nothing documents a link that stays', () => {
  const m = audited({ profile: 'tlfs', vcpus: 2, options: explicit }, routeAgreement)
  m.run('v0,v1 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1', ...BOUND)
  doctored(m, { op: 'msr.write', vcpu: 1, msr: 'EOM', value: 0 }, ({ effects }) =>
    effects.push(EFFECT_ACK, 24),
  )
  expect(m.violations).toMatchObject([{ invariant: 'I17', severity: 'error' }])
})

const reasons = [
  ['masked before its EOI', ['take v0', 'v0 x SINT2=0x100f3', 'eoi v0']],
  ['and unmasked after it', ['take v0', 'v0 x SINT2=0x100f3', 'eoi v0', 'v0 x SINT2=0xf3']],
  ['moved to another vector before its EOI', ['take v0', 'v0 x SINT2=0xf5', 'eoi v0']],
  ['auto-EOI, and no EOM', ['v0 x SINT2=0x200f3', 'take v0']],
] as const

it.each(reasons)('what KVM does not acknowledge is noted: %s', (_why, lines) => {
  const m = audited({ profile: 'kvm-synic2', options: explicit }, routeAgreement, resamplePairs)
  m.run('v0 x SINT2=0xf3', ...BOUND, 'assert 24 by dev', ...lines, 'settle')
  expect(m.said()).toEqual(['resample_pairs?'])
  expect(m.violations[0]).toMatchObject({ other: 'dev' })
})

it.each([
  ['the table is as it was', [], ['resample_pairs']],
  ['the table has changed since', ['route 24:v0.s2 25:v0.s3'], ['route_agreement', 'resample_pairs']],
] as const)('an acknowledgement that never comes: %s', (_why, lines, expected) => {
  const m = audited({ profile: 'kvm-synic2', options: explicit }, routeAgreement, resamplePairs)
  m.run(UP.replace('v0,v1', 'v0'), ...BOUND, 'assert 24', 'take v0', ...lines)
  doctored(m, { op: 'apic.eoi', vcpu: 0 }, ({ effects }) => {
    effects.length = 0
  })
  expect(m.run('settle').said()).toEqual(expected)
})

it('two GSIs on one SINT: KVM notifies the last', () => {
  const m = audited({ profile: 'kvm-synic2', options: explicit }, routeAgreement, resamplePairs)
  m.run('v0 x SINT2=0xf3', 'route 24:v0.s2 25:v0.s2', 'bind 24 resample', 'bind 25 resample')
  expect(m.run('assert 24', 'take v0', 'eoi v0', 'settle').said()).toEqual(['resample_pairs?'])
})

it.each([
  ['without a binding', ['route 24:v0.s2'], 'no resampler is bound'],
  ['after its binding ended', [...BOUND, 'unbind 24'], 'no resampler is bound'],
  ['bound, but not to hear of it', ['route 24:v0.s2', 'bind 24'], 'no resampler is bound'],
] as const)('a notification %s', (_why, lines, text) => {
  const m = audited({ profile: 'kvm-synic2', options: explicit }, resamplePairs).run(
    'v0 x SINT2=0xf3',
    ...lines,
  )
  doctored(m, { op: 'apic.eoi', vcpu: 0 }, ({ effects }) => effects.push(EFFECT_ACK, 24))
  expect(m.violations).toMatchObject([{ invariant: 'I18', severity: 'error' }])
  expect(m.violations[0].text).toContain(text)
})

it('an interrupt that nothing bound asked for', () => {
  const m = audited({ profile: 'kvm-synic2', options: explicit }, resamplePairs).run(
    'v0 x SINT2=0xf3',
    ...BOUND,
  )
  doctored(m, { op: 'gsi.assert', gsi: 24 }, ({ effects, irqfds }) => {
    effects.errno = 0
    effects.length = 0
    effects.push(EFFECT_IRQ, 0, 0xf3, sintWord(FROM_GSI, 2, false))
    irqfds.clear()
  })
  expect(m.violations[0].text).toBe('GSI 24 interrupts, and nothing is bound to it')
})

it('one acknowledgement, two notifications', () => {
  for (const [profile, said] of [
    ['kvm-synic2', 'resample_pairs?'],
    ['tlfs', 'resample_pairs'],
  ] as const) {
    const m = audited({ profile, options: explicit }, resamplePairs).run('v0 x SINT2=0xf3', ...BOUND)
    doctored(m, { op: 'apic.eoi', vcpu: 0 }, ({ effects }) => {
      effects.push(EFFECT_ACK, 24)
      effects.push(EFFECT_ACK, 24)
    })
    expect(m.said()).toEqual([said])
  }
})

it('a new binding hears of its predecessor', () => {
  const m = audited({ profile: 'kvm-synic2', options: explicit }, resamplePairs)
  m.run(
    'v0 x SINT2=0xf3',
    ...BOUND,
    'assert 24',
    'take v0',
    'unbind 24',
    'bind 24 resample',
    'eoi v0',
    'settle',
  )
  expect(m.violations).toMatchObject([{ severity: 'note', otherSeq: 5 }])
})

it('a binding that can never hear is refused, and told if it is not', () => {
  const m = audited({ profile: 'kvm-synic2', options: { irqchip: 'split' } }, resamplePairs).run(
    'bind 24 resample',
  )
  expect(m.results[0].errno).toBe(-22)
  expect(m.said()).toEqual([])
  doctored(m, { op: 'irqfd.bind', gsi: 24, resample: true }, ({ effects }) => {
    effects.errno = 0
  })
  expect(m.said()).toEqual(['resample_pairs'])
})
