// A Linux kernel's life with its Hyper-V drivers, by kind of partition and MSHV version.
import { describe, expect, it } from 'vitest'
import { interrupt } from '../../src/drivers/interrupt.js'
import type { Kernel } from '../../src/drivers/kernel.js'
import {
  type BootOptions,
  type KexecOptions,
  linuxBoot,
  linuxCrash,
  linuxKexec,
  linuxOffline,
  linuxOnline,
  linuxRemoveMshv,
} from '../../src/drivers/linux.js'
import { mshvUp } from '../../src/drivers/mshv-life.js'
import { PATIENCE } from '../../src/drivers/vmbus-contact.js'
import type { PartitionKind } from '../../src/hv/cpuid.js'
import * as o from '../../src/synic/op.js'
import type { OptionOverrides } from '../../src/synic/profile.js'
import {
  drive,
  faulted,
  openVmbusPorts,
  pair,
  type Recorded,
  registers,
  vmbusHost,
  writes,
} from '../support/drivers.js'
import type { TestMachine } from '../support/machine.js'

const V4: BootOptions = { mshv: 'v4', host: null }
const NEXT: KexecOptions = { next: 'linux-2' }
const ALL = 'SINT0 SINT2 SINT5 SIRBP SIMP SIEFP SCONTROL'
const NESTED = 'NESTED_SINT2 NESTED_SIMP NESTED_SIEFP NESTED_SCONTROL'

/** A booted kernel with two CPUs. */
function booted(kind: PartitionKind, boot: BootOptions, options: OptionOverrides = {}) {
  const { test, kernel } = pair({ kind, vcpus: [0, 1] }, options)
  expect(drive(test, linuxBoot(kernel, boot)).value).toBe(0)
  return { test, kernel }
}

const FAULTING: OptionOverrides = { disabled_write: 'fault' }
const EVERY_PARENT: KexecOptions = { ...NEXT, faults: { notifier: 'every-parent' } }
const ROOT_ONLY: KexecOptions = { ...NEXT, faults: { notifier: 'root-only' } }
const COLLISION = ['SINT2', 'SIMP', 'SIEFP', 'SCONTROL']

/** Does a message of VMBus's host still find its way on this CPU? */
function vmbusAlive(test: TestMachine, vcpu = 0): boolean {
  const hex = '0400000000000000'
  return test.do({ op: 'message.post', vcpu, sint: 2, type: 1, hex }).delivery === 'delivered'
}

describe('where MSHV and VMBus collide on an l1vh', () => {
  it.each([
    ['before the series', 'pre-series', NEXT, [], COLLISION, false, 'SINT0=0xf3 SINT5=0x800f3 SIRBP=0x1'],
    [
      'with the notifier for every parent alone',
      'pre-series',
      EVERY_PARENT,
      [...COLLISION, ...COLLISION],
      COLLISION,
      false,
      'SINT0=0x100f3 SINT5=0x900f3 SIRBP=0x0',
    ],
    ['with v1 4/6 alone', 'v1-patch-4', NEXT, [], [], true, 'SINT0=0xf3 SINT5=0x800f3 SIRBP=0x1'],
    ['with v1, but its notifier', 'v1', ROOT_ONLY, [], [], true, 'SINT0=0xf3 SINT5=0x800f3 SIRBP=0x1a001'],
    ['with v1', 'v1', NEXT, [], [], true, 'SINT0=0x100f3 SINT5=0x900f3 SIRBP=0x0'],
    ['with v2', 'v2', NEXT, [], [], true, 'SINT0=0x100f3 SINT5=0x900f3 SIRBP=0x0'],
    ['with v3', 'v3', NEXT, [], [], true, 'SINT0=0x100f3 SINT5=0x900f3 SIRBP=0x0'],
    ['with v4', 'v4', NEXT, [], [], true, 'SINT0=0x100f3 SINT5=0x900f3 SIRBP=0x0'],
  ] as const)('%s', (_why, mshv, kexec, kexecFaults, offlineFaults, alive, left) => {
    const boot: BootOptions = { mshv, host: null }
    const restarts = booted('l1vh', boot, FAULTING)
    expect(faulted(drive(restarts.test, linuxKexec(restarts.kernel, kexec)).records)).toEqual(kexecFaults)
    const ring = registers(restarts.test, 'SINT0 SINT5 SIRBP')
    expect(ring).toBe(left)

    const offline = booted('l1vh', boot, FAULTING)
    expect(faulted(drive(offline.test, linuxOffline(offline.kernel, 1)).records)).toEqual(offlineFaults)

    const removed = booted('l1vh', boot, FAULTING)
    expect(faulted(drive(removed.test, linuxRemoveMshv(removed.kernel)).records)).toEqual([])
    expect(vmbusAlive(removed.test)).toBe(alive)
  })

  it.each(['pre-series', 'v1-patch-4', 'v1', 'v2', 'v3', 'v4'] as const)(
    'not on a root or nested root: %s',
    (mshv) => {
      for (const kind of ['root', 'nested_root'] as const) {
        const boot: BootOptions = { mshv, host: null }
        const restarts = booted(kind, boot, FAULTING)
        expect(faulted(drive(restarts.test, linuxKexec(restarts.kernel, NEXT)).records)).toEqual([])
        const everyParent = booted(kind, boot, FAULTING)
        expect(
          faulted(drive(everyParent.test, linuxKexec(everyParent.kernel, EVERY_PARENT)).records),
        ).toEqual([])
        const offline = booted(kind, boot, FAULTING)
        expect(faulted(drive(offline.test, linuxOffline(offline.kernel, 1)).records)).toEqual([])
        const removed = booted(kind, boot, FAULTING)
        expect(faulted(drive(removed.test, linuxRemoveMshv(removed.kernel)).records)).toEqual([])
        // VMBus of a nested root is in registers of its own, and none of this has touched them.
        if (kind === 'root') continue
        expect(registers(removed.test, NESTED)).toMatch(
          /^NESTED_SINT2=0xf3 NESTED_SIMP=0x\w+1 NESTED_SIEFP=0x\w+1 NESTED_SCONTROL=0x1$/,
        )
      }
    },
  )

  it('before the series a restart hangs for the answer to UNLOAD, which cannot be delivered', () => {
    const { test, kernel } = pair({ kind: 'l1vh' }, FAULTING)
    openVmbusPorts(test)
    const host = vmbusHost()
    drive(test, linuxBoot(kernel, { mshv: 'pre-series', host: PATIENCE }), host)
    expect(kernel.vmbus.connected).toBe(true)
    const { value, records } = drive(test, linuxKexec(kernel, EVERY_PARENT), host)
    expect(value).toBe(-110)
    expect(test.partition.machine.kernel).toBe('')
    expect(faulted(records)).toEqual([])
  })

  it('and where it is made to go on, the four writes fault', () => {
    const { test, kernel } = pair({ kind: 'l1vh' }, FAULTING)
    openVmbusPorts(test)
    const host = vmbusHost()
    drive(test, linuxBoot(kernel, { mshv: 'pre-series', host: PATIENCE }), host)
    const on = linuxKexec(kernel, { ...EVERY_PARENT, goesOnUnanswered: true })
    const { value, records } = drive(test, on, host)
    expect([value, faulted(records)]).toEqual([0, COLLISION])
  })
})

const OFF = 'SINT2=0x100f3 SIMP=0x0 SIEFP=0x0 SCONTROL=0x0'

describe('what the next kernel finds', () => {
  it.each([
    ['guest', {}, 'SINT2 SIMP SIEFP SCONTROL', OFF],
    [
      'root',
      {},
      ALL,
      'SINT0=0x100f3 SINT2=0x10000 SINT5=0x900f3 ' +
        'SIRBP=0xfffff000 SIMP=0xffffd000 SIEFP=0xffffe000 SCONTROL=0x0',
    ],
    [
      'nested_root',
      {},
      `${ALL} ${NESTED}`,
      'SINT0=0x100f3 SINT2=0x10000 SINT5=0x900f3 ' +
        'SIRBP=0xfffff000 SIMP=0xffffd001 SIEFP=0xffffe001 SCONTROL=0x1 ' +
        'NESTED_SINT2=0x100f3 NESTED_SIMP=0x0 NESTED_SIEFP=0x0 NESTED_SCONTROL=0x0',
    ],
    [
      'nested_root',
      { nested_root_l1_enabled: false },
      'SIRBP SIMP SIEFP SCONTROL NESTED_SCONTROL',
      'SIRBP=0xfffff000 SIMP=0xffffd000 SIEFP=0xffffe000 SCONTROL=0x0 NESTED_SCONTROL=0x0',
    ],
    ['l1vh', {}, ALL, `SINT0=0x100f3 SINT2=0x100f3 SINT5=0x900f3 SIRBP=0x0 SIMP=0x0 SIEFP=0x0 SCONTROL=0x0`],
  ] as const)('%s %o', (kind, options, names, expected) => {
    const { test, kernel } = booted(kind, V4, options)
    drive(test, linuxKexec(kernel, NEXT))
    expect(registers(test, names)).toBe(expected)
    expect(test.partition.machine.kernel).toBe('linux-2')
  })

  it.each(['guest', 'root', 'nested_root', 'l1vh'] as const)('on %s, and starts from', (kind) => {
    const { test, kernel } = booted(kind, V4, FAULTING)
    drive(test, linuxKexec(kernel, NEXT))
    const second = kernel.successor({ clearsPages: true })
    const { value, records } = drive(test, linuxBoot(second, V4))
    expect([value, faulted(records)]).toEqual([0, []])
    expect(records.filter(({ result }) => !result.ok)).toEqual([])
    if (kind !== 'root') expect(second.vmbusExists).toBe(true)
  })
})

const ASSIST_OFF = ['linux VP_ASSIST_PAGE', 'linux VP_ASSIST_PAGE']
const TIMERS_OFF = ['stimer STIMER0_COUNT', 'stimer STIMER0_CONFIG']
/** The hypervisor hears of a crash before anything is torn down. */
const REPORT = [0, 1, 2, 3, 4].map((n) => `linux CRASH_P${n}`).concat('linux CRASH_CTL')
const LAST_WORDS = ['linux GUEST_OS_ID', 'linux HYPERCALL', 'linux REFERENCE_TSC']
const VMBUS_OFF = ['vmbus SINT2', 'vmbus SIMP', 'vmbus SIEFP', 'vmbus SCONTROL']
const MSHV_OFF = ['mshv SINT0', 'mshv SINT5', 'mshv SIRBP']
const MSHV_PAGES_OFF = ['mshv SIEFP', 'mshv SIMP', 'mshv SCONTROL']
const twice = (list: readonly string[]) => [...list, ...list]
const REST = [...ASSIST_OFF, ...LAST_WORDS]

describe('kexec writes', () => {
  it.each([
    ['guest', [...twice(TIMERS_OFF), ...twice(VMBUS_OFF), ...REST]],
    ['root', [...twice([...MSHV_OFF, ...MSHV_PAGES_OFF]), ...twice(TIMERS_OFF), ...REST]],
    [
      'nested_root',
      [
        ...twice(MSHV_OFF),
        ...twice(TIMERS_OFF),
        ...twice(VMBUS_OFF.map((name) => name.replace(' ', ' NESTED_'))),
        ...REST,
      ],
    ],
    ['l1vh', [...twice(MSHV_OFF), ...twice(TIMERS_OFF), ...twice(VMBUS_OFF), ...REST]],
  ] as const)('in this order on %s', (kind, expected) => {
    const { test, kernel } = booted(kind, V4)
    const { records } = drive(test, linuxKexec(kernel, NEXT))
    expect(writes(records)).toEqual(expected)
    expect(records.at(-1)?.step.name).toBe('linux-2')
  })

  it('with UNLOAD between the timers and VMBus, and without an answer never goes on', () => {
    const { test, kernel } = pair({ kind: 'l1vh' })
    openVmbusPorts(test)
    drive(test, linuxBoot(kernel, { mshv: 'v4', host: PATIENCE }), vmbusHost())
    const { value, records } = drive(test, linuxKexec(kernel, NEXT), vmbusHost())
    expect(value).toBe(0)
    const at = (code: number) => records.findIndex(({ step }) => step.code === code)
    const place = (name: string) => records.findIndex((each) => writes([each])[0] === name)
    const order = [
      place('mshv SIRBP'),
      place('stimer STIMER0_CONFIG'),
      at(o.OP_HV_POST_MESSAGE),
      place('vmbus SINT2'),
      place('linux VP_ASSIST_PAGE'),
      place('linux GUEST_OS_ID'),
    ]
    expect(order).toEqual([...order].sort((a, b) => a - b))
  })

  it("leave VMBus's pages taken and give MSHV's back", () => {
    const { test, kernel } = booted('l1vh', V4)
    const { records } = drive(test, linuxKexec(kernel, NEXT))
    const freed = records.filter(({ step }) => step.code === o.OP_PAGE_FREE).map(({ step }) => step.actor)
    expect(freed).toEqual(['mshv', 'mshv'])
  })

  it.each([
    [true, []],
    ['mshv', ['vmbus']],
    ['vmbus', ['mshv']],
  ] as const)('that are left out, %s: only the others let go', (skipRelease, actors) => {
    const { test, kernel } = booted('l1vh', V4)
    const { records } = drive(test, linuxKexec(kernel, { ...NEXT, faults: { skipRelease } }))
    const who = new Set(records.map(({ step }) => step.actor).filter((name) => /vmbus|mshv/.test(name)))
    expect([...who]).toEqual(actors)
  })
})

describe('CPUs', () => {
  const actors = (records: readonly Recorded[]) =>
    writes(records)
      .map((text) => text.split(' ')[0])
      .filter((name, i, all) => name !== all[i - 1])

  it('go with MSHV first and VMBus behind it, and come back the other way round', () => {
    const { test, kernel } = booted('l1vh', V4, FAULTING)
    const off = drive(test, linuxOffline(kernel, 1))
    expect([off.value, actors(off.records)]).toEqual([0, ['mshv', 'vmbus', 'linux', 'stimer']])
    expect(registers(test, ALL, 1)).toMatch(/SIRBP=0x0 SIMP=0x0 SIEFP=0x0 SCONTROL=0x0$/)
    const on = drive(test, linuxOnline(kernel, 1))
    expect([on.value, actors(on.records)]).toEqual([0, ['stimer', 'linux', 'vmbus', 'mshv']])
    expect([...off.records, ...on.records].filter(({ result }) => !result.ok)).toEqual([])
    expect(vmbusAlive(test, 1)).toBe(true)
    expect(kernel.cpus()).toEqual([0, 1])
  })

  it.each([
    ['VMBus', V4, ['vmbus', 'mshv']],
    ['MSHV', { ...V4, mshvFirst: true }, ['mshv', 'vmbus']],
  ] as const)('go in reverse order of registration, and come back in it: %s first', (_who, boot, order) => {
    const { test, kernel } = booted('l1vh', boot)
    const drivers = (records: readonly Recorded[]) =>
      actors(records).filter((name) => /vmbus|mshv/.test(name))
    expect(drivers(drive(test, linuxOffline(kernel, 1)).records)).toEqual([...order].reverse())
    expect(drivers(drive(test, linuxOnline(kernel, 1)).records)).toEqual(order)
  })

  it('go and come with whoever is loaded: MSHV removed and loaded again is behind VMBus', () => {
    const { test, kernel } = booted('l1vh', { ...V4, mshvFirst: true })
    drive(test, linuxRemoveMshv(kernel))
    expect(actors(drive(test, linuxOnline(kernel, 1)).records)).not.toContain('mshv')
    drive(test, mshvUp(kernel, 'v4'))
    expect([...kernel.hotplug]).toEqual(['vmbus', 'mshv'])
  })

  it('stay as they are if VMBus is busy and leaves first', () => {
    const { test, kernel } = booted('l1vh', { ...V4, mshvFirst: true })
    Object.assign(kernel.vmbus, { connected: true, version: 0x5_0000 })
    const { value, records } = drive(test, linuxOffline(kernel, 0))
    expect([value, writes(records)]).toEqual([-16, []])
  })

  it('stay if VMBus is busy: MSHV is brought back on them', () => {
    const { test, kernel } = booted('l1vh', V4)
    Object.assign(kernel.vmbus, { connected: true, version: 0x5_0000 })
    const { value, records } = drive(test, linuxOffline(kernel, 0))
    expect(value).toBe(-16)
    expect(writes(records)).toEqual([...MSHV_OFF, 'mshv SIRBP', 'mshv SINT0', 'mshv SINT5'])
    expect(kernel.cpus()).toEqual([0, 1])
    expect(registers(test, 'SINT0 SINT5')).toBe('SINT0=0xf3 SINT5=0x800f3')
    expect(kernel.mshv.pages.has(0)).toBe(true)
  })
})

describe('a crash', () => {
  const crashed = (vcpu: number) => {
    const { test, kernel } = booted('guest', { mshv: null, host: null })
    const { records } = drive(test, linuxCrash(kernel, vcpu, { next: 'kdump' }))
    return { test, kernel, records }
  }

  it('cleans up the CPU that crashed alone, and leaves the others as they were', () => {
    const { test, records } = crashed(1)
    expect(writes(records)).toEqual([...REPORT, ...TIMERS_OFF, ...VMBUS_OFF, ...LAST_WORDS])
    expect(registers(test, 'SINT2 SIMP SIEFP SCONTROL', 1)).toBe(OFF)
    expect(registers(test, 'SINT2 SCONTROL', 0)).toBe('SINT2=0xf3 SCONTROL=0x1')
    expect(test.partition.machine.kernel).toBe('kdump')
  })

  it('is followed by a kernel on that CPU, whose CPU 0 it is', () => {
    const { test, kernel } = crashed(1)
    const kdump: Kernel = kernel.successor({ vcpus: [1] })
    expect(drive(test, linuxBoot(kdump, { mshv: null, host: null })).value).toBe(0)
    expect(kdump.bootCpu).toBe(1)
    expect(vmbusAlive(test, 1)).toBe(true)
  })

  it("on an l1vh leaves MSHV's registers as they were", () => {
    const { test, kernel } = booted('l1vh', V4)
    const { records } = drive(test, linuxCrash(kernel, 0, { next: 'kdump' }))
    expect(writes(records).filter((text) => text.startsWith('mshv'))).toEqual([])
    expect(registers(test, 'SINT0 SINT5')).toBe('SINT0=0xf3 SINT5=0x800f3')
  })
})

describe('booting', () => {
  it('with MSHV before VMBus enables pages that nobody provided', () => {
    const { test, kernel } = pair({ kind: 'l1vh' })
    const { records } = drive(test, linuxBoot(kernel, { ...V4, mshvFirst: true }))
    const pages = writes(records).filter((text) => /SIMP|SCONTROL/.test(text))
    expect(pages).toEqual(['mshv SIMP', 'mshv SCONTROL', 'vmbus SIMP', 'vmbus SCONTROL'])
    expect(kernel.mshv.pages.get(0)?.messages).toBe(0)
  })

  it('gives every driver its claims, and no op fails', () => {
    const { test } = booted('l1vh', V4)
    expect([...test.partition.machine.actors.keys()]).toEqual(['stimer', 'vmbus', 'mshv'])
  })

  it('connects where there is a host, whose messages its CPU then handles', () => {
    const { test, kernel } = pair({ kind: 'l1vh' })
    openVmbusPorts(test)
    const boot: BootOptions = { mshv: 'v4', host: PATIENCE }
    expect(drive(test, linuxBoot(kernel, boot), vmbusHost()).value).toBe(0)
    expect(kernel.vmbus.connected).toBe(true)
    expect(vmbusAlive(test)).toBe(true)
    drive(test, interrupt(kernel, 0))
    expect(test.memory(kernel.page('vmbus message page', 0) * 4096 + 512, 4)).toBe('00000000')
  })
})
