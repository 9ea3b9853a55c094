/** I11: interrupts come through an open gate only, and a request is neither taken back nor invented. */
import { expect, it } from 'vitest'
import { interruptGate } from '../../src/audit/rules/interrupt-gate.js'
import { clearBit, setBit } from '../../src/hv/bits.js'
import { EFFECT_IRQ, FROM_MESSAGE, sintWord } from '../../src/synic/effects.js'
import { IRR } from '../../src/synic/layout.js'
import type { Machine } from '../../src/synic/machine.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const PROFILES = ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const
const irq = (vector: number, sint: number) => (m: Machine) =>
  m.effects.push(EFFECT_IRQ, 0, vector, sintWord(FROM_MESSAGE, sint, false))

const FINE = {
  'a message, taken and ended': ['post v0 s2 t=1', 'take v0', 'done v0 s2', 'eoi v0'],
  'masked after the request: it is still taken': ['post v0 s2 t=1', 'v0 vmbus SINT2=0x100f3', 'take v0'],
  'the APIC off and on between request and take': ['signal v0 s2 f5', 'apic v0 off', 'apic v0 on', 'take v0'],
  'asked while the APIC is off: nothing comes': ['apic v0 off', 'signal v0 s2 f6', 'apic v0 on', 'take v0'],
  'asked while masked: nothing comes': ['v0 x SINT2=0x100f3', 'post v0 s2 t=1', 'v0 x SINT2=0xf3', 'take v0'],
  'two requests for one vector are one': ['post v0 s2 t=1', 'signal v0 s2 f1', 'take v0', 'take v0'],
  'reset takes a request back': ['post v0 s2 t=1', 'reset v0', 'take v0'],
  'a direct timer': ['v0 x STIMER0_CONFIG=0x1ed9 STIMER0_COUNT=5', 'advance 9', 'take v0', 'eoi v0'],
  'a vector moved after the request': ['post v0 s2 t=1', 'v0 x SINT2=0xf4', 'take v0'],
}

it.each(
  PROFILES.flatMap((profile) => Object.entries(FINE).map(([why, lines]) => [profile, why, lines] as const)),
)('%s: %s', (profile, _why, lines) => {
  const m = audited({ profile, vcpus: 2 }, interruptGate).run(UP, 'signal v0 s2 f0', 'take v0', 'eoi v0')
  expect(m.run(...lines, 'settle').said()).toEqual([])
})

it('a polled SINT that interrupts, where polling means something', () => {
  for (const [profile, found] of [
    ['tlfs', 1],
    ['openvmm', 1],
    ['kvm-synic2', 0],
  ] as const) {
    const m = audited({ profile }, interruptGate).run('v0 x SINT2=0x400f3')
    doctored(m, { op: 'apic.tpr', vcpu: 0, value: 0 }, () => undefined)
    doctored(m, { op: 'vcpu.kick', vcpu: 0 }, irq(0xf3, 2))
    expect(m.violations.length).toBe(found)
  }
})

it.each([
  ['a masked SINT interrupts', 'v0 x SINT2=0x100f3', irq(0xf3, 2), 'although it is masked'],
  ['another vector than the SINT has', 'v0 x SINT2=0xf3', irq(0xf4, 2), 'has vector 0xf3'],
  ['the APIC is off', 'apic v0 off', irq(0xf3, 2), 'the APIC is off'],
] as const)('%s', (_why, line, spoil, text) => {
  const m = audited({ profile: 'kvm-synic2' }, interruptGate).run(UP, line)
  doctored(m, { op: 'vcpu.kick', vcpu: 0 }, spoil)
  expect(m.violations[0]).toMatchObject({ invariant: 'I11', severity: 'error', vcpu: 0 })
  expect(m.violations[0].text).toContain(text)
})

it('a request that vanishes, and one that nobody made', () => {
  const m = audited({ profile: 'tlfs' }, interruptGate).run(UP, 'post v0 s2 t=1')
  clearBit(m.partition.machine.w, IRR, 0xf3)
  m.run('settle')
  expect(m.violations[0].text).toContain('is gone although nobody took it')
  setBit(m.partition.machine.w, IRR, 0x40)
  m.run('take v0')
  expect(m.violations[1].text).toBe('vector 0x40 was taken, but nobody requested it while its gate was open')
  expect(m.run('take v0', 'settle').violations.length).toBe(2)
})
