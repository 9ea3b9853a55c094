/**
 * I2: who writes what belongs to another is told, by what drivers say and by what their kind has them own.
 */
import { describe, expect, it } from 'vitest'
import { foreignWrite } from '../../src/audit/rules/foreign-write.js'
import { audited } from '../support/audited.js'

const VMBUS_UP = 'v0 vmbus SIMP=0x10001 SIEFP=0x11001 SINT2=0xf3 SCONTROL=1'

it.each([
  ['a driver on its own registers', 'l1vh', [VMBUS_UP], []],
  [
    'the other driver switches off what it did not claim',
    'l1vh',
    [VMBUS_UP, 'v0 mshv SINT0=0x100f3 SCONTROL=0'],
    ['foreign_write mshv 40000080'],
  ],
  ['the same value written back', 'l1vh', [VMBUS_UP, 'v0 mshv SCONTROL=1'], ['foreign_write? mshv 40000080']],
  ['reads are free', 'l1vh', [VMBUS_UP, 'v0 mshv SIMP? SCONTROL?'], []],
  ['so is EOM', 'l1vh', [VMBUS_UP, 'v0 mshv EOM=0'], []],
  ['the host may write what it likes', 'l1vh', [VMBUS_UP, 'v0 host SCONTROL=0'], []],
  [
    'a claim by name goes before the table',
    'guest',
    ['attach SIMP by ipxe', 'v0 ipxe SIMP=0x10001', 'v0 winload SIMP=0x20001'],
    ['foreign_write winload 40000083'],
  ],
  [
    'a claim on the nested SynIC says nothing about the other',
    'nested_root',
    ['attach NESTED_SIMP by vmbus', 'v0 mshv SIMP=0x10001', 'v0 mshv NESTED_SIMP=0x10001'],
    ['foreign_write mshv 40001083'],
  ],
  [
    'a claim on one vCPU says nothing about another',
    'guest',
    ['attach v1.SINT4 by other', 'v0 timer SINT4=0xf4', 'v1 timer SINT4=0xf4'],
    ['foreign_write timer 40000094'],
  ],
] as const)('%s', (_why, kind, lines, expected) => {
  const m = audited({ profile: 'tlfs', kind, vcpus: 2 }, foreignWrite).run(...lines)
  expect(m.said()).toEqual(expected)
})

const IPXE = 'v0 ipxe SIMP=0x10001 SIEFP=0x11001 SINT2=0x20075 SCONTROL=1'
const FIRMWARE = 'v0 firmware GUEST_OS_ID=0x1 SIMP=0x10001 SINT2=0xf3 SCONTROL=1'

describe('who enables what nobody has claimed holds it, by any name', () => {
  it.each([
    [
      'BZ-09: a loader takes it all',
      [IPXE, 'v0 winload SIMP=0x20001 SIEFP=0x21001 SINT2=0xd1'],
      ['foreign_write winload 40000083', 'foreign_write winload 40000082', 'foreign_write winload 40000092'],
    ],
    ['BZ-10: stealing from firmware', [FIRMWARE, 'v0 ipxe SIMP=0x20001'], ['foreign_write ipxe 40000083']],
    ['quiesced before', [IPXE, 'v0 ipxe SINT2=0x75 SINT2=0x10075 SIEFP=0 SIMP=0', 'v0 w SIMP=0x20001'], []],
    [
      'taken back from the thief',
      [FIRMWARE, 'v0 x SIMP=0x20001', 'v0 firmware SIMP=0x10001'],
      ['foreign_write x 40000083'],
    ],
    ['written back unchanged', [FIRMWARE, 'v0 x SIMP=0x10001 SCONTROL=1'], []],
    ['the last to leave cleans up', [FIRMWARE, 'v0 firmware SINT2=0x100f3', 'v0 x SIMP=0 SCONTROL=0'], []],
    ['its own', [FIRMWARE, 'v0 firmware SIMP=0x20001'], []],
    ['the platform enabled it', ['v0 host SIMP=0x10001', 'v0 firmware SIMP=0x20001'], []],
    ['nobody by name did', ['v0 SIMP=0x10001', 'v0 firmware SIMP=0x20001'], []],
    ['nobody by name takes it', [FIRMWARE, 'v0 SIMP=0x20001'], []],
    ['the holder has left', [FIRMWARE, 'attach by firmware', 'detach by firmware', 'v0 x SIMP=0x20001'], []],
    ['its kernel has ended', [FIRMWARE, 'boot k2', 'v0 x SIMP=0x20001'], []],
    ['its kernel has handed over', [FIRMWARE, 'v0 firmware GUEST_OS_ID=0', 'v0 x SIMP=0x20001'], []],
    ['the machine was reset', [FIRMWARE, 'reset', 'v0 x SIMP=0x20001 SIMP=0x30001'], []],
    ['a page that nobody brought', ['v0 a SIMP=1 SIEFP=1', 'v0 b SIMP=0x10001 SIEFP=0x11001'], []],
    [
      'a page brought in its place',
      ['v0 a SIMP=1', 'v0 b SIMP=0x10001', 'v0 c SIMP=0x20001'],
      ['foreign_write c 40000083'],
    ],
    ['another vCPU', [FIRMWARE, 'v1 x SIMP=0x20001'], []],
  ] as const)('%s', (_why, lines, expected) => {
    const m = audited({ profile: 'tlfs', vcpus: 2 }, foreignWrite).run(...lines)
    expect(m.said()).toEqual(expected)
  })

  it('names the holder, and when it came', () => {
    const m = audited({ profile: 'tlfs' }, foreignWrite).run('v0 a SIMP=0x10001', 'v0 b SIMP=0x20001')
    const text = 'b takes SIMP from a, which has enabled it and not let go'
    expect(m.violations).toMatchObject([
      { actor: 'b', other: 'a', msr: 0x4000_0083, severity: 'error', text },
    ])
    expect(m.violations[0]?.otherSeq).toBe((m.violations[0]?.seq ?? 0) - 1)
  })
})

it('names both sides, and the op it collides with', () => {
  const m = audited({ profile: 'tlfs', kind: 'l1vh' }, foreignWrite).run(VMBUS_UP, 'v0 mshv SIMP=0x10000')
  expect(m.violations).toEqual([
    {
      invariant: 'I2',
      rule: 'foreign_write',
      severity: 'error',
      seq: 6,
      vcpu: 0,
      msr: 0x4000_0083,
      actor: 'mshv',
      other: 'vmbus',
      otherSeq: 2,
      text: 'mshv writes SIMP, which belongs to vmbus',
    },
  ])
})
