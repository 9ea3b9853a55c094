/** I24: a refusal leaves no trace. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { definedAnswers, noChangeOnRefusal } from '../../src/audit/rules/defined-answers.js'
import { EFFECT_IRQ, EFFECT_LOST, EFFECT_MESSAGE } from '../../src/synic/effects.js'
import { SINTS } from '../../src/synic/layout.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'

it.each([
  ['a low vector', ['v0 x SINT4=0x0f']],
  ['a vCPU that does not exist', ['post v9 s2 t=1', 'v9 x SINT2=0xf3']],
  ['flags at and beyond the end', ['signal v0 s2 f2047', 'signal v0 s2 f2048']],
  ['SINT 16', ['signal v0 s16 f1', 'post v0 s16 t=1']],
  ['a busy slot', ['post v0 s2 t=1', 'post v0 s2 t=1', 'post v0 s2 t=1']],
  [
    'a masked SINT',
    ['v0 x SINT2=0x100f3', 'route 24:v0.s2', 'assert 24', 'post v0 s2 t=1', 'signal v0 s2 f1'],
  ],
  ['no such connection', ['hc v0 post c4097 t=1', 'hc v0 signal c7 f0']],
  ['a GSI that leads nowhere', ['assert 30', 'route 4096:v0.s2', 'route 24:v7.s99', 'assert 24']],
  ['more time than there is', ['advance 9007199254740991', 'advance 1']],
  ['the page is not there', ['v0 x SIMP=0', 'post v0 s2 t=1', 'done v0 s2']],
  ['a timer that would fire without end', ['v0 x STIMER0_CONFIG=0x1ed3 STIMER0_COUNT=1', 'advance 9999999']],
] as const)('%s', (_why, lines) => {
  for (const profile of ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const) {
    const m = audited({ profile }, definedAnswers, noChangeOnRefusal).run(UP, ...lines)
    expect([profile, ...m.violations]).toEqual([profile])
  }
})

it('so does everything else', () => {
  const run = fc.property(randomSetup, randomOps(60), (setup, ops) => {
    const m = audited(setup, definedAnswers, noChangeOnRefusal)
    for (const op of ops) m.do(op)
    expect(m.violations).toEqual([])
  })
  holds(run, 150)
})

it.each([
  ['an interrupt', EFFECT_IRQ, ['defined_answers']],
  ['a message', EFFECT_MESSAGE, ['defined_answers']],
  ['the edge that was lost, which is its answer', EFFECT_LOST, []],
] as const)('refused, with %s', (_why, kind, expected) => {
  const m = audited({ profile: 'kvm-synic2' }, definedAnswers)
  doctored(m, { op: 'event.signal', vcpu: 0, sint: 2, flag: 4000 }, ({ effects }) =>
    effects.push(kind, 0, 0, 0),
  )
  expect(m.said()).toEqual(expected)
})

it('refused, and stored all the same', () => {
  const m = audited({ profile: 'tlfs' }, noChangeOnRefusal)
  doctored(m, { op: 'msr.write', vcpu: 0, msr: 'SINT4', value: 0x0f }, ({ w }) => {
    w[SINTS + 8] = 0x0f
  })
  expect(m.violations).toMatchObject([{ rule: 'no_change_on_refusal', invariant: 'I24', msr: 0x4000_0094 }])
})
