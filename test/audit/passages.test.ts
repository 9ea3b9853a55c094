/** What a reset, another kernel, a crash or a VMM's hand changes in what the auditor knows, and what not. */
import { describe, expect, it } from 'vitest'
import { writeUnderForeignDisable } from '../../src/audit/rules/write-under-foreign-disable.js'
import { audited } from '../support/audited.js'

const tlfs = (kind: 'guest' | 'l1vh' | 'nested_root' = 'guest', vcpus = 2) =>
  audited({ profile: 'tlfs', kind, vcpus })
const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0x200f3 SCONTROL=1'

describe('a kernel that finds a SynIC switched on, and uses it', () => {
  it('depends on it as the one before did', () => {
    const m = tlfs('l1vh')
    m.run(UP, 'v0 mshv SINT0=0xf3', 'boot k2 crash')
    m.run('v0 vmbus SIMP=0x20001 SIEFP=0x21001 SINT2=0xf3 SCONTROL=1', 'v0 mshv SINT0=0xf3')
    m.violations.length = 0
    m.run('v0 mshv SCONTROL=0', 'v0 vmbus SINT2=0x100f3 SIMP=0')
    expect(m.said()).toEqual([
      'foreign_write mshv 40000080',
      'rug_pull mshv 40000080',
      'write_under_foreign_disable vmbus 40000092',
      'disabled_write vmbus 40000092',
      'write_under_foreign_disable vmbus 40000083',
      'disabled_write vmbus 40000083',
      'rug_pull vmbus 40000083',
    ])
    expect(m.violations[1]).toMatchObject({ other: 'vmbus', text: expect.stringContaining('SINT2 unmasked') })
  })

  it('is the one that leaves it to the next', () => {
    const m = tlfs().run('v0 vmbus SIMP=0x10001', 'boot k2 crash', 'v0 fb SIMP=0x20001')
    m.violations.length = 0
    m.run('boot k3')
    expect(m.violations).toMatchObject([{ rule: 'stale_page', actor: 'fb', severity: 'error', otherSeq: 5 }])
  })
})

describe('after a crash', () => {
  it.each([
    ['the kernel that takes over answers for itself', ['boot kdump crash']],
    ['so does the one behind a reset of the machine', ['reset']],
  ])('%s', (_what, between) => {
    const m = tlfs().run('v0 vmbus GUEST_OS_ID=0x1', 'v0 linux CRASH_CTL=0x8000000000000000', ...between)
    m.run(UP, 'v0 linux GUEST_OS_ID=0x1')
    m.violations.length = 0
    m.run('v0 linux GUEST_OS_ID=0')
    expect(m.said()).toEqual([
      'stale_sint vmbus 40000092',
      'stale_page vmbus 40000082',
      'stale_page vmbus 40000083',
    ])
  })
})

describe('what a VMM writes as host', () => {
  const RESTORE = 'v0 host SCONTROL=1 SIMP=0x10001 SINT2=0xf3'

  it("is nobody's use of the register", () => {
    const m = tlfs().run(RESTORE, 'post v0 s2 t=1', 'v0 vmbus SIMP=0x10001 SINT2=0xf3 SIMP=0')
    expect(m.said()).toEqual(['message_unread? vmbus 40000083'])
  })

  it('is its owner\u2019s, if that one is there', () => {
    const m = tlfs('l1vh').run('v0 vmbus SIEFP=0', RESTORE, 'v0 mshv SIRBP=0 SIMP=0')
    expect(m.violations.find(({ rule }) => rule === 'rug_pull')).toMatchObject({
      actor: 'mshv',
      other: 'vmbus',
    })
  })
})

describe('the reset of another vCPU', () => {
  const LEAK = ['post v0 s2 t=1 #A', 'post v0 s2 t=1 #B', 'take v0', 'poke 0x10200=00000000']
  const NEXT = ['v0 vmbus SINT3=0x200f4', 'signal v0 s3 f1', 'take v0']
  const BUSY = ['post v0 s2 t=1', 'post v0 s2 t=1', 'take v0', 'eoi v0']

  it.each([
    ['slot_leak', 'tlfs', LEAK, NEXT],
    ['waiting_message', 'kvm-synic2', BUSY, ['settle']],
    ['event_flags', 'tlfs', ['signal v0 s2 f5', 'v0 vmbus SIEFP=0'], ['settle']],
    ['offline', 'tlfs', ['signal v0 s2 f5', 'v0 vmbus SIEFP=0'], ['offline v0']],
  ] as const)('lets %s be told all the same', (rule, profile, before, after) => {
    for (const between of [[], ['reset v1']]) {
      const m = audited({ profile, vcpus: 2 }).run(UP, ...before, ...between, ...after)
      expect(m.said().some((said) => said.startsWith(rule))).toBe(true)
    }
    const m = audited({ profile, vcpus: 2 }).run(UP, ...before, 'reset v0', ...after)
    expect(m.said().some((said) => said.startsWith(rule))).toBe(false)
  })

  it.each([
    ['kvm', ['write_under_foreign_disable vmbus 40000092']],
    ['tlfs', []],
  ] as const)('under %s ends what was known of its own SynIC if it resets that', (profile, expected) => {
    const m = audited({ profile: profile === 'kvm' ? 'kvm-synic2' : profile }, writeUnderForeignDisable)
    m.run(UP, 'reset v0', 'v0 fb SCONTROL=0', 'v0 vmbus SINT2=0x100f3')
    expect(m.said()).toEqual(expected)
  })
})

describe('an emptied slot', () => {
  const FULL = ['post v0 s2 t=1 #A', 'post v0 s2 t=1 #B', 'take v0']

  it.each([
    ['its type', '00000000'],
    ['type and flags in one store', '0000000000000000'],
  ])('leaks if nobody ends its message: %s', (_what, zeros) => {
    const m = tlfs().run(UP, ...FULL, `poke 0x10200=${zeros}`)
    m.run('v0 vmbus SINT3=0x200f4', 'signal v0 s3 f1', 'take v0')
    expect(m.said()).toContain('slot_leak? 40000092')
  })

  it('of the nested file is not ended by the EOM of the other', () => {
    const nested = { nested: true, vcpu: 0, sint: 2 }
    for (const [eom, expected] of [
      ['EOM', true],
      ['NESTED.EOM', false],
    ] as const) {
      const m = tlfs('nested_root', 1)
      m.run('v0 vmbus NESTED.SIMP=0x10001 NESTED.SIEFP=0x11001 NESTED.SINT2=0x200f3 NESTED.SCONTROL=1')
      for (const hex of ['41', '42']) m.do({ op: 'message.post', ...nested, type: 1, hex })
      m.run('take v0', 'poke 0x10200=00000000', `v0 x ${eom}=0`, 'v0 vmbus NESTED.SINT3=0x200f6')
      m.do({ op: 'event.signal', vcpu: 0, sint: 3, flag: 1, nested: true })
      m.run('take v0')
      expect(m.said().some((said) => said.startsWith('slot_leak'))).toBe(expected)
    }
  })
})

describe('who has claimed a register of another kind', () => {
  it.each(['STIMER0_CONFIG', 'STIMER0_COUNT', 'HYPERCALL', 'GUEST_OS_ID', 'VP_ASSIST_PAGE'])(
    '%s is told of others that write it',
    (msr) => {
      const m = tlfs().run(`attach ${msr} by owner`, `v0 owner ${msr}=0`, `v0 other ${msr}=0`)
      expect(m.violations).toMatchObject([{ rule: 'foreign_write', actor: 'other', other: 'owner' }])
    },
  )
})

describe('a driver that has detached', () => {
  it('writes no register of any kind', () => {
    const m = tlfs().run('attach by vmbus', 'detach by vmbus', 'v0 vmbus HYPERCALL=0 VP_ASSIST_PAGE=0')
    expect(m.said()).toEqual(['step_after_release vmbus 40000001', 'step_after_release vmbus 40000073'])
  })

  it('ends with its kernel, also where the machine was reset meanwhile', () => {
    const m = tlfs().run('attach by vmbus', 'reset', 'boot k2', 'v0 vmbus SIMP=0x10001')
    expect(m.said()).toEqual(['step_after_release vmbus 40000083'])
  })

  it('is another one behind a reset of the machine', () => {
    const m = tlfs().run('attach by vmbus', 'detach by vmbus', 'reset', UP)
    expect(m.said()).toEqual([])
  })
})

it('a timer that is left says whose it is', () => {
  const m = tlfs().run('v0 stimer STIMER0_CONFIG=0x1ed9 STIMER0_COUNT=1000000', 'boot k2')
  expect(m.violations).toMatchObject([
    { rule: 'stale_timer', actor: 'stimer', otherSeq: 4, severity: 'error' },
  ])
})
