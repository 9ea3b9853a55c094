// What each version of MSHV does to the SynIC of one CPU, alone and beside VMBus (Linux mshv_synic.c).
import { describe, expect, it } from 'vitest'
import { type FailsAt, mshvExitCpu, mshvInitCpu, mshvOwnsPages } from '../../src/drivers/mshv.js'
import { mshvDown, mshvUp } from '../../src/drivers/mshv-life.js'
import { MSHV_VERSIONS, type MshvVersion } from '../../src/drivers/mshv-state.js'
import type { Strand } from '../../src/drivers/step.js'
import { vmbusCleanupCpu, vmbusInitCpu } from '../../src/drivers/vmbus.js'
import { drive, faulted, kernelOf, pair, type Recorded, registers, told } from '../support/drivers.js'

const KINDS = ['root', 'nested_root', 'l1vh'] as const
type Parent = (typeof KINDS)[number]

/** An L1VH with VMBus on its CPU, as any MSHV finds it. M = 0x10000, E = 0x11000, P = 0x20000. */
function l1vh(version: MshvVersion, disabledWrite: 'fault' | 'audit' = 'fault') {
  const { test, kernel } = pair({ kind: 'l1vh' }, { disabled_write: disabledWrite })
  kernel.vmbusExists = true
  drive(test, vmbusInitCpu(kernel, 0))
  kernel.adopt('mshv event ring page', 0, 0x20)
  drive(test, mshvInitCpu(kernel, 0, version))
  return { test, kernel }
}

const EXIT = ['read SINT0 → 0xf3', 'write SINT0 0x100f3', 'read SINT5 → 0x800f3', 'write SINT5 0x900f3']

describe('condition C: does MSHV switch the page registers and SCONTROL?', () => {
  it.each([
    ['pre-series', true, true, true],
    ['v1-patch-4', true, true, false],
    ['v1', true, true, false],
    ['v2', true, false, false],
    ['v3', true, false, false],
    ['v4', true, false, false],
  ] as const)('%s: root %s, nested root %s, l1vh %s', (version, ...expected) => {
    const owns = KINDS.map((kind) => {
      const kernel = kernelOf({ kind })
      kernel.vmbusExists = kind !== 'root'
      return mshvOwnsPages(kernel, version)
    })
    expect(owns).toEqual(expected)
  })

  it('v4 asks at each call, so loaded before VMBus on l1vh it enables pages at 0', () => {
    const { test, kernel } = pair({ kind: 'l1vh' })
    drive(test, mshvInitCpu(kernel, 0, 'v4'))
    expect(registers(test, 'SIMP SIEFP SCONTROL')).toBe('SIMP=0x1 SIEFP=0x1 SCONTROL=0x1')
    kernel.vmbusExists = true
    expect(mshvOwnsPages(kernel, 'v4')).toBe(false)
  })
})

describe('op by op', () => {
  it('v4 leaves an l1vh', () => {
    const { test, kernel } = l1vh('v4')
    const { records } = drive(test, mshvExitCpu(kernel, 0, 'v4'))
    expect(records.map(told)).toEqual([...EXIT, 'read SIRBP → 0x20001', 'write SIRBP 0x0'])
  })

  it('the version before the series also takes VMBus down', () => {
    const { test, kernel } = l1vh('pre-series')
    const { records } = drive(test, mshvExitCpu(kernel, 0, 'pre-series'))
    expect(records.map(told)).toEqual([
      ...EXIT,
      'read SIRBP → 0x1',
      'write SIRBP 0x0',
      'read SIEFP → 0x11001',
      'write SIEFP 0x11000',
      'read SIMP → 0x10001',
      'write SIMP 0x10000',
      'read SCONTROL → 0x1',
      'write SCONTROL 0x0',
    ])
  })

  it('v4 starts on an l1vh: reads what VMBus set up, and writes its own alone', () => {
    const { test, kernel } = pair({ kind: 'l1vh' })
    kernel.vmbusExists = true
    drive(test, vmbusInitCpu(kernel, 0))
    expect(drive(test, mshvInitCpu(kernel, 0, 'v4')).records.map(told)).toEqual([
      'read SIMP → 0x10001',
      'read SIEFP → 0x11001',
      'read SIRBP → 0x0',
      'write SIRBP 0x12001',
      'write SINT0 0xf3',
      'write SINT5 0x800f3',
    ])
    expect(kernel.mshv.pages.get(0)).toEqual({ messages: 0x10, events: 0x11, ring: 0x12 })
  })

  it.each(MSHV_VERSIONS)('%s starts on a root: enables what is provided, SCONTROL last', (version) => {
    const { test, kernel } = pair({ kind: 'root' })
    const { records } = drive(test, mshvInitCpu(kernel, 0, version))
    expect(records.map(told)).toEqual([
      'read SIMP → 0xffffd000',
      'write SIMP 0xffffd001',
      'read SIEFP → 0xffffe000',
      'write SIEFP 0xffffe001',
      'read SIRBP → 0xfffff000',
      'write SIRBP 0xfffff001',
      'write SINT0 0xf3',
      'write SINT5 0x800f3',
      'read SCONTROL → 0x0',
      'write SCONTROL 0x1',
    ])
    drive(test, mshvExitCpu(kernel, 0, version))
    expect(registers(test, 'SINT0 SINT5 SIRBP SIEFP SIMP SCONTROL')).toBe(
      'SINT0=0x100f3 SINT5=0x900f3 SIRBP=0xfffff000 SIEFP=0xffffe000 SIMP=0xffffd000 SCONTROL=0x0',
    )
  })
})

const R = { SIMP: 'read SIMP', SIEFP: 'read SIEFP', SIRBP: 'read SIRBP' }
const ON = { SIMP: 'write SIMP 1', SIEFP: 'write SIEFP 1' }
const OFF = { SIMP: 'write SIMP 0', SIEFP: 'write SIEFP 0' }

/** `write SIMP 1`: whether it enables. */
const short = (each: Recorded) =>
  told(each)
    .replace(/ → .*| 0x[0-9a-f]*([01])$/, ' $1')
    .trim()

describe('a page cannot be mapped', () => {
  it.each<[MshvVersion, Parent, FailsAt, string[]]>([
    ['pre-series', 'root', 1, [R.SIMP]],
    ['pre-series', 'root', 2, [R.SIMP, ON.SIMP, R.SIEFP, OFF.SIMP]],
    ['pre-series', 'root', 3, [R.SIMP, ON.SIMP, R.SIEFP, ON.SIEFP, R.SIRBP, OFF.SIEFP, OFF.SIMP]],
    ['pre-series', 'l1vh', 2, [R.SIMP, ON.SIMP, R.SIEFP, OFF.SIMP]],
    ['v1', 'root', 1, [R.SIMP, ON.SIMP, OFF.SIMP]],
    ['v2', 'root', 2, [R.SIMP, ON.SIMP, R.SIEFP, ON.SIEFP, OFF.SIEFP, OFF.SIMP]],
    ['v4', 'root', 3, [R.SIMP, ON.SIMP, R.SIEFP, ON.SIEFP, R.SIRBP, OFF.SIEFP, OFF.SIMP]],
    ['v1', 'nested_root', 1, [R.SIMP, ON.SIMP, OFF.SIMP]],
    ['v3', 'nested_root', 2, [R.SIMP, R.SIEFP]],
    ['v4', 'l1vh', 1, [R.SIMP]],
    ['v4', 'l1vh', 2, [R.SIMP, R.SIEFP]],
    ['v4', 'l1vh', 3, [R.SIMP, R.SIEFP, R.SIRBP]],
  ])('%s on %s, page %i', (version, kind, failsAt, expected) => {
    const { test, kernel } = pair({ kind })
    kernel.vmbusExists = kind !== 'root'
    const { value, records } = drive(test, mshvInitCpu(kernel, 0, version, failsAt))
    expect(value).toBe(-14)
    expect(records.map(short)).toEqual(expected)
    expect(kernel.mshv.pages.size).toBe(0)
  })

  const VERSIONS_AND_KINDS = MSHV_VERSIONS.flatMap((version) => KINDS.map((kind) => [version, kind] as const))

  it.each(VERSIONS_AND_KINDS)('%s on %s: at every page, by the rules of both tables', (version, kind) => {
    for (const failsAt of [1, 2, 3] as const) {
      const { test, kernel } = pair({ kind })
      kernel.vmbusExists = kind !== 'root'
      const owns = mshvOwnsPages(kernel, version)
      const read = [R.SIMP, R.SIEFP, R.SIRBP].slice(0, failsAt)
      const on = owns ? [ON.SIMP, ON.SIEFP] : []
      const off = owns ? [OFF.SIEFP, OFF.SIMP] : []
      // Before the series only what was mapped is enabled and disabled again; since then each page is enabled
      // before it is mapped.
      const count = version === 'pre-series' ? failsAt - 1 : Math.min(failsAt, 2)
      const expected = [
        ...read.flatMap((each, i) => [each, ...(i < count ? on.slice(i, i + 1) : [])]),
        ...off.slice(2 - count),
      ]
      const { value, records } = drive(test, mshvInitCpu(kernel, 0, version, failsAt))
      expect({ failsAt, value, told: records.map(short) }).toEqual({ failsAt, value: -14, told: expected })
      expect(registers(test, 'SINT0 SINT5')).toBe('SINT0=0x10000 SINT5=0x10000')
      expect(kernel.mshv.pages.size).toBe(0)
    }
  })

  it('undoes the CPUs before it, takes no page for the one that failed, and ends', () => {
    const { test, kernel } = pair({ kind: 'l1vh', vcpus: [0, 1] })
    kernel.vmbusExists = true
    const { value } = drive(test, mshvUp(kernel, 'v4', 3))
    expect(value).toBe(-14)
    expect(test.partition.machine.pageHolders.size).toBe(0)
    expect(test.partition.machine.actors.size).toBe(0)
    expect(kernel.mshv.version).toBe(null)
  })
})

describe('the module', () => {
  it('does nothing on a guest', () => {
    const { test, kernel } = pair()
    expect(drive(test, mshvUp(kernel, 'v4')).records).toEqual([])
  })

  it('holds one event ring page a CPU on l1vh, until it leaves', () => {
    const { test, kernel } = pair({ kind: 'l1vh', vcpus: [0, 1] })
    kernel.vmbusExists = true
    drive(test, mshvUp(kernel, 'v4'))
    expect([...test.partition.machine.pageHolders]).toEqual([
      [0x10, 'mshv'],
      [0x11, 'mshv'],
    ])
    drive(test, mshvDown(kernel))
    expect(test.partition.machine.pageHolders.size).toBe(0)
  })
})

const ALL = 'SINT0 SINT2 SINT5 SIRBP SIMP SIEFP SCONTROL'

describe('teardown on l1vh where writes under a disabled SynIC fault', () => {
  it('before the series: VMBus cleans up behind an exit that took its pages', () => {
    const { test, kernel } = l1vh('pre-series')
    expect(faulted(drive(test, mshvExitCpu(kernel, 0, 'pre-series')).records)).toEqual([])
    const { records } = drive(test, vmbusCleanupCpu(kernel, 0))
    expect(faulted(records)).toEqual(['SINT2', 'SIMP', 'SIEFP', 'SCONTROL'])
    expect(registers(test, ALL)).toBe(
      'SINT0=0x100f3 SINT2=0xf3 SINT5=0x900f3 SIRBP=0x0 SIMP=0x10000 SIEFP=0x11000 SCONTROL=0x0',
    )
  })

  it('v4, then VMBus: everything is disabled', () => {
    const { test, kernel } = l1vh('v4')
    drive(test, mshvExitCpu(kernel, 0, 'v4'))
    expect(faulted(drive(test, vmbusCleanupCpu(kernel, 0)).records)).toEqual([])
    expect(registers(test, ALL)).toBe(
      'SINT0=0x100f3 SINT2=0x100f3 SINT5=0x900f3 SIRBP=0x0 SIMP=0x0 SIEFP=0x0 SCONTROL=0x0',
    )
  })

  it.each([
    ['its device still registered', true, ['SINT0', 'SINT5', 'SIRBP']],
    ['its module gone', false, ['SINT0', 'SINT5', 'SIRBP', 'SIEFP', 'SIMP', 'SCONTROL']],
  ] as const)('VMBus first, %s, then v4: the wrong order', (_why, exists, faults) => {
    const { test, kernel } = l1vh('v4')
    drive(test, vmbusCleanupCpu(kernel, 0))
    kernel.vmbusExists = exists
    expect(faulted(drive(test, mshvExitCpu(kernel, 0, 'v4')).records)).toEqual(faults)
    expect(registers(test, ALL)).toBe(
      'SINT0=0xf3 SINT2=0x100f3 SINT5=0x800f3 SIRBP=0x20001 SIMP=0x0 SIEFP=0x0 SCONTROL=0x0',
    )
  })

  it('a second kernel starts on what the first one left', () => {
    const { test, kernel } = l1vh('v4')
    const second = kernel.successor()
    second.vmbusExists = true
    const strands: Strand<unknown>[] = [
      mshvExitCpu(kernel, 0, 'v4'),
      vmbusCleanupCpu(kernel, 0),
      vmbusInitCpu(second, 0),
      mshvInitCpu(second, 0, 'v4'),
    ]
    expect(strands.flatMap((strand) => faulted(drive(test, strand).records))).toEqual([])
    expect(registers(test, ALL)).toBe(
      'SINT0=0xf3 SINT2=0xf3 SINT5=0x800f3 SIRBP=0x14001 SIMP=0x12001 SIEFP=0x13001 SCONTROL=0x1',
    )
  })
})
