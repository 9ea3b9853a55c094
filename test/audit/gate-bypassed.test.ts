/** I11: what interrupts with a SINT's vector came from a SINT. */
import { expect, it } from 'vitest'
import { gateBypassed } from '../../src/audit/rules/gate-bypassed.js'
import { audited } from '../support/audited.js'

const UP = 'v0,v1 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const SELF = 'ICR=0x440f3'
const RULE = 'gate_bypassed'

it.each([
  ["an IPI on a SINT's vector", [`v0 x ${SELF}`], [`${RULE} x 40000092`]],
  ['the same by the host', [`v0 host ${SELF}`], [`${RULE} 40000092`]],
  ['by nobody in particular', [`v0 ${SELF}`], [`${RULE}? 40000092`]],
  ['to all vCPUs', ['v0 x ICR=0x800f3'], [`${RULE} x 40000092`, `${RULE} x 40000092`]],
  ['to all others, of which one waits for it', ['post v1 s2 t=1', 'v0 x ICR=0xc00f3'], []],
  ['a vector that no SINT has', ['v0 x ICR=0x440f4'], []],
  ['a SINT that is masked', ['v0 vmbus SINT2=0x100f3', `v0 x ${SELF}`], []],
  ['requested already', ['post v0 s2 t=1', `v0 x ${SELF}`], []],
  ['taken since', ['post v0 s2 t=1', 'take v0', `v0 x ${SELF}`], [`${RULE} x 40000092`]],
  ['no fixed interrupt', ['v0 x ICR=0x444f3'], []],
  ['the APIC is off', ['apic v0 off', `v0 x ${SELF}`], []],
  ['another register', ['v0 x TPR=0', 'v0 x EOI=0'], []],
] as const)('%s', (_why, lines, expected) => {
  for (const profile of ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const) {
    expect(
      audited({ profile, vcpus: 2 }, gateBypassed)
        .run(UP, ...lines)
        .said(),
    ).toEqual(expected)
  }
})

it('a polled SINT has no interrupt of its own to be taken for', () => {
  const m = audited({ profile: 'tlfs' }, gateBypassed)
  expect(m.run('v0 vmbus SINT2=0x400f3 SCONTROL=1', `v0 x ${SELF}`).said()).toEqual([])
})

it('looks at each vCPU by itself, however many there are', () => {
  const m = audited({ profile: 'tlfs', vcpus: 40 }, gateBypassed)
  m.run('v0,v39 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1', 'post v0 s2 t=1', 'v1 x ICR=0xc00f3')
  expect(m.violations.map(({ vcpu }) => vcpu)).toEqual([39])
})
