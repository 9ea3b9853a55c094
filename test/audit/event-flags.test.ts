/** I10: what becomes of event flags and of the interrupts that tell of them. */
import { expect, it } from 'vitest'
import { eventFlags } from '../../src/audit/rules/event-flags.js'
import { EFFECT_EVENT, EFFECT_IRQ, FROM_EVENT, sintWord } from '../../src/synic/effects.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'
import type { WireInput } from '../support/machine.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const RULE = 'event_flags'
const FLAG_5 = '0x11200'

it.each([
  ['signalled and handled', ['signal v0 s2 f5', 'take v0', `poke ${FLAG_5}=00`, 'eoi v0']],
  ['set twice before anybody looks', ['signal v0 s2 f5', 'signal v0 s2 f5']],
  ['its interrupt is pending', ['signal v0 s2 f5']],
  ['its interrupt is in service', ['signal v0 s2 f5', 'take v0']],
  ['a flag set in the handler asks again', ['signal v0 s2 f5', 'take v0', 'signal v0 s2 f6', 'eoi v0']],
  ['nobody is to be interrupted', ['v0 x SINT2=0x100f3', 'signal v0 s2 f5']],
  ['a reset clears the books', ['v0 x SINT2=0x100f3', 'signal v0 s2 f5', 'reset', UP]],
] as const)('%s', (_why, lines) => {
  for (const profile of ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const) {
    expect(
      audited({ profile }, eventFlags)
        .run(UP, ...lines, 'settle')
        .said(),
    ).toEqual([])
  }
})

it.each([
  ['taken and left', ['signal v0 s2 f5', 'take v0', 'eoi v0'], [`${RULE}?`]],
  ['in a page that is off by now', ['signal v0 s2 f5', 'v0 x SIEFP=0'], [`${RULE}?`]],
  ['lost under a mask that is gone', ['v0 x SINT2=0x100f3', 'signal v0 s2 f5', 'v0 x SINT2=0xf3'], [RULE]],
  ['lost under an APIC that was off', ['apic v0 off', 'signal v0 s2 f5', 'apic v0 on'], [`${RULE}?`]],
  ['on a vCPU that is offline', ['signal v0 s2 f5', 'v0 x SINT2=0x100f3 SIEFP=0', 'offline v0'], [RULE]],
  ['flag 0 there, which is no channel', ['signal v0 s2 f0', 'v0 x SINT2=0x100f3 SIEFP=0', 'offline v0'], []],
  [
    'a channel behind flag 0 there',
    ['signal v0 s2 f0', 'signal v0 s2 f1', 'v0 x SINT2=0x100f3 SIEFP=0', 'offline v0'],
    [RULE],
  ],
  ['flag 0 on a vCPU that runs', ['signal v0 s2 f0', 'take v0', 'eoi v0'], [`${RULE}?`]],
  [
    'in a page that is another one by now',
    ['signal v0 s2 f5', 'claim 0x11000 by x', 'v0 x SIEFP=0', 'free 0x11000'],
    [],
  ],
  [
    'lost, then told of by a message',
    ['v0 x SINT2=0x100f3', 'signal v0 s2 f5', 'v0 x SINT2=0xf3', 'post v0 s2 t=1'],
    [],
  ],
] as const)('still set: %s', (_why, lines, expected) => {
  expect(
    audited({ profile: 'kvm-synic2' }, eventFlags)
      .run(UP, ...lines, 'settle')
      .said(),
  ).toEqual(expected)
})

it('a page that is off refuses the signal; OpenVMM sets the flag where nobody sees it', () => {
  const lines = ['v0 x SIEFP=0', 'signal v0 s2 f5', 'settle']
  expect(
    audited({ profile: 'kvm-synic2' }, eventFlags)
      .run(UP, ...lines)
      .said(),
  ).toEqual([])
  expect(
    audited({ profile: 'openvmm' }, eventFlags)
      .run(UP, ...lines)
      .said(),
  ).toEqual([`${RULE}?`])
})

it('where a masked SINT refuses the signal nothing is lost', () => {
  const lines = ['v0 x SINT2=0x100f3', 'signal v0 s2 f5', 'v0 x SINT2=0xf3', 'settle']
  expect(
    audited({ profile: 'tlfs' }, eventFlags)
      .run(UP, ...lines)
      .said(),
  ).toEqual([])
})

it('names who signalled, and when', () => {
  const m = audited({ profile: 'kvm-synic2' }, eventFlags)
  m.run(UP, 'v0 x SINT2=0x100f3', 'signal v0 s2 f5 by net', 'v0 x SINT2=0xf3', 'settle')
  expect(m.violations).toMatchObject([
    { invariant: 'I10', other: 'net', otherSeq: m.partition.seq - 1, vcpu: 0 },
  ])
})

const signal = (flag: number): WireInput => ({ op: 'event.signal', vcpu: 0, sint: 2, flag })
const word = sintWord(FROM_EVENT, 2, false)

it.each([
  ['a flag without an attempt', signal(5), 4, [], 'asked for no interrupt'],
  ['a flag with two', signal(5), 8, [EFFECT_IRQ, 0xf3, word], 'asked for 2 interrupts'],
  [
    'a refused signal that sets one',
    signal(2048),
    0,
    [EFFECT_EVENT, sintWord(0, 2, false), 7],
    'was refused',
  ],
] as const)('%s', (_why, op, keep, [kind, b, c], text) => {
  const m = audited({ profile: 'kvm-synic2' }, eventFlags).run(UP)
  doctored(m, op, ({ effects }) => {
    effects.length = keep
    if (kind !== undefined) effects.push(kind, 0, b, c)
  })
  expect(m.violations[0].severity).toBe('error')
  expect(m.violations.map((each) => each.text).join('; ')).toContain(text)
})

it('a flag that was set already and interrupts again', () => {
  const m = audited({ profile: 'kvm-synic2' }, eventFlags).run(UP, 'signal v0 s2 f5')
  doctored(m, signal(5), ({ effects }) => effects.push(EFFECT_IRQ, 0, 0xf3, word))
  expect(m.violations.map(({ text }) => text)).toEqual([
    'no flag became set, and yet an interrupt was asked for',
  ])
})

it('a polled SINT interrupts nobody', () => {
  const m = audited({ profile: 'tlfs' }, eventFlags).run(
    UP,
    'v0 x SINT2=0x400f3',
    'signal v0 s2 f5',
    'settle',
  )
  expect(m.said()).toEqual([])
})
