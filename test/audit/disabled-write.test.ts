/** A teardown write under a clear SCONTROL is told with both names; one on the way up is a note. */
import { expect, it } from 'vitest'
import { disabledWrite } from '../../src/audit/rules/disabled-write.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const DOWN = 'v0 vmbus SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0'
const four = ['92', '83', '82', '80'].map((msr) => `disabled_write vmbus 400000${msr}`)

it.each([
  ['the other driver was first', 'l1vh', 'audit', [UP, 'v0 mshv SCONTROL=0', DOWN], four],
  ['the same where the writes fault', 'l1vh', 'fault', [UP, 'v0 mshv SCONTROL=0', DOWN], four],
  ['where it is allowed nobody minds', 'l1vh', 'allow', [UP, 'v0 mshv SCONTROL=0', DOWN], []],
  ['down in order', 'l1vh', 'fault', [UP, DOWN], []],
  ['up with SCONTROL clear', 'l1vh', 'fault', [UP], []],
  [
    'masking before anybody was up',
    'l1vh',
    'audit',
    ['v0 mshv SINT5=0x10000'],
    ['disabled_write? mshv 40000095'],
  ],
  [
    'after a reset',
    'l1vh',
    'audit',
    [UP, DOWN, 'reset v0', 'v0 mshv SINT5=0x10000'],
    ['disabled_write? mshv 40000095'],
  ],
  [
    'a guest that asked to be told',
    'guest',
    'audit',
    [UP, 'v0 vmbus SCONTROL=0 SIMP=0'],
    ['disabled_write? vmbus 40000083'],
  ],
] as const)('%s', (_why, kind, disabled_write, lines, expected) => {
  const m = audited({ profile: 'tlfs', kind, options: { disabled_write } }, disabledWrite).run(...lines)
  expect(m.said()).toEqual(expected)
})

it('says who, by whom, and that a faulting write is lost', () => {
  const m = audited({ profile: 'tlfs', kind: 'l1vh', options: { disabled_write: 'fault' } }, disabledWrite)
  m.run(UP, 'v0 mshv SCONTROL=0', 'v0 vmbus SINT2=0x100f3')
  expect(m.violations).toMatchObject([
    {
      actor: 'vmbus',
      other: 'mshv',
      otherSeq: 6,
      text: 'vmbus tears SINT2 down on a SynIC that was disabled by mshv; the write faults and is lost',
    },
  ])
})
