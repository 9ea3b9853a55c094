/** I4: what a kernel leaves armed for the next one: SINTs, pages, timers. */
import { describe, expect, it } from 'vitest'
import { stalePage } from '../../src/audit/rules/stale-page.js'
import { staleSint } from '../../src/audit/rules/stale-sint.js'
import { staleTimer } from '../../src/audit/rules/stale-timer.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'
const DOWN = 'v0 vmbus SINT2=0x100f3 SIMP=0 SIEFP=0 SCONTROL=0'
const MSHV = 'v0,v1 mshv SINT0=0xf3 SINT5=0xf3 SIRBP=0x12001'
const both = (rule: string, ...msrs: string[]) =>
  [0, 1].flatMap(() => msrs.map((msr) => `${rule} mshv ${msr}`))

describe('the reset of a vCPU or of the machine', () => {
  it.each(['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const)(
    'is no handover, for QEMU resets a guest in the middle of everything: %s',
    (profile) => {
      const zeroes = 'v0 host SCONTROL=0 SIMP=0 SIEFP=0 SINT2=0x10000 STIMER0_CONFIG=0 STIMER0_COUNT=0'
      const timer = 'v0 stimer STIMER0_COUNT=1000 STIMER0_CONFIG=0x20009'
      const m = audited({ profile }, stalePage, staleSint, staleTimer)
      m.run(UP, timer, 'reset v0', zeroes, UP, timer, 'reset', UP, timer, 'settle')
      expect(m.said()).toEqual([])
    },
  )
})

describe('stale_sint', () => {
  it.each([
    ['clean', 'l1vh', [UP, DOWN, 'boot K2'], []],
    [
      'two on each vCPU, at boot',
      'l1vh',
      [UP, MSHV, DOWN, 'boot K2'],
      both('stale_sint', '40000090', '40000095'),
    ],
    ['offline or not', 'l1vh', ['v1 mshv SINT5=0xf3', 'offline v1', 'boot K2'], ['stale_sint mshv 40000095']],
    [
      'when the guest OS id is taken back',
      'guest',
      [UP, 'v0 kernel GUEST_OS_ID=0'],
      ['stale_sint vmbus 40000092'],
    ],
    ['told once', 'guest', [UP, 'v0 kernel GUEST_OS_ID=0', 'boot K2'], ['stale_sint vmbus 40000092']],
    [
      'told again of what the next kernel leaves',
      'guest',
      [UP, 'boot K2', UP, 'boot K3'],
      ['stale_sint vmbus 40000092', 'stale_sint vmbus 40000092'],
    ],
    [
      'SCONTROL left on is no fault',
      'guest',
      ['v0 ipxe SCONTROL=1 SINT2=0x20075 SINT2=0x10075', 'v0 ipxe GUEST_OS_ID=0'],
      [],
    ],
    ['a guest OS id set', 'guest', [UP, 'v0 kernel GUEST_OS_ID=0x8100'], []],
    ['the host takes it back', 'guest', [UP, 'v0 host GUEST_OS_ID=0'], []],
    ['after a crash', 'guest', [UP, 'boot K2 crash'], ['stale_sint? vmbus 40000092']],
    [
      'a crash that was notified',
      'guest',
      [UP, 'v0 kernel CRASH_CTL=0x8000000000000000', 'v0 kernel GUEST_OS_ID=0'],
      ['stale_sint? vmbus 40000092'],
    ],
    ['a machine reset asks nobody', 'guest', [UP, 'boot K2 reset'], []],
    ['nor does the reset of a vCPU', 'guest', [UP, 'reset v0'], []],
  ] as const)('%s', (_why, kind, lines, expected) => {
    const m = audited({ profile: 'tlfs', kind, vcpus: 2 }, staleSint).run(...lines)
    expect(m.said()).toEqual(expected)
  })

  it('of guests that name nobody it is a note, and none without an id to take back', () => {
    const m = audited({ profile: 'tlfs' }, staleSint)
    m.do({ op: 'msr.write', vcpu: 0, msr: 'SINT2', value: 0xf3 })
    m.do({ op: 'msr.write', vcpu: 0, msr: 'GUEST_OS_ID', value: 0 })
    expect(m.said()).toEqual([])
    m.do({ op: 'msr.write', vcpu: 0, msr: 'GUEST_OS_ID', value: 1 })
    m.do({ op: 'msr.write', vcpu: 0, msr: 'GUEST_OS_ID', value: 0 })
    expect(m.said()).toEqual(['stale_sint? 40000092'])
  })
})

const CALLS = 'v0 k GUEST_OS_ID=1 HYPERCALL=0x16001'
const ASSIST = 'v0 k VP_ASSIST_PAGE=0x17001'

describe('stale_page', () => {
  it.each([
    ['clean', 'l1vh', [UP, DOWN, 'free 0x10000', 'boot K2'], []],
    ['an event ring', 'l1vh', ['v0 mshv SIRBP=0x12001', 'boot K2'], ['stale_page mshv 40000085']],
    [
      'freed while enabled',
      'guest',
      [UP, 'claim 0x10000 by vmbus', 'free 0x10000 by vmbus'],
      ['stale_page vmbus 40000083'],
    ],
    [
      'and not told again when reused',
      'guest',
      [UP, 'claim 0x10000 by vmbus', 'free 0x10000 by vmbus', 'claim 0x10000 by x'],
      ['stale_page vmbus 40000083'],
    ],
    ['handed to somebody else', 'guest', [UP, 'claim 0x11000 by other'], ['stale_page vmbus 40000082']],
    ['claimed by who enabled it', 'guest', [UP, 'claim 0x10000 by vmbus'], []],
    [
      'claimed by its namesake in the next kernel',
      'guest',
      [UP, 'boot K2', 'claim 0x11000 by vmbus'],
      ['stale_page vmbus 40000082', 'stale_page vmbus 40000083'],
    ],
    ['another page freed', 'guest', [UP, 'free 0x20000'], []],
    ['a base without enable bit', 'guest', [UP, 'v0 vmbus SIMP=0x10000 SIEFP=0x11000', 'boot K2'], []],
    ['a root finds bases provided', 'root', ['boot K2'], []],
    ['a nested root finds pages enabled', 'nested_root', ['boot K2'], []],
    [
      'but not in the file above',
      'nested_root',
      ['v0 vmbus NESTED_SIMP=0x10001', 'boot K2'],
      ['stale_page vmbus 40001083'],
    ],
    [
      'the reference TSC page, switched off after the id',
      'guest',
      ['v0 k REFERENCE_TSC=0x15001', 'v0 k GUEST_OS_ID=0', 'v0 k REFERENCE_TSC=0', 'boot K2'],
      [],
    ],
    [
      'the reference TSC page, left on',
      'guest',
      ['v0 k REFERENCE_TSC=0x15001', 'v0 k GUEST_OS_ID=0', 'boot K2'],
      ['stale_page k 40000021'],
    ],
    [
      'the reference TSC page, freed',
      'guest',
      ['v0 k REFERENCE_TSC=0x15001', 'free 0x15000'],
      ['stale_page k 40000021'],
    ],
    ['the hypercall page, left on', 'guest', [CALLS, 'boot K2'], ['stale_page k 40000001']],
    ['the hypercall page, gone with the id', 'guest', [CALLS, 'v0 k GUEST_OS_ID=0', 'boot K2'], []],
    ['the VP assist page, left on', 'guest', [ASSIST, 'boot K2'], ['stale_page k 40000073']],
    ['the VP assist page, when the id is taken back', 'guest', [ASSIST, 'v0 k GUEST_OS_ID=0'], []],
    ['the VP assist page, disabled', 'guest', [ASSIST, 'v0 k VP_ASSIST_PAGE=0x17000', 'boot K2'], []],
    ['the VP assist page, freed', 'guest', [ASSIST, 'free 0x17000'], ['stale_page k 40000073']],
    ['the VP assist page, claimed by its owner', 'guest', [ASSIST, 'claim 0x17000 by k'], []],
    [
      'the VP assist page, claimed by another',
      'guest',
      [ASSIST, 'claim 0x17000 by x'],
      ['stale_page k 40000073'],
    ],
    ['told once', 'guest', [ASSIST, 'boot K2', 'boot K3'], ['stale_page k 40000073']],
    ['the VP assist page after a crash', 'guest', [ASSIST, 'boot K2 crash'], ['stale_page? k 40000073']],
    ['a VP assist page that the platform enabled', 'root', ['v0 host VP_ASSIST_PAGE=0x17001', 'boot K2'], []],
    [
      'after a crash',
      'guest',
      [UP, 'boot K2 crash'],
      ['stale_page? vmbus 40000082', 'stale_page? vmbus 40000083'],
    ],
  ] as const)('%s', (_why, kind, lines, expected) => {
    const m = audited({ profile: 'tlfs', kind, vcpus: 1 }, stalePage).run(...lines)
    expect(m.said()).toEqual(expected)
  })
})

describe('stale_timer', () => {
  it.each([
    [
      'still enabled',
      ['v0 t STIMER0_COUNT=10000 STIMER0_CONFIG=0x20003', 'boot K2'],
      ['stale_timer t 400000b0'],
    ],
    ['disabled', ['v0 t STIMER0_COUNT=10000 STIMER0_CONFIG=0x20003 STIMER0_CONFIG=0', 'boot K2'], []],
    [
      'spent',
      [
        'v0 t SINT2=0xf3 SIMP=0x10001 SCONTROL=1 STIMER0_CONFIG=0x20001 STIMER0_COUNT=1',
        'advance 5',
        'boot K2',
      ],
      [],
    ],
    [
      'when the id is taken back it is too early to ask',
      ['v0 t STIMER0_COUNT=9 STIMER0_CONFIG=0x20003 GUEST_OS_ID=0'],
      [],
    ],
  ] as const)('%s', (_why, lines, expected) => {
    const m = audited({ profile: 'tlfs' }, staleTimer).run(...lines)
    expect(m.said()).toEqual(expected)
  })
})

describe('pages that the platform has enabled', () => {
  const PLATFORM = 'v0 host SIMP=0x30001 SIEFP=0x31001'
  const NAME = 'v0 firmware GUEST_OS_ID=0x10000000000'
  const LEAVE = 'v0 firmware GUEST_OS_ID=0'
  it.each([
    ['used as they are and left so', [PLATFORM, NAME, LEAVE, 'boot K2'], []],
    [
      'moved by the guest, whose they are then',
      [PLATFORM, NAME, 'v0 firmware SIMP=0x10001', LEAVE],
      ['firmware'],
    ],
    [
      'taken back in time',
      [PLATFORM, NAME, 'v0 firmware SIMP=0x10001', 'v0 firmware SIMP=0x10000', LEAVE],
      [],
    ],
    ['freed by a guest that thinks them its own', [PLATFORM, NAME, 'free 0x30000 by firmware'], ['']],
    ['restored by a VMM', ['pause', PLATFORM, NAME.replace('firmware', 'host'), 'resume', LEAVE], ['', '']],
    ['written by the host of a guest that runs', [NAME, PLATFORM, LEAVE], ['', '']],
  ] as const)('%s', (_why, lines, actors) => {
    const m = audited({ profile: 'tlfs', kind: 'guest' }, stalePage).run(...lines)
    expect(m.violations.map(({ actor }) => actor)).toEqual(actors)
  })
})
