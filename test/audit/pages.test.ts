/** I9: whose pages are where, what they hold at first, and through which the host writes. */
import { describe, expect, it } from 'vitest'
import { duplicateEnable } from '../../src/audit/rules/duplicate-enable.js'
import { freshOverlay } from '../../src/audit/rules/fresh-overlay.js'
import { pageOverlap } from '../../src/audit/rules/page-overlap.js'
import { pageWrite } from '../../src/audit/rules/page-write.js'
import { MESSAGE_FRAME, SIMP } from '../../src/synic/layout.js'
import { audited } from '../support/audited.js'

const UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'

describe('duplicate_enable', () => {
  it.each([
    ['the same page again by another', [UP, 'v0 mshv SIMP=0x10001'], ['duplicate_enable? mshv 40000083']],
    ['by itself', [UP, 'v0 vmbus SIMP=0x10001'], []],
    ['elsewhere', [UP, 'v0 mshv SIMP=0x20001'], []],
    ['off, then on', [UP, 'v0 vmbus SIMP=0', 'v0 mshv SIMP=0x10001'], []],
    ['by the next kernel', [UP, 'boot K2', 'v0 other SIMP=0x10001'], []],
    ['by the host', [UP, 'v0 host SIMP=0x10001'], []],
  ] as const)('%s', (_why, lines, expected) => {
    expect(
      audited({ profile: 'tlfs' }, duplicateEnable)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  })
})

const HYPERCALL = 'v0 a GUEST_OS_ID=1 HYPERCALL=0x40001'

describe('page_overlap', () => {
  it.each([
    ['pages of their own', 'tlfs', [UP, 'v1 vmbus SIMP=0x12001 SIEFP=0x13001'], []],
    ['two vCPUs share one', 'tlfs', [UP, 'v1 vmbus SIMP=0x10001'], ['page_overlap vmbus 40000083']],
    [
      'messages and flags share one',
      'kvm-synic2',
      ['v0 a SIMP=0x10001 SIEFP=0x10001'],
      ['page_overlap a 40000082'],
    ],
    ['an event ring over messages', 'tlfs', [UP, 'v0 mshv SIRBP=0x10001'], ['page_overlap mshv 40000085']],
    ['disabled meanwhile', 'tlfs', [UP, 'v0 vmbus SIMP=0', 'v1 vmbus SIMP=0x10001'], []],
    ['the base that was found, 0', 'tlfs', ['v0 mshv SIRBP? SIRBP=0x1'], ['page_overlap mshv 40000085']],
    [
      'on every vCPU at once',
      'tlfs',
      ['v0 mshv SIRBP=0x1', 'v1 mshv SIRBP=0x1'],
      ['page_overlap mshv 40000085', 'page_overlap mshv 40000085', 'page_overlap mshv 40000085'],
    ],
    ['0, chosen after another base', 'tlfs', ['v0 a SIMP=0x10000', 'v0 a SIMP=0x1'], []],
    ['beyond memory', 'kvm-synic2', ['v0 a SIMP=0xfffffff001'], ['page_overlap a 40000083']],
    ['where the platform makes memory of it', 'qemu', ['v0 a SIMP=0xfffffff001'], []],
    ['refused', 'openvmm', ['v0 a SIMP=0xfffffff001'], []],
    [
      'written again',
      'tlfs',
      [UP, 'v1 vmbus SIMP=0x10001', 'v1 vmbus SIMP=0x10001'],
      ['page_overlap vmbus 40000083'],
    ],
    ['by the host', 'tlfs', [UP, 'v1 host SIMP=0x10001'], ['page_overlap? 40000083']],
    [
      'a reference TSC page over messages',
      'openvmm',
      [UP, 'v0 a REFERENCE_TSC=0x10001'],
      ['page_overlap a 40000021'],
    ],
    [
      'messages over a reference TSC page',
      'tlfs',
      ['v0 a REFERENCE_TSC=0x10001', UP],
      ['page_overlap vmbus 40000083'],
    ],
    [
      'over the hypercall page',
      'qemu',
      [HYPERCALL, 'v0 a REFERENCE_TSC=0x40001'],
      ['page_overlap a 40000021'],
    ],
    [
      'a VP assist page over messages',
      'kvm-synic2',
      [UP, 'v1 a VP_ASSIST_PAGE=0x10001'],
      ['page_overlap a 40000073'],
    ],
    [
      'flags over a VP assist page',
      'kvm-synic2',
      ['v1 a VP_ASSIST_PAGE=0x11001', UP],
      ['page_overlap vmbus 40000082'],
    ],
    [
      'two vCPUs share a VP assist page',
      'tlfs',
      ['v0,v1 a VP_ASSIST_PAGE=0x12001'],
      ['page_overlap a 40000073'],
    ],
    [
      'VP assist pages of their own',
      'tlfs',
      ['v0 a VP_ASSIST_PAGE=0x12001', 'v1 a VP_ASSIST_PAGE=0x13001'],
      [],
    ],
    ['a VP assist page laid there again', 'tlfs', ['v0 a VP_ASSIST_PAGE=0x12001 VP_ASSIST_PAGE=0x12001'], []],
    [
      'a VP assist page over calls',
      'tlfs',
      [HYPERCALL, 'v1 a VP_ASSIST_PAGE=0x40001'],
      ['page_overlap a 40000073'],
    ],
    ['moved by another vCPU', 'tlfs', ['v0 a REFERENCE_TSC=0x40001', 'v1 a REFERENCE_TSC=0x41001'], []],
    [
      'laid there again',
      'tlfs',
      [UP, 'v0 REFERENCE_TSC=0x10001', 'v0 REFERENCE_TSC=0x10001'],
      ['page_overlap? 40000021'],
    ],
    ['disabled', 'kvm-synic2', [UP, 'v0 a REFERENCE_TSC=0x10000'], []],
    ['ignored for want of a guest OS id', 'kvm-synic2', [UP, 'v0 a HYPERCALL=0x10001'], []],
  ] as const)('%s', (_why, profile, lines, expected) => {
    expect(
      audited({ profile, kind: 'l1vh', vcpus: 2 }, pageOverlap)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  })
})

describe('page_write', () => {
  const GIVEN = [UP, 'claim 0x10000 by vmbus']
  it.each([
    ['into its own page', [...GIVEN, 'post v0 s2 t=1', 'signal v0 s2 f5'], []],
    ['into a freed page', [...GIVEN, 'free 0x10000', 'post v0 s2 t=1'], ['page_write 40000083']],
    [
      'told once',
      [...GIVEN, 'free 0x10000', 'post v0 s2 t=1', 'done v0 s2', 'post v0 s2 t=1'],
      ['page_write 40000083'],
    ],
    [
      'into a page in other hands',
      [UP, 'claim 0x11000 by other', 'signal v0 s2 f5'],
      ['page_write 40000082'],
    ],
    ['into the page of a kernel that is gone', [UP, 'boot K2', 'post v0 s2 t=1'], ['page_write 40000083']],
    ['whose successor has its own', [UP, 'boot K2', 'v0 vmbus SIMP=0x20001', 'post v0 s2 t=1'], []],
    ['a crash kernel reads what the old one gets', [UP, 'boot K2 crash', 'post v0 s2 t=1'], []],
    ['a freed page, taken again', [...GIVEN, 'free 0x10000', 'claim 0x10000 by vmbus', 'post v0 s2 t=1'], []],
  ] as const)('%s', (_why, lines, expected) => {
    expect(
      audited({ profile: 'tlfs' }, pageWrite)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  })

  it('OpenVMM fills a hidden overlay', () => {
    const m = audited({ profile: 'openvmm' }, pageWrite).run('v0 a SINT2=0xf3', 'post v0 s2 t=1')
    expect(m.results.at(-1)).toMatchObject({ delivery: 'delivered' })
    expect(m.said()).toEqual([])
  })

  it.each([
    ['a disabled page', 0x10000, 'disabled'],
    ['a page beyond memory', 0xfffff001 | 0, 'beyond memory'],
  ] as const)('guards the machine itself: %s', (_why, simp, why) => {
    const m = audited({ profile: 'kvm-synic2', gpaPages: 0x100 }, pageWrite).run(UP, 'post v0 s2 t=1')
    m.partition.machine.w[SIMP] = simp
    m.auditor.after()
    expect(m.auditor.found).toMatchObject([{ severity: 'error', text: expect.stringContaining(why) }])
  })
})

describe('fresh_overlay', () => {
  const STALE = 'poke 0x10200=ff000000'
  it.each([
    [
      'old data where RAM stays RAM',
      'kvm-synic2',
      [STALE, 'v0 a SIMP=0x10001'],
      ['fresh_overlay? a 40000083'],
    ],
    ['old flags', 'kvm-synic2', [STALE, 'v0 a SIEFP=0x10001'], ['fresh_overlay? a 40000082']],
    ['on the way back from a save', 'kvm-synic2', [STALE, 'v0 host SIMP=0x10001'], []],
    ['where RAM is zeroed', 'kvm-synic', [STALE, 'v0 a SIMP=0x10001'], []],
    ['under an overlay', 'tlfs', [STALE, 'v0 a SIMP=0x10001'], []],
    ['OpenVMM', 'openvmm', [STALE, 'v0 a SIMP=0x10001'], []],
    ['QEMU', 'qemu', [STALE, 'v0 a SIMP=0x10001'], []],
    ['moved with a message in it', 'tlfs', [UP, 'post v0 s2 t=1', 'v0 vmbus SIMP=0x20001'], []],
    ['off and on again', 'tlfs', [UP, 'post v0 s2 t=1', 'v0 vmbus SIMP=0', 'v0 vmbus SIMP=0x20001'], []],
    ['written again in place', 'kvm-synic2', [UP, 'post v0 s2 t=1', 'v0 vmbus SIMP=0x10001'], []],
  ] as const)('%s', (_why, profile, lines, expected) => {
    expect(
      audited({ profile }, freshOverlay)
        .run(...lines)
        .said(),
    ).toEqual(expected)
  })

  it.each([
    ['an overlay that lost its content', 'tlfs', 'changed its content'],
    ['a page that should have been zeroed', 'kvm-synic', 'was not zeroed'],
  ] as const)('guards the machine itself: %s', (_why, profile, why) => {
    const m = audited({ profile }, freshOverlay).run(UP, 'post v0 s2 t=1', 'v0 vmbus SIMP=0x20001')
    const { memory, w } = m.partition.machine
    const frame = profile === 'tlfs' ? w[MESSAGE_FRAME] : memory.writableFrameAt(0x20)
    memory.bytes(frame).fill(7)
    m.auditor.after()
    expect(m.auditor.found).toMatchObject([{ severity: 'error', text: expect.stringContaining(why) }])
  })
})
