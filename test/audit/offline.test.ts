/** I23: nothing waits for a vCPU that is offline and nothing leads to it. */
import { expect, it } from 'vitest'
import { offline } from '../../src/audit/rules/offline.js'
import { audited } from '../support/audited.js'

const UP = 'v1 vmbus SIMP=0x12001 SIEFP=0x13001 SINT2=0xf3 SCONTROL=1'
const DOWN = 'v1 vmbus SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0'

it.each([
  ['all given up', 'tlfs', [UP, 'signal v1 s2 f5', 'clear', DOWN, 'offline v1', 'settle'], []],
  ['a flag is up in an enabled page', 'tlfs', [UP, 'signal v1 s2 f5', 'offline v1'], ['an event flag']],
  ['a flag went down with its page', 'tlfs', [UP, 'signal v1 s2 f5', DOWN, 'offline v1'], ['an event flag']],
  ['the same in RAM', 'kvm-synic2', [UP, 'signal v1 s2 f5', DOWN, 'offline v1'], ['an event flag']],
  ['flag 0 is no channel', 'tlfs', [UP, 'signal v1 s2 f0', DOWN, 'offline v1'], []],
  [
    'a flag comes later, told when settled',
    'tlfs',
    [UP, 'offline v1', 'signal v1 s2 f5', 'settle', 'settle'],
    ['an event flag'],
  ],
  ['an unread message', 'tlfs', [UP, 'post v1 s2 t=1', 'offline v1'], ['a message waits']],
  [
    'queued behind it',
    'tlfs',
    [UP, 'post v1 s2 t=1', 'post v1 s2 t=1', DOWN, 'offline v1'],
    ['a message waits'],
  ],
  ['a message, read', 'tlfs', [UP, 'post v1 s2 t=1', 'done v1 s2', DOWN, 'offline v1'], []],
  ['a timer', 'tlfs', ['v1 t STIMER0_COUNT=100 STIMER0_CONFIG=0x1ed3', 'offline v1'], ['a timer is enabled']],
  ['a route', 'kvm-synic2', ['route 24:v1.s2', 'offline v1'], ['a GSI is routed to it']],
  ['a route to another', 'kvm-synic2', ['route 24:v0.s2', 'offline v1'], []],
  ['online again', 'tlfs', [UP, 'signal v1 s2 f5', 'online v1', 'settle'], []],
  [
    'told again of the next time',
    'tlfs',
    [UP, 'signal v1 s2 f5', 'offline v1', 'online v1', 'offline v1'],
    ['an event', 'an event'],
  ],
  [
    'page taken up again and emptied',
    'tlfs',
    [UP, 'signal v1 s2 f5', DOWN, UP, 'clear', DOWN, 'offline v1'],
    [],
  ],
] as const)('%s', (_why, profile, lines, expected) => {
  const m = audited({ profile, vcpus: 2 }, offline)
  const clear = 'poke 0x13200=00000000'
  m.run(...lines.map((line) => (line === 'clear' ? clear : line)))
  expect(m.violations.map(({ text }) => text)).toEqual(expected.map((what) => expect.stringContaining(what)))
})

it('a port that leads there', () => {
  const m = audited({ profile: 'tlfs', vcpus: 2 }, offline)
  m.do({ op: 'port.create', port: 1, type: 'event', vcpu: 1, sint: 2 })
  expect(m.run('offline v1').violations).toMatchObject([
    { vcpu: 1, text: expect.stringContaining('a port leads to it') },
  ])
})
