/** I1: writing a SynIC that another has switched off under one; coming up anew is no such write. */
import { expect, it } from 'vitest'
import { writeUnderForeignDisable } from '../../src/audit/rules/write-under-foreign-disable.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const DOWN = 'v0 vmbus SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0'
const RULE = 'write_under_foreign_disable'
const foreign = ['40000092', '40000083', '40000082'].map((msr) => `${RULE} vmbus ${msr}`)

it.each([
  ['another driver switches it off first', 'l1vh', [UP, 'v0 mshv SIEFP=0 SIMP=0 SCONTROL=0', DOWN], foreign],
  ['in a plain guest too', 'guest', [UP, 'v0 mshv SCONTROL=0', DOWN], foreign],
  ['EOM as well', 'l1vh', [UP, 'v0 mshv SCONTROL=0', 'v0 vmbus EOM=0'], [`${RULE} vmbus 40000084`]],
  [
    'and the EOM of a message that is completed',
    'l1vh',
    [UP, 'post v0 s2 t=1', 'post v0 s2 t=1', 'v0 mshv SCONTROL=0', 'done v0 s2 by vmbus'],
    [`${RULE} vmbus 40000084`],
  ],
  [
    'a driver that set itself up and is told too late',
    'l1vh',
    [UP, 'v0 mshv SINT0=0xf3 SIRBP=0x12001', DOWN, 'v0 mshv SINT0=0x100f3 SIRBP=0'],
    [`${RULE} mshv 40000090`, `${RULE} mshv 40000085`],
  ],
  ['each touches its own', 'l1vh', [UP, 'v0 mshv SINT0=0xf3', 'v0 mshv SINT0=0x100f3', DOWN], []],
  ['up with SCONTROL clear from the start', 'l1vh', [UP], []],
  ['up again after its own clean end', 'l1vh', [UP, DOWN, UP], []],
  [
    'another comes up after a clean end',
    'guest',
    [UP, DOWN, 'v0 other SINT2=0x10000 SIMP=0x20001 SINT2=0xf4'],
    [],
  ],
  ['up again after both have gone', 'l1vh', [UP, 'v0 mshv SCONTROL=0', DOWN, UP], foreign],
  [
    'the next kernel masks what it finds before it comes up',
    'l1vh',
    [UP, 'v0 mshv SCONTROL=0', 'boot K2', 'v0 vmbus SINT2=0x10000 SIMP=0x20001'],
    [],
  ],
  ['after a reset nothing is left to tear down', 'l1vh', [UP, 'v0 mshv SCONTROL=0', 'reset v0', DOWN], []],
  ['somebody enabled it again', 'l1vh', [UP, 'v0 mshv SCONTROL=0 SCONTROL=1', DOWN], []],
  ['the host switched it off', 'l1vh', [UP, 'v0 host SCONTROL=0', DOWN], []],
  [
    'SCONTROL first by the same driver, as guests do',
    'guest',
    [UP, 'v0 vmbus SCONTROL=0 SINT2=0x100f3 SIMP=0 SIEFP=0'],
    foreign.map((said) => said.replace(' ', '? ')),
  ],
  ['which parents may not', 'l1vh', [UP, 'v0 vmbus SCONTROL=0 SINT2=0x100f3 SIMP=0 SIEFP=0'], foreign],
  ['who names nobody is nobody else', 'l1vh', [UP, 'v0 mshv SCONTROL=0', 'v0 host SINT2=0x100f3'], []],
] as const)('%s', (_why, kind, lines, expected) => {
  const m = audited({ profile: 'tlfs', kind }, writeUnderForeignDisable).run(...lines)
  expect(m.said()).toEqual(expected)
})

it('names who did it, and when', () => {
  const m = audited({ profile: 'tlfs', kind: 'l1vh' }, writeUnderForeignDisable)
  m.run(UP, 'v0 mshv SCONTROL=0', 'v0 vmbus SINT2=0x100f3')
  expect(m.violations).toMatchObject([
    { other: 'mshv', otherSeq: 6, text: 'vmbus writes SINT2 of a SynIC that mshv disabled under it' },
  ])
})

it('a nested SynIC is one of its own', () => {
  const m = audited({ profile: 'tlfs', kind: 'nested_root' }, writeUnderForeignDisable)
  m.run('v0 vmbus NESTED_SIMP=0x10001 NESTED_SCONTROL=1', 'v0 mshv SCONTROL=0', 'v0 vmbus NESTED_SIMP=0')
  expect(m.said()).toEqual([])
})
