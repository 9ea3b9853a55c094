/** I3: a page or the SynIC is switched off under somebody who still needs it, and it is said who. */
import { expect, it } from 'vitest'
import { rugPull } from '../../src/audit/rules/rug-pull.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const DOWN = 'v0 vmbus SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0'
const MSHV = 'v0 mshv SINT0=0xf3 SINT5=0xf3 SIRBP=0x12001'

it.each([
  [
    'everything off under the other driver',
    'tlfs',
    [UP, 'v0 mshv SIEFP=0 SIMP=0 SCONTROL=0'],
    ['rug_pull mshv 40000082', 'rug_pull mshv 40000083', 'rug_pull mshv 40000080'],
  ],
  [
    'the owner goes first: its SCONTROL is another rule',
    'tlfs',
    [UP, MSHV, DOWN],
    ['rug_pull vmbus 40000083', 'rug_pull vmbus 40000082'],
  ],
  ['the other went first', 'tlfs', [UP, MSHV, 'v0 mshv SINT0=0x100f3 SINT5=0x100f3 SIRBP=0', DOWN], []],
  [
    'an event ring alone',
    'tlfs',
    [UP, 'v0 mshv SIRBP=0x12001', 'v0 vmbus SIMP=0'],
    ['rug_pull vmbus 40000083'],
  ],
  [
    'a timer in message mode outlives the page and the SynIC',
    'tlfs',
    [UP, 'v0 stimer STIMER0_COUNT=10000 STIMER0_CONFIG=0x20003', DOWN],
    ['rug_pull vmbus 40000083', 'rug_pull vmbus 40000080'],
  ],
  [
    'on KVM no timer asks SCONTROL',
    'kvm-synic2',
    [UP, 'v0 stimer STIMER0_COUNT=10000 STIMER0_CONFIG=0x20003', DOWN],
    ['rug_pull vmbus 40000083'],
  ],
  [
    'a timer in direct mode needs nothing',
    'tlfs',
    [UP, 'v0 stimer STIMER0_COUNT=1000 STIMER0_CONFIG=0x1ed3', DOWN],
    [],
  ],
  [
    'a timer stopped in time',
    'tlfs',
    [UP, 'v0 stimer STIMER0_COUNT=1000 STIMER0_CONFIG=0x20003 STIMER0_CONFIG=0', DOWN],
    [],
  ],
  ['its own', 'tlfs', [UP, 'v0 vmbus SIMP=0 SCONTROL=0'], []],
  ['moved, not disabled', 'tlfs', [UP, MSHV, 'v0 vmbus SIMP=0x20001'], []],
  [
    'a driver that has left needs nothing',
    'tlfs',
    ['attach SINT5 by mshv', UP, MSHV, 'detach by mshv', DOWN],
    [],
  ],
  ['nor does one of the kernel before', 'tlfs', [UP, MSHV, 'boot K2', DOWN], []],
  ['the host may', 'tlfs', [UP, 'v0 host SIMP=0 SCONTROL=0'], []],
] as const)('%s', (_why, profile, lines, expected) => {
  const m = audited({ profile, kind: 'l1vh' }, rugPull).run(...lines)
  expect(m.said()).toEqual(expected)
})

it('names the dependent and what it holds', () => {
  const m = audited({ profile: 'tlfs', kind: 'l1vh' }, rugPull).run(UP, 'v0 mshv SIMP=0')
  expect(m.violations).toMatchObject([
    { other: 'vmbus', otherSeq: 4, text: 'mshv disables SIMP while vmbus still has SINT2 unmasked' },
  ])
})
