/** I8: who may write a slot when; a reader clears what it has read, and not what came since. */
import { expect, it } from 'vitest'
import { slotOwnership } from '../../src/audit/rules/slot-ownership.js'
import { EFFECT_MESSAGE } from '../../src/synic/effects.js'
import { MESSAGE_FRAME } from '../../src/synic/layout.js'
import { type AuditedMachine, audited } from '../support/audited.js'
import type { WireInput } from '../support/machine.js'

const UP = 'v0 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1'
const GPA = '0x10200'
const read = (actor: string): WireInput => ({ op: 'mem.read', gpa: GPA, len: 256, actor })
const cas = (actor: string): WireInput => ({ op: 'mem.cas', gpa: GPA, len: 4, expect: 1, value: 0, actor })
const xchg = (actor: string): WireInput => ({ op: 'mem.xchg', gpa: GPA, len: 4, value: 0, actor })
const clear = 'poke 0x10200=00000000'

type Step = string | WireInput
function play(m: AuditedMachine, steps: readonly Step[]): AuditedMachine {
  for (const step of steps) {
    if (typeof step === 'string') m.run(step)
    else m.do(step)
  }
  return m
}

/** A waits in the slot, B behind it; the second reader makes room for B before the first one clears. */
const race = (...end: Step[]) => ['post v0 s2 t=1 #A', 'post v0 s2 t=1 #B', read('h1'), read('h2'), ...end]

it.each([
  ['one reader, plain store', ['post v0 s2 t=1', read('h1'), `${clear} by h1`], []],
  [
    'two readers, plain stores',
    race(`${clear} by h2`, 'v0 h2 EOM=0', `${clear} by h1`),
    ['slot_ownership h1 40000092'],
  ],
  [
    'the second only finds nothing',
    ['post v0 s2 t=1', read('h1'), read('h2'), `${clear} by h2`, `${clear} by h1`],
    [],
  ],
  [
    'equal types deceive a compare-and-swap',
    race(cas('h2'), 'v0 h2 EOM=0', cas('h1')),
    ['slot_ownership h1 40000092'],
  ],
  [
    'different types do not',
    ['post v0 s2 t=1', 'post v0 s2 t=2', read('h1'), read('h2'), cas('h2'), 'v0 h2 EOM=0', cas('h1')],
    [],
  ],
  ['an exchange is a clear', race(xchg('h2'), 'v0 h2 EOM=0', xchg('h1')), ['slot_ownership h1 40000092']],
  ['a completion is a clear', race('done v0 s2 by h2', 'done v0 s2 by h1'), ['slot_ownership h1 40000092']],
  ['read again first', race('done v0 s2 by h2', read('h1'), 'done v0 s2 by h1'), []],
  [
    'a poll of the empty slot is no reading',
    [read('h1'), 'post v0 s2 t=1', `${clear} by h1`],
    ['slot_ownership h1 40000092'],
  ],
  [
    'who shows no reads is not judged',
    ['post v0 s2 t=1', 'done v0 s2 by h1', 'post v0 s2 t=1', 'done v0 s2 by h1'],
    [],
  ],
  ['a reset ends what was read', race('reset v0', UP, 'post v0 s2 t=1', `${clear} by h1`), []],
  ['the guest fills a slot', ['poke 0x10200=01 by h1'], ['slot_ownership h1 40000092']],
  [
    'the guest changes a message',
    ['post v0 s2 t=1', 'poke 0x10200=02 by h1'],
    ['slot_ownership h1 40000092'],
  ],
  ['writes beside the type', ['post v0 s2 t=1', 'poke 0x10210=aabb by h1'], []],
  ['a page of zeros', ['post v0 s2 t=1', `poke 0x10000=${'00'.repeat(4096)} by h1`], []],
  [
    'a write that reaches over from the page before',
    [`poke 0xff00=${'11'.repeat(0x340)} by h1`],
    [0, 1, 2].map((s) => `slot_ownership h1 4000009${s}`),
  ],
  ['memory that is no message page', ['poke 0x20200=01 by h1'], []],
  ['the host restores memory', [{ op: 'mem.write', gpa: GPA, hex: '01', by: 'host' }], []],
  ['by nobody in particular', ['poke 0x10200=01'], ['slot_ownership? 40000092']],
  ['a post to a full slot sets its pending flag', ['post v0 s2 t=1', 'post v0 s2 t=1'], []],
] as [string, Step[], string[]][])('%s', (_why, steps, expected) => {
  const m = audited({ profile: 'tlfs' }, slotOwnership).run(UP)
  expect(play(m, steps).said()).toEqual(expected)
})

it('says which reading is old', () => {
  const m = audited({ profile: 'tlfs' }, slotOwnership).run(UP)
  play(m, race(`${clear} by h2`, 'v0 h2 EOM=0', `${clear} by h1`))
  expect(m.violations).toMatchObject([
    { otherSeq: 10, text: 'h1 clears a message it has not read: it read the slot at op 7 (SINT2 of vCPU 0)' },
  ])
})

it.each([
  [
    'another message in its place',
    (m: AuditedMachine) => m.partition.effects.push(EFFECT_MESSAGE, 0, 2 << 8, 1),
  ],
  [
    'another type in its place',
    (m: AuditedMachine) => {
      const { memory, w } = m.partition.machine
      memory.bytes(w[MESSAGE_FRAME])[0x200] = 9
    },
  ],
] as const)('guards the machine itself: the host puts %s', (_why, spoil) => {
  const m = audited({ profile: 'tlfs' }, slotOwnership).run(UP, 'post v0 s2 t=1', 'post v0 s2 t=1')
  spoil(m)
  m.auditor.after()
  expect(m.auditor.found).toMatchObject([
    { severity: 'error', text: expect.stringContaining('writes over the message') },
  ])
})

it('a slot that the host fills again at once was not filled by the guest', () => {
  const m = audited({ profile: 'openvmm' }, slotOwnership).run(UP)
  play(m, ['post v0 s2 t=1', 'post v0 s2 t=2', read('h1'), cas('h1')])
  expect(m.said()).toEqual([])
})
