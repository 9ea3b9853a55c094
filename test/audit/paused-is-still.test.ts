/** I21: what happens between pause and resume. */
import { expect, it } from 'vitest'
import { pausedIsStill } from '../../src/audit/rules/paused-is-still.js'
import { EFFECT_IRQ, EFFECT_MESSAGE, FROM_TIMER, sintWord } from '../../src/synic/effects.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'
import type { WireInput } from '../support/machine.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const RULE = 'paused_is_still'

it.each([
  ['a post is refused', ['post v0 s2 t=1'], []],
  ['so is a signal', ['signal v0 s2 f1'], []],
  ["the host's registers are open", ['v0 host SINT2=0x100f3 STIMER0_CONFIG=0x30001 EOM=0'], []],
  ["the guest's are not", ['v0 x SINT2=0x100f3 SIMP=0'], []],
  ['time passes and nobody notices', ['v0 host STIMER0_CONFIG=0x1ed3 STIMER0_COUNT=10', 'advance 100'], []],
  ['memory is restored', ['poke 0x10200=01000000'], []],
  ['steps of a guest are refused', ['take v0', 'eoi v0', 'done v0 s2', 'halt v0', 'enter v0'], []],
  ['an irqfd knows of no pause', ['route 24:v0.s2', 'assert 24'], [`${RULE}?`]],
  ['afterwards all is open again', ['resume', 'post v0 s2 t=1', 'take v0', 'done v0 s2', 'eoi v0'], []],
] as const)('%s', (_why, lines, expected) => {
  for (const profile of ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const) {
    expect(
      audited({ profile }, pausedIsStill)
        .run(UP, 'pause', ...lines)
        .said(),
    ).toEqual(expected)
  }
})

it.each([
  ['by nobody in particular', 'poke 0x10200=00000000', [`${RULE}?`]],
  ['by a driver', 'poke 0x10200=00000000 by vmbus', [`${RULE} vmbus`]],
] as const)('a slot is emptied %s', (_why, line, expected) => {
  expect(audited({ profile: 'tlfs' }, pausedIsStill).run(UP, 'post v0 s2 t=1', 'pause', line).said()).toEqual(
    expected,
  )
})

const ops: readonly (readonly [string, WireInput])[] = [
  ["a guest's write that is carried out", { op: 'msr.write', vcpu: 0, msr: 'SINT2', value: 0xf4 }],
  ["a guest's step that is carried out", { op: 'message.complete', vcpu: 0, sint: 2 }],
  ['a message that is delivered', { op: 'message.post', vcpu: 0, sint: 2, type: 1 }],
]

it.each(ops)('%s', (_why, op) => {
  const m = audited({ profile: 'kvm-synic2' }, pausedIsStill).run(UP, 'pause')
  doctored(m, op, ({ effects }) => {
    effects.errno = 0
    effects.push(EFFECT_MESSAGE, 0, sintWord(0, 2, false), 1)
  })
  expect(m.violations).toMatchObject([{ invariant: 'I21', severity: 'error' }])
})

it("the host's atomic memory ops are as open as its stores", () => {
  const m = audited({ profile: 'tlfs' }, pausedIsStill).run(UP, 'pause')
  for (const op of ['mem.cas', 'mem.xchg'])
    expect(
      m.do({ op, gpa: 0x8000, len: 1, value: 1, by: 'host', ...(op === 'mem.cas' ? { expect: 0 } : {}) }),
    ).toMatchObject({ ok: true })
  expect(m.said()).toEqual([])
})

it('a timer that interrupts', () => {
  const m = audited({ profile: 'kvm-synic2' }, pausedIsStill).run(UP, 'pause')
  doctored(m, { op: 'clock.advance', ticks: 5 }, ({ effects }) => {
    effects.push(EFFECT_IRQ, 0, 0xf3, sintWord(FROM_TIMER, 2, false))
  })
  expect(m.said()).toEqual([RULE])
})
