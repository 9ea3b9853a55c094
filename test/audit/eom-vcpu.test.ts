/** I13, from its definition: whose EOM and EOI they are. */
import { expect, it } from 'vitest'
import { eomVcpu } from '../../src/audit/rules/eom-vcpu.js'
import { EFFECT_EOI, EFFECT_MESSAGE, FROM_MESSAGE, sintWord } from '../../src/synic/effects.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

const UP = [
  'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1',
  'v1 vmbus SIMP=0x20001 SIEFP=0x21001 SINT2=0xf3 SCONTROL=1',
]
const TWO_MESSAGES = ['post v0 s2 t=1 #A', 'post v0 s2 t=1 #B']
const EMPTY = 'poke 0x10200=00000000 by vmbus'
const PROFILES = ['kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const

it.each([
  ['each vCPU ends its own', [...TWO_MESSAGES, 'done v0 s2', 'done v0 s2', 'v1 vmbus EOM=0']],
  ['emptied by one, EOM by the same', [...TWO_MESSAGES, EMPTY, 'v0 vmbus EOM=0']],
  ['emptied by a stranger, nothing waits', ['post v0 s2 t=1', EMPTY, 'v1 vmbus EOM=0']],
  ['the right EOM comes too', [...TWO_MESSAGES, EMPTY, 'v1 vmbus EOM=0', 'v0 vmbus EOM=0']],
  ['EOM elsewhere for a reason of its own', [...TWO_MESSAGES, 'v1 vmbus EOM=0']],
  [
    'EOI with something in service',
    ['post v0 s2 t=1', 'post v1 s2 t=1', 'take v0', 'take v1', 'eoi v1', 'eoi v0'],
  ],
  ['a kernel ends, and its slots with it', [...TWO_MESSAGES, EMPTY, 'v1 vmbus EOM=0', 'boot next reset']],
] as const)('%s', (_why, lines) => {
  for (const profile of PROFILES) {
    expect(
      audited({ profile, vcpus: 2 }, eomVcpu)
        .run(...UP, ...lines, 'settle')
        .said(),
    ).toEqual([])
  }
})

it.each([
  ['qemu', ['eom_vcpu vmbus']],
  ['tlfs', ['eom_vcpu vmbus']],
  // Nothing waits in KVM itself, and OpenVMM looks into slots without being told.
  ['kvm-synic2', []],
  ['openvmm', []],
] as const)('emptied on one vCPU, EOM on another, while a message waits: %s', (profile, expected) => {
  const m = audited({ profile, vcpus: 2 }, eomVcpu)
  m.run(...UP, ...TWO_MESSAGES, EMPTY, 'v1 vmbus EOM=0', 'settle')
  expect(m.said()).toEqual(expected)
  if (expected.length > 0)
    expect(m.violations[0]).toMatchObject({ invariant: 'I13', severity: 'error', vcpu: 0 })
})

it('a timer of KVM waits just so', () => {
  const m = audited({ profile: 'kvm-synic2', vcpus: 2 }, eomVcpu)
  m.run(...UP, 'post v0 s2 t=1', 'v0 t STIMER0_CONFIG=0x20001 STIMER0_COUNT=5', 'advance 10')
  expect(m.run(EMPTY, 'v1 vmbus EOM=0', 'settle').said()).toEqual(['eom_vcpu vmbus'])
})

it.each([
  ['EOI', { op: 'apic.eoi', vcpu: 0 }, [EFFECT_EOI, 1, 0xf3, 0]],
  ['EOI', { op: 'msr.write', vcpu: 0, msr: 'EOI', value: 0 }, [EFFECT_EOI, 1, 0xf3, 0]],
  [
    'EOM',
    { op: 'message.complete', vcpu: 0, sint: 2 },
    [EFFECT_MESSAGE, 1, sintWord(FROM_MESSAGE, 2, false), 1],
  ],
  [
    'EOM',
    { op: 'msr.write', vcpu: 0, msr: 'EOM', value: 0 },
    [EFFECT_MESSAGE, 1, sintWord(FROM_MESSAGE, 2, false), 1],
  ],
] as const)('an %s that acts elsewhere', (what, op, [kind, a, b, c]) => {
  const m = audited({ profile: 'tlfs', vcpus: 2 }, eomVcpu).run(...UP, 'post v0 s2 t=1')
  doctored(m, op, ({ effects }) => effects.push(kind, a, b, c))
  expect(m.violations).toMatchObject([
    { vcpu: 1, severity: 'error', text: `${what} on vCPU 0 acted on vCPU 1` },
  ])
})

it('two vCPUs with one page empty each other', () => {
  const m = audited({ profile: 'openvmm', vcpus: 2 }, eomVcpu)
  m.run('v0,v1 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1', 'post v1 s2 t=1', 'post v1 s2 t=2', 'done v0 s2')
  expect(m.said()).toEqual([])
})
