// VMBus on one CPU, register by register, and its rules for CPUs that go (Linux drivers/hv/hv.c).
import { describe, expect, it } from 'vitest'
import { vmbusCleanupCpu, vmbusInitCpu } from '../../src/drivers/vmbus.js'
import {
  vmbusDown,
  vmbusOffline,
  vmbusOnline,
  vmbusResume,
  vmbusSuspend,
  vmbusUp,
} from '../../src/drivers/vmbus-life.js'
import { drive, kernelOf, pair, registers, told, writes } from '../support/drivers.js'
import { machine } from '../support/machine.js'

const INIT = [
  'read SIMP → 0x0',
  'write SIMP 0x10001 (exit)',
  'read SIEFP → 0x0',
  'write SIEFP 0x11001 (exit)',
  'read SINT2 → 0x10000',
  'write SINT2 0xf3',
  'read SCONTROL → 0x1',
  'write SCONTROL 0x1 (exit)',
]
const CLEANUP = [
  'read SINT2 → 0xf3',
  'write SINT2 0x100f3',
  'read SIMP → 0x10001',
  'write SIMP 0x0 (exit)',
  'read SIEFP → 0x11001',
  'write SIEFP 0x0 (exit)',
  'read SCONTROL → 0x1',
  'write SCONTROL 0x0 (exit)',
]

describe('the registers of one CPU', () => {
  it('are set up and cleaned up in this order, each read before it is written', () => {
    const test = machine({ profile: 'kvm-synic2' })
    const kernel = kernelOf()
    expect(drive(test, vmbusInitCpu(kernel, 0)).records.map(told)).toEqual(INIT)
    expect(drive(test, vmbusCleanupCpu(kernel, 0)).records.map(told)).toEqual(CLEANUP)
  })

  it('use auto-EOI where nothing advises against it, and keep it when masked', () => {
    const { test, kernel } = pair({ deprecatesAutoEoi: false })
    drive(test, vmbusInitCpu(kernel, 0))
    expect(registers(test, 'SINT2')).toBe('SINT2=0x200f3')
    drive(test, vmbusCleanupCpu(kernel, 0))
    expect(registers(test, 'SINT2')).toBe('SINT2=0x300f3')
  })

  it('are the nested ones on a nested root', () => {
    const { test, kernel } = pair({ kind: 'nested_root' })
    const { records } = drive(test, vmbusInitCpu(kernel, 0))
    expect(writes(records)).toEqual(
      ['SIMP', 'SIEFP', 'SINT2', 'SCONTROL'].map((name) => `vmbus NESTED_${name}`),
    )
  })

  it('keep the addresses that a paravisor chose, and ask for proxied SINTs', () => {
    const { test, kernel } = pair({ paravisor: true })
    test.write('SIMP', 0x7_7000)
    test.write('SIEFP', 0x7_8000)
    drive(test, vmbusInitCpu(kernel, 0))
    expect(registers(test, 'SIMP SIEFP SINT2')).toBe('SIMP=0x77001 SIEFP=0x78001 SINT2=0x1000f3')
    drive(test, vmbusCleanupCpu(kernel, 0))
    expect(registers(test, 'SIMP SIEFP SINT2')).toBe('SIMP=0x77000 SIEFP=0x78000 SINT2=0x1100f3')
  })

  it('are those of CPU 0 alone around a suspend', () => {
    const { test, kernel } = pair({ vcpus: [0, 1] })
    drive(test, vmbusUp(kernel, null))
    drive(test, vmbusSuspend(kernel))
    expect(registers(test, 'SCONTROL', 0)).toBe('SCONTROL=0x0')
    expect(registers(test, 'SCONTROL', 1)).toBe('SCONTROL=0x1')
    drive(test, vmbusResume(kernel))
    expect(registers(test, 'SIMP SCONTROL SINT2')).toBe('SIMP=0x10001 SCONTROL=0x1 SINT2=0xf3')
  })
})

describe('the module', () => {
  it('does nothing on a root that is not nested', () => {
    const { test, kernel } = pair({ kind: 'root' })
    expect(drive(test, vmbusUp(kernel, null)).records).toEqual([])
    expect(kernel.vmbusExists).toBe(false)
  })

  it('sets up every CPU, ascending, each with pages of its own, and gives them back at exit', () => {
    const { test, kernel } = pair({ vcpus: [0, 1] })
    const up = drive(test, vmbusUp(kernel, null))
    expect(up.records.map(({ step }) => told({ step, result: { ok: true } }).split(' ')[0])).toEqual([
      'actor.attach',
      ...Array<string>(6).fill('page.claim'),
      ...Array<string[]>(8).fill(['read', 'write']).flat(),
    ])
    expect(test.partition.machine.pageHolders.size).toBe(6)
    expect(registers(test, 'SIMP SIEFP', 1)).toBe('SIMP=0x13001 SIEFP=0x14001')
    const down = drive(test, vmbusDown(kernel))
    expect(down.value).toBe(0)
    expect(down.records.filter(({ result }) => !result.ok)).toEqual([])
    expect(test.partition.machine.pageHolders.size).toBe(0)
    expect(test.partition.machine.actors.size).toBe(0)
    expect(kernel.vmbusExists).toBe(false)
  })

  it('claims what it owns, by kind', () => {
    const claims = (kind: 'guest' | 'nested_root' | 'l1vh') => {
      const { test, kernel } = pair({ kind })
      drive(test, vmbusUp(kernel, null))
      return test.partition.machine.actors.get('vmbus')?.claims.map(({ msr }) => msr.toString(16))
    }
    expect(claims('guest')).toEqual(['40000080', '40000083', '40000082', '40000092'])
    expect(claims('l1vh')).toEqual(claims('guest'))
    expect(claims('nested_root')).toEqual(['40001080', '40001083', '40001082', '40001092'])
  })
})

const FLAG_9 = 0x14000 + 2 * 256 + 1

describe('a CPU goes offline', () => {
  const connected = () => {
    const { test, kernel } = pair({ vcpus: [0, 1] })
    drive(test, vmbusUp(kernel, null))
    Object.assign(kernel.vmbus, { connected: true, version: 0x5_0000 })
    return { test, kernel }
  }
  const EBUSY = -16

  it.each([
    ['CPU 0, which the host answers', 0, () => {}, EBUSY],
    [
      'a CPU with a channel',
      1,
      ({ kernel }: ReturnType<typeof connected>) => {
        kernel.vmbus.channels.set(9, { connection: 25, vcpu: 1, calls: 0 })
      },
      EBUSY,
    ],
    [
      'a CPU whose channel moved away and left an event',
      1,
      ({ test }: ReturnType<typeof connected>) => test.do({ op: 'mem.write', gpa: FLAG_9, hex: '02' }),
      EBUSY,
    ],
    [
      'the same with a host that cannot move channels',
      1,
      ({ test, kernel }: ReturnType<typeof connected>) => {
        test.do({ op: 'mem.write', gpa: FLAG_9, hex: '02' })
        kernel.vmbus.version = 0x4_0000
      },
      0,
    ],
    [
      'a CPU that only flag 0 is set on',
      1,
      ({ test }: ReturnType<typeof connected>) => {
        test.do({ op: 'mem.write', gpa: FLAG_9 - 1, hex: '01' })
      },
      0,
    ],
    [
      'CPU 0 once disconnected',
      0,
      ({ kernel }: ReturnType<typeof connected>) => {
        kernel.vmbus.connected = false
      },
      0,
    ],
    ['a CPU that nothing needs', 1, () => {}, 0],
  ] as const)('%s', (_why, vcpu, prepare, outcome) => {
    const setup = connected()
    prepare(setup)
    const { value, records } = drive(setup.test, vmbusOffline(setup.kernel, vcpu))
    expect(value).toBe(outcome)
    expect(writes(records).length).toBe(outcome === 0 ? 4 : 0)
    expect(registers(setup.test, 'SCONTROL', vcpu)).toBe(`SCONTROL=0x${outcome === 0 ? 0 : 1}`)
  })

  it('waits three times for an event to be seen, then once more looks and goes', () => {
    const { test, kernel } = connected()
    test.do({ op: 'mem.write', gpa: FLAG_9, hex: '02' })
    const started = test.partition.now
    const clear = () => {
      if (test.partition.now - started === 300_000) test.do({ op: 'mem.write', gpa: FLAG_9, hex: '00' })
    }
    const { value, records } = drive(test, vmbusOffline(kernel, 1), clear)
    expect(value).toBe(0)
    expect(records.map(told).slice(0, 8)).toEqual(
      [
        'mem.read',
        'clock.advance',
        'mem.read',
        'clock.advance',
        'mem.read',
        'clock.advance',
        'mem.read',
      ].concat('read SINT2 → 0xf3'),
    )
  })

  it('stops the timer of message mode first, and starts it last', () => {
    const { test, kernel } = pair({ hasDirectTimers: false })
    kernel.timersExist = true
    const up = writes(drive(test, vmbusOnline(kernel, 0)).records)
    expect(up.slice(3)).toEqual(['vmbus SCONTROL', 'stimer STIMER0_CONFIG'])
    expect(registers(test, 'STIMER0_CONFIG')).toBe('STIMER0_CONFIG=0x20009')
    const down = writes(drive(test, vmbusOffline(kernel, 0)).records)
    expect(down.slice(0, 3)).toEqual(['stimer STIMER0_COUNT', 'stimer STIMER0_CONFIG', 'vmbus SINT2'])
  })
})
