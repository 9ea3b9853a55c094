/** I12: how interrupts end. */
import { expect, it } from 'vitest'
import { endOfInterrupt } from '../../src/audit/rules/end-of-interrupt.js'
import { clearBit, setBit } from '../../src/hv/bits.js'
import { AUTO_EOI_VECTORS, ISR } from '../../src/synic/layout.js'
import { audited } from '../support/audited.js'
import { doctored } from '../support/doctored.js'

const PAGES = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SCONTROL=1'
const RULE = 'end_of_interrupt'
const TAKEN = ['v0 x SINT2=0xf3', 'post v0 s2 t=1', 'take v0'] as const

it.each([
  ['taken, then ended', ['v0 x SINT2=0xf3', 'post v0 s2 t=1', 'take v0', 'eoi v0', 'settle'], []],
  ['auto-EOI: nothing follows', ['v0 x SINT2=0x200f3', 'post v0 s2 t=1', 'take v0', 'settle'], []],
  [
    'auto-EOI, and an EOI all the same',
    ['v0 x SINT2=0x200f3', 'post v0 s2 t=1', 'take v0', 'eoi v0'],
    [`${RULE}?`],
  ],
  ['the EOI register with nothing in service', ['v0 x EOI=0'], [`${RULE}? x 40000070`]],
  ['taken and never ended', ['v0 x SINT2=0xf3', 'post v0 s2 t=1', 'take v0', 'settle'], [`${RULE}?`]],
  [
    'auto-EOI switched on in service',
    ['v0 x SINT2=0xf3', 'post v0 s2 t=1', 'take v0', 'v0 x SINT2=0x200f3'],
    [`${RULE} x 40000092`],
  ],
  [
    'the same by nobody in particular',
    ['v0 x SINT2=0xf3', 'post v0 s2 t=1', 'take v0', 'v0 host SINT2=0x200f3'],
    [],
  ],
  [
    'switched on before it is taken',
    ['v0 x SINT2=0xf3', 'post v0 s2 t=1', 'v0 x SINT2=0x200f3', 'take v0'],
    [],
  ],
  ['masked in service', ['v0 x SINT2=0xf3', 'post v0 s2 t=1', 'take v0', 'v0 x SINT2=0x100f3', 'eoi v0'], []],
  [
    'auto-EOI switched on in service by way of a mask',
    [...TAKEN, 'v0 x SINT2=0x100f3', 'v0 x SINT2=0x200f3'],
    [`${RULE} x 40000092`],
  ],
  [
    'switched on under the mask, in steps',
    [...TAKEN, 'v0 x SINT2=0x100f3 SINT2=0x300f3 SINT2=0x200f3'],
    [`${RULE} x 40000092`],
  ],
  [
    'masked and switched on at once: told once',
    [...TAKEN, 'v0 x SINT2=0x300f3 SINT2=0x200f3'],
    [`${RULE} x 40000092`],
  ],
  [
    'there and back under the mask',
    [...TAKEN, 'v0 x SINT2=0x100f3 SINT2=0x300f3 SINT2=0x100f3 SINT2=0xf3'],
    [],
  ],
  [
    'switched on by the machine that is reset',
    [...TAKEN, 'v0 x SINT2=0x100f3', 'reset', PAGES, 'v0 x SINT2=0x200f3'],
    [],
  ],
  ['masked and unmasked as it was', [...TAKEN, 'v0 x SINT2=0x100f3 SINT2=0xf3', 'eoi v0'], []],
  [
    'switched on after the end, under a mask from before it',
    [...TAKEN, 'v0 x SINT2=0x100f3', 'eoi v0', 'v0 x SINT2=0x200f3'],
    [],
  ],
  [
    'the vector is in service again for another SINT',
    [
      ...TAKEN,
      'v0 x SINT2=0x100f3',
      'eoi v0',
      'v0 x SINT3=0xf3',
      'post v0 s3 t=1',
      'take v0',
      'v0 x SINT2=0xf3',
    ],
    [],
  ],
  ['two of one mind on one vector', ['v0 x SINT2=0x200f3 SINT3=0x200f3', 'settle'], []],
  ['changed one after the other', ['v0 x SINT2=0x200f3 SINT3=0x200f3 SINT2=0xf3 SINT3=0xf3', 'settle'], []],
  ['two that disagree, from then on', ['v0 x SINT2=0x200f3', 'v0 y SINT3=0xf3'], [`${RULE} y 40000093`]],
  ['told once', ['v0 x SINT2=0x200f3', 'v0 y SINT3=0xf3', 'settle', 'settle'], [`${RULE} y 40000093`]],
  ['by who wrote both', ['v0 x SINT2=0x200f3 SINT3=0xf3'], [`${RULE} x 40000093`]],
  ['unmasked into it', ['v0 x SINT2=0x200f3 SINT3=0x100f3 SINT3=0xf3'], [`${RULE} x 40000093`]],
  ['moved into it', ['v0 x SINT2=0x200f3 SINT3=0xf4 SINT3=0xf3'], [`${RULE} x 40000093`]],
  ['by nobody named', ['v0 SINT2=0x200f3 SINT3=0xf3'], [`${RULE}? 40000093`]],
  [
    "changed under somebody else's",
    ['v0 x SINT2=0x200f3', 'v0 y SINT3=0x200f3', 'v0 y SINT3=0xf3'],
    [`${RULE} y 40000093`],
  ],
  [
    'changed by half, and left so',
    ['v0 x SINT2=0x200f3 SINT3=0x200f3 SINT2=0xf3', 'settle'],
    [`${RULE} x 40000093`],
  ],
  ['restored in any order', ['v0 x SINT2=0x200f3', 'v0 host SINT3=0xf3 SINT2=0xf3', 'settle'], []],
  [
    'mended, then broken again',
    ['v0 x SINT2=0x200f3', 'v0 y SINT3=0xf3 SINT3=0x200f3 SINT3=0xf3'],
    [`${RULE} y 40000093`, `${RULE} y 40000093`],
  ],
  ['one of them masked', ['v0 x SINT2=0x200f3', 'v0 y SINT3=0x100f3', 'settle'], []],
] as const)('%s', (_why, lines, expected) => {
  for (const profile of ['kvm-synic2', 'tlfs', 'qemu'] as const) {
    expect(
      audited({ profile }, endOfInterrupt)
        .run(PAGES, ...lines)
        .said(),
    ).toEqual(expected)
  }
})

it('names the SINT of the other mind, and who wrote it when', () => {
  const m = audited({ profile: 'tlfs' }, endOfInterrupt).run('v0 x SINT2=0x200f3', 'v0 y SINT3=0xf3')
  expect(m.violations).toMatchObject([
    { seq: 3, actor: 'y', other: 'x', otherSeq: 2, text: expect.stringContaining(' with SINT2, ') },
  ])
})

it.each([
  ['on tlfs', 'tlfs', []],
  ['which KVM ignores', 'kvm-synic2', [`${RULE} y 40000093`]],
] as const)('a polled SINT, %s', (_where, profile, expected) => {
  const m = audited({ profile }, endOfInterrupt).run('v0 x SINT2=0x200f3', 'v0 y SINT3=0x400f3', 'settle')
  expect(m.said()).toEqual(expected)
})

it('the SINTs of both files of a nested root share their vCPU', () => {
  const m = audited({ profile: 'tlfs', kind: 'nested_root' }, endOfInterrupt)
  m.run('v0 x SINT2=0x200f3', 'v0 y NESTED_SINT3=0xf3', 'settle')
  expect(m.said()).toEqual([`${RULE} y 40001093`])
})

it('OpenVMM decides at the request: the last one wins', () => {
  const m = audited({ profile: 'openvmm' }, endOfInterrupt)
  m.run(
    PAGES,
    'v0 x SINT2=0xf3 SINT3=0x200f3',
    'post v0 s2 t=1',
    'post v0 s3 t=1',
    'take v0',
    'v0 x SINT3=0xf3',
  )
  // What is taken is in order; that the two disagreed for a while is told all the same.
  expect(m.run('settle').said()).toEqual([`${RULE} x 40000093`])
})

it.each([
  ['an auto-EOI vector in service', '0x200f3', (w: Int32Array) => setBit(w, ISR, 0xf3), 'ends by itself'],
  ['one that needs an EOI and is not', '0xf3', (w: Int32Array) => clearBit(w, ISR, 0xf3), 'needs an EOI'],
] as const)('%s', (_why, value, spoil, text) => {
  const m = audited({ profile: 'kvm-synic2' }, endOfInterrupt).run(
    PAGES,
    `v0 x SINT2=${value}`,
    'post v0 s2 t=1',
  )
  doctored(m, { op: 'apic.ack', vcpu: 0 }, ({ w }) => spoil(w))
  expect(m.violations).toMatchObject([{ severity: 'error', invariant: 'I12' }])
  expect(m.violations[0].text).toContain(text)
})

it('an APIC that forgot which vectors end by themselves', () => {
  const m = audited({ profile: 'tlfs' }, endOfInterrupt).run('v0 x SINT2=0x200f3')
  clearBit(m.partition.machine.w, AUTO_EOI_VECTORS, 0xf3)
  expect(m.run('settle').said()).toEqual([RULE])
})
