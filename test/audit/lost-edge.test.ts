/** Edges that are lost: a note where it is documented, an error where the gate was open. */
import { expect, it } from 'vitest'
import { lostEdge } from '../../src/audit/rules/lost-edge.js'
import { EFFECT_LOST, FROM_GSI, sintWord } from '../../src/synic/effects.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'

it.each([
  ['an edge that arrives', 'kvm-synic2', ['route 24:v0.s2', 'assert 24'], []],
  [
    'a masked SINT',
    'kvm-synic2',
    ['v0 x SINT2=0x100f3', 'route 24:v0.s2', 'assert 24'],
    ['lost_edge? 40000092'],
  ],
  ['an APIC that is off', 'kvm-synic2', ['apic v0 off', 'signal v0 s2 f1'], ['lost_edge? 40000092']],
  ['a message to a masked SINT', 'tlfs', ['v0 x SINT2=0x100f3', 'post v0 s2 t=1'], ['lost_edge? 40000092']],
  ['the same where it is refused', 'openvmm', ['v0 x SINT2=0x100f3', 'post v0 s2 t=1'], []],
  ['an exception vector', 'openvmm', ['v0 x SINT2=0x0f', 'post v0 s2 t=1'], ['lost_edge? 40000092']],
  ['a polled SINT', 'tlfs', ['v0 x SINT2=0x400f3', 'signal v0 s2 f1'], []],
] as const)('%s on %s', (_why, profile, lines, expected) => {
  expect(
    audited({ profile }, lostEdge)
      .run(UP, ...lines)
      .said(),
  ).toEqual(expected)
})

it.each(['kvm-synic2', 'openvmm', 'tlfs'] as const)(
  'a direct timer that the APIC does not take on %s, once an op',
  (profile) => {
    const m = audited({ profile }, lostEdge).run('apic v0 off', 'v0 x STIMER1_CONFIG=0x1ed3 STIMER1_COUNT=10')
    m.run('advance 50', 'apic v0 on', 'advance 50')
    expect(m.said()).toEqual(['lost_edge? 400000b2'])
  },
)

it('names the SINT of the file that was asked', () => {
  const m = audited({ profile: 'tlfs', kind: 'nested_root' }, lostEdge)
  m.run('v0 x NESTED_SIMP=0x10001 NESTED_SCONTROL=1')
  m.do({ op: 'message.post', vcpu: 0, sint: 2, nested: true, type: 1, hex: '' })
  expect(m.said()).toEqual(['lost_edge? 40001092'])
})

it('each SINT is told once an op, however many ticks it loses', () => {
  const m = audited({ profile: 'tlfs' }, lostEdge)
  m.run(UP, 'v0 x SINT3=0x100f4', 'v0 x STIMER0_CONFIG=0x30003 STIMER0_COUNT=10')
  doctored(m, { op: 'clock.advance', ticks: 100 }, ({ effects }) => {
    for (let i = 0; i < 5; i++) effects.push(EFFECT_LOST, 0, sintWord(FROM_GSI, 3, false), -2)
  })
  expect(m.said()).toEqual(['lost_edge? 40000093'])
})

it.each([
  [-2, 'although its gate is open'],
  [0, 'although its gate is open'],
] as const)('an open gate that answers %s', (code, text) => {
  const m = audited({ profile: 'kvm-synic2' }, lostEdge).run(UP)
  doctored(m, { op: 'vcpu.kick', vcpu: 0 }, ({ effects }) =>
    effects.push(EFFECT_LOST, 0, sintWord(FROM_GSI, 2, false), code),
  )
  expect(m.violations).toMatchObject([{ invariant: 'I11', severity: 'error' }])
  expect(m.violations[0].text).toContain(text)
})
