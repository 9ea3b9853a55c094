/** I6, I7 and slot_leak: what becomes of messages, and who comes back for those that wait. */
import { describe, expect, it } from 'vitest'
import { messageFate } from '../../src/audit/rules/message-fate.js'
import { messageUnread } from '../../src/audit/rules/message-unread.js'
import { messageUnseen } from '../../src/audit/rules/message-unseen.js'
import { slotLeak } from '../../src/audit/rules/slot-leak.js'
import { slotOwnership } from '../../src/audit/rules/slot-ownership.js'
import { waitingMessage } from '../../src/audit/rules/waiting-message.js'
import { DELIVERED, QUEUED } from '../../src/synic/effects.js'
import type { ProfileName } from '../../src/synic/profile.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const THREE = ['post v0 s2 t=1 #A', 'post v0 s2 t=2 #B', 'post v0 s2 t=3 #C']
const CYCLE = ['take v0', 'done v0 s2 by vmbus', 'eoi v0']
const PROFILES: ProfileName[] = ['kvm-synic2', 'qemu', 'openvmm', 'tlfs']

describe('message_fate', () => {
  it.each(PROFILES)('%s: three messages, one after the other, then a reset with some waiting', (profile) => {
    const m = audited({ profile }, messageFate)
    m.run(UP, ...THREE, ...CYCLE, ...CYCLE, ...CYCLE, 'settle', ...THREE, 'reset', UP, 'settle')
    expect(m.said()).toEqual([])
  })

  it('a queue that OpenVMM drops because its SINT is masked was reported', () => {
    const m = audited({ profile: 'openvmm' }, messageFate).run(
      UP,
      ...THREE,
      'v0 vmbus SINT2=0x100f3',
      ...CYCLE,
    )
    expect(m.run('settle').said()).toEqual([])
  })

  it('a port takes its messages along', () => {
    const m = audited({ profile: 'tlfs' }, messageFate).run(UP)
    m.do({ op: 'port.create', port: 1, type: 'message', sint: 2 })
    m.do({ op: 'connection.create', connection: 1, port: 1 })
    m.run('hc v0 post c1 t=1', 'hc v0 post c1 t=1')
    m.do({ op: 'port.delete', port: 1 })
    expect(m.run('settle').said()).toEqual([])
  })

  it.each([
    ['a message that vanished', (queue: unknown[]) => queue.shift(), 'was neither delivered nor dropped'],
    ['one that overtook another', (queue: unknown[]) => queue.reverse(), 'changed their order'],
  ] as const)('guards the machine itself: %s', (_why, spoil, text) => {
    const m = audited({ profile: 'tlfs' }, messageFate).run(UP, ...THREE)
    for (const queue of m.partition.machine.queues.values()) spoil(queue)
    expect(m.run('settle').violations).toMatchObject([
      { severity: 'error', vcpu: 0, text: expect.stringContaining(text) },
    ])
  })

  it.each([
    ['delivered', DELIVERED],
    ['queued', QUEUED],
  ] as const)('guards the machine itself: %s, and nowhere', (_why, delivery) => {
    const m = audited({ profile: 'tlfs' }, messageFate).run(UP, 'post v0 s2 t=1')
    m.partition.effects.length = 0
    m.partition.effects.setDelivery(delivery)
    m.auditor.after()
    expect(m.auditor.found).toMatchObject([{ text: expect.stringContaining('the message is nowhere') }])
  })
})

describe('message_unread', () => {
  const POST = 'post v0 s2 t=1'
  it.each([
    ['SIMP is taken away under it', 'tlfs', [UP, POST, 'v0 mshv SIMP=0'], ['message_unread mshv 40000083']],
    ['its own reader gives up', 'tlfs', [UP, POST, 'v0 vmbus SIMP=0'], ['message_unread? vmbus 40000083']],
    [
      'whose reader had masked its SINT',
      'tlfs',
      [UP, POST, 'v0 vmbus SINT2=0x100f3', 'v0 mshv SIMP=0'],
      ['message_unread? mshv 40000083'],
    ],
    ['read before', 'tlfs', [UP, POST, ...CYCLE, 'v0 mshv SIMP=0'], []],
    ['an overlay moves and takes it along', 'tlfs', [UP, POST, 'v0 mshv SIMP=0x20001'], []],
    ['RAM does not move', 'kvm-synic2', [UP, POST, 'v0 mshv SIMP=0x20001'], ['message_unread mshv 40000083']],
    [
      'written again in place, and zeroed',
      'kvm-synic',
      [UP, POST, 'v0 mshv SIMP=0x10001'],
      ['message_unread mshv 40000083'],
    ],
    ['written again in place', 'kvm-synic2', [UP, POST, 'v0 mshv SIMP=0x10001'], []],
    ['by the host', 'tlfs', [UP, POST, 'v0 host SIMP=0'], []],
    ['its vCPU is offline', 'tlfs', [UP, POST, 'offline v0', 'settle'], ['message_unread vmbus 40000092']],
    ['polled on every vCPU', 'tlfs', [UP, POST, 'offline v0', 'poke 0x10200=00000000', 'settle'], []],
    [
      'its reader has left',
      'tlfs',
      ['attach SINT2 by vmbus', UP, 'detach by vmbus', POST, 'settle'],
      ['message_unread vmbus 40000092'],
    ],
    ['its reader is there', 'tlfs', ['attach SINT2 by vmbus', UP, POST, 'settle'], []],
  ] as const)('%s', (_why, profile, lines, expected) => {
    expect(
      audited({ profile, kind: 'l1vh' }, messageUnread)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  })
})

describe('waiting_message', () => {
  const TWO = ['post v0 s2 t=1 #A', 'post v0 s2 t=1 #B']
  const LEFT = ['take v0', 'eoi v0', 'settle']
  it.each([
    ['behind one that will be read', 'tlfs', [UP, ...TWO, 'settle'], []],
    ['behind one that is being read', 'tlfs', [UP, ...TWO, 'take v0', 'settle'], []],
    ['behind one that its reader left', 'tlfs', [UP, ...TWO, ...LEFT], ['waiting_message vmbus 40000092']],
    ['the same in QEMU', 'qemu', [UP, ...TWO, ...LEFT], ['waiting_message vmbus 40000092']],
    ['the same in OpenVMM', 'openvmm', [UP, ...TWO, ...LEFT], ['waiting_message vmbus 40000092']],
    [
      'the same where KVM tells the sender "busy"',
      'kvm-synic2',
      [UP, ...TWO, ...LEFT],
      ['waiting_message vmbus 40000092'],
    ],
    [
      'old data that looks like a message',
      'kvm-synic2',
      ['poke 0x10200=ff', UP, 'post v0 s2 t=1', 'settle'],
      ['waiting_message vmbus 40000092'],
    ],
    ['all read', 'tlfs', [UP, ...TWO, ...CYCLE, ...CYCLE, 'settle'], []],
    [
      'a slot freed without EOM',
      'tlfs',
      [UP, ...TWO, 'poke 0x10200=00000000', 'settle'],
      ['waiting_message vmbus 40000092'],
    ],
    ['where nobody needs an EOM', 'openvmm', [UP, ...TWO, 'poke 0x10200=00000000', 'settle'], []],
    ['paused', 'tlfs', [UP, ...TWO, ...LEFT.slice(0, 2), 'pause', 'settle'], []],
    ['who masks its SINT polls', 'tlfs', [UP, ...TWO, 'v0 vmbus SINT2=0x100f3', ...LEFT], []],
    [
      'SIMP gone by another hand',
      'tlfs',
      [UP, ...TWO, 'v0 mshv SIMP=0', 'settle'],
      ['waiting_message vmbus 40000083'],
    ],
    [
      'SIMP gone by its own',
      'tlfs',
      [UP, ...TWO, 'v0 vmbus SIMP=0', 'settle'],
      ['waiting_message? vmbus 40000083'],
    ],
    [
      'refused, since another disabled SIMP',
      'tlfs',
      [UP, 'v0 mshv SIMP=0', 'post v0 s2 t=1', 'settle'],
      ['waiting_message vmbus 40000083'],
    ],
    [
      'refused by its own doing',
      'kvm-synic2',
      [UP, 'v0 vmbus SIMP=0', 'post v0 s2 t=1', 'settle'],
      ['waiting_message? vmbus 40000083'],
    ],
    [
      'refused before a page came',
      'tlfs',
      [UP, 'v0 vmbus SIMP=0', 'post v0 s2 t=1', 'v0 x SIMP=0x30001', 'settle'],
      [],
    ],
    [
      'nobody ever enabled SIMP',
      'tlfs',
      ['v0 mshv SINT0=0xf3 SCONTROL=1', 'post v0 s0 t=1', 'settle'],
      ['waiting_message mshv 40000083'],
    ],
    [
      'firmware that trusts SCONTROL',
      'tlfs',
      ['v0 fw SIMP=0x10001 SINT2=0xf3', 'post v0 s2 t=1', 'settle'],
      ['waiting_message? fw 40000080'],
    ],
    [
      'where SCONTROL is on from the start',
      'kvm-synic2',
      ['v0 fw SIMP=0x10001 SINT2=0xf3', 'post v0 s2 t=1', 'settle'],
      [],
    ],
  ] as const)('%s: %s', (_why, profile, lines, expected) => {
    expect(
      audited({ profile, kind: 'l1vh' }, waitingMessage)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  })

  it('a SINT that holds messages while masked', () => {
    const m = audited({ profile: 'tlfs', options: { masked_blocks_messages: true } }, waitingMessage)
    m.run(UP, 'v0 vmbus SINT2=0x100f3', 'post v0 s2 t=1', 'settle')
    expect(m.said()).toEqual(['waiting_message? vmbus 40000092'])
  })

  it('the two SynICs of a nested root, where nobody enables the one below', () => {
    const m = audited(
      { profile: 'tlfs', kind: 'nested_root', options: { nested_root_l1_enabled: false } },
      waitingMessage,
    )
    m.run('v0 vmbus NESTED_SIMP=0x10001 NESTED_SINT2=0xf3 NESTED_SCONTROL=1', 'v0 mshv SINT0=0xf3')
    m.run('post v0 s0 t=0x80000001 #intercept', 'settle')
    expect(m.violations).toMatchObject([
      {
        invariant: 'I7',
        severity: 'error',
        actor: 'mshv',
        text: 'messages for SINT0 are refused: nobody has enabled SIMP',
      },
    ])
  })

  it('a sender that forgets the pending flag', () => {
    const m = audited({ profile: 'kvm-synic2', options: { split_delivery: true } }, waitingMessage)
    m.run(
      UP,
      'post v0 s2 t=1 #A',
      'deliver slot',
      'deliver irq',
      'post v0 s2 t=1 #B',
      'deliver slot',
      'settle',
    )
    expect(m.violations).toMatchObject([{ text: expect.stringContaining('without pending flag') }])
    const fixed = audited({ profile: 'kvm-synic2', options: { split_delivery: true } }, waitingMessage)
    fixed.run(UP, 'post v0 s2 t=1 #A', 'deliver slot', 'deliver irq', 'post v0 s2 t=1 #B')
    expect(fixed.run('deliver pending', 'deliver slot', 'settle').said()).toEqual([])
  })
})

describe('slot_leak', () => {
  const FULL = [UP, 'post v0 s2 t=1', 'post v0 s2 t=1', 'take v0']
  const EMPTY = 'poke 0x10200=00000000 by vmbus'
  const AGAIN = ['signal v0 s2 f5', 'take v0']
  it.each([
    [
      'neither EOM nor EOI',
      'tlfs',
      [...FULL.slice(0, 3), 'v0 t SINT3=0xf4', EMPTY, 'signal v0 s3 f5', 'take v0'],
      ['slot_leak vmbus 40000092'],
    ],
    ['EOM', 'tlfs', [...FULL, EMPTY, 'v0 vmbus EOM=0', 'eoi v0', ...AGAIN], []],
    ['an EOI of its vector', 'tlfs', [...FULL, EMPTY, 'eoi v0', ...AGAIN], []],
    ['completed as drivers do', 'tlfs', [...FULL, 'done v0 s2 by vmbus', 'eoi v0', ...AGAIN], []],
    ['nothing was waiting', 'tlfs', [UP, 'post v0 s2 t=1', EMPTY, 'take v0'], []],
    ['nobody took anything', 'tlfs', [...FULL, EMPTY], []],
    [
      'an EOM for another vCPU',
      'tlfs',
      [...FULL.slice(0, 3), EMPTY, 'v1 vmbus EOM=0', 'take v0'],
      ['slot_leak vmbus 40000092'],
    ],
    [
      'the next interrupt is another vCPU’s',
      'tlfs',
      [...FULL, EMPTY, 'v1 x SINT2=0xf3 SIEFP=0x13001 SCONTROL=1', 'signal v1 s2 f5', 'take v1'],
      [],
    ],
    ['OpenVMM looks by itself', 'openvmm', [...FULL.slice(0, 3), EMPTY, 'take v0'], []],
    [
      'KVM, a sender told "busy"',
      'kvm-synic2',
      [...FULL.slice(0, 3), EMPTY, 'take v0'],
      ['slot_leak vmbus 40000092'],
    ],
    [
      'by nobody in particular',
      'kvm-synic2',
      [...FULL.slice(0, 3), 'poke 0x10200=00000000', 'take v0'],
      ['slot_leak? 40000092'],
    ],
    ['reset in between', 'tlfs', [...FULL, EMPTY, 'reset v0', UP, ...AGAIN], []],
  ] as const)('%s', (_why, profile, lines, expected) => {
    expect(
      audited({ profile, vcpus: 2 }, slotLeak)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  })
})

describe('a reset of one vCPU', () => {
  const OFFER = ['post v0 s2 t=1 #offer', 'reset v0']
  it.each([
    ['late, after the partition was reset', ['reset', UP, ...OFFER], ['message_unread 40000092']],
    ['of a machine that runs', OFFER, ['message_unread? 40000092']],
    ['with an empty slot', ['reset', UP, 'reset v0'], []],
    ['once the message was taken', ['reset', UP, 'post v0 s2 t=1', ...CYCLE, 'reset v0'], []],
    ['of the whole machine', ['post v0 s2 t=1 #offer', 'reset'], []],
    ['by a kernel that boots after a reset', ['post v0 s2 t=1 #offer', 'boot K2 reset'], []],
  ] as const)('%s', (_why, lines, expected) => {
    const m = audited({ profile: 'tlfs' }, messageUnread).run(UP, ...lines)
    expect(m.said()).toEqual(expected)
  })

  it('on KVM is of the APIC alone', () => {
    const m = audited({ profile: 'kvm-synic2' }, messageUnread).run(UP, 'reset', UP, ...OFFER)
    expect(m.said()).toEqual([])
  })
})

describe('message_unseen', () => {
  const read = (actor: string) => ({ op: 'mem.read', gpa: '0x10200', len: 256, actor })
  const CLEAR = 'poke 0x10200=00000000'
  const race = (seen: readonly string[]) => {
    const m = audited({ profile: 'tlfs' }, slotOwnership, messageUnseen)
    m.run(UP, 'post v0 s2 t=1 #A', 'post v0 s2 t=1 #B')
    for (const actor of ['h1', 'h2']) m.do(read(actor))
    m.run(`${CLEAR} by h2`, 'v0 h2 EOM=0')
    for (const actor of seen) m.do(read(actor))
    return m.run(`${CLEAR} by h1`).said()
  }

  it.each([
    ['a message that nobody has seen', [], ['slot_ownership h1 40000092', 'message_unseen h1 40000092']],
    ['one that another has read', ['h2'], ['slot_ownership h1 40000092']],
    ['one that it has read itself', ['h1'], []],
  ] as const)('%s', (_why, seen, expected) => {
    expect([...race(seen)].sort()).toEqual([...expected].sort())
  })
})
