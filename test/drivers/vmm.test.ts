// The host's hand on the registers, the crash kernel, and published orders that raise no fault anywhere.
import { describe, expect, it } from 'vitest'
import { crashPoll, oldPages } from '../../src/drivers/crash-kernel.js'
import { Firmware } from '../../src/drivers/firmware.js'
import { FREEBSD, freebsdDown, freebsdHandler, freebsdUp } from '../../src/drivers/freebsd.js'
import { Ipxe } from '../../src/drivers/ipxe.js'
import { Kernel } from '../../src/drivers/kernel.js'
import { OTHER_PROCEDURES } from '../../src/drivers/other-procedures.js'
import { MESSAGE_PAGE, vmbusCleanupCpu, vmbusInitCpu } from '../../src/drivers/vmbus.js'
import { qemuReset, VCPU_REGISTERS, vmmRestore, vmmSave } from '../../src/drivers/vmm.js'
import type { ProfileName } from '../../src/synic/profile.js'
import { EVERY_PROFILE } from '../support/script.js'
import { Stage } from '../support/strand.js'

const kernel = (vcpus: readonly number[] = [0]): Kernel =>
  new Kernel({ kind: 'guest', vcpus, deprecatesAutoEoi: false, hasDirectTimers: false, firstGpn: 0x10 })

/** A kernel with VMBus up on its CPUs, on a new machine. */
function linux(profile: ProfileName, vcpus: readonly number[] = [0], host: number | null = 0) {
  const stage = new Stage({ profile, vcpus: vcpus.length }, host)
  const old = kernel(vcpus)
  for (const vcpu of vcpus) stage.run(vmbusInitCpu(old, vcpu))
  return { stage, old }
}
const dump = (stage: Stage, vcpu = 0) => stage.test.do({ op: 'synic.dump', vcpu }).dump

const ASCENDING = VCPU_REGISTERS.map((_, index) => index)
const ORDERS: readonly (readonly [string, readonly number[]])[] = [
  ['as QEMU does it', ASCENDING],
  ['backwards', [...ASCENDING].reverse()],
  ['in strides', ASCENDING.map((index) => (index * 11 + 5) % ASCENDING.length)],
]

describe('a machine reset by QEMU', () => {
  it('writes 0 everywhere and masks the SINTs', () => {
    const { steps, actors } = new Stage({ profile: 'qemu' }).run(qemuReset([0]))
    const sints = Array.from({ length: 16 }, (_, sint) => `host SINT${sint}=0x10000`)
    const shared = ['host GUEST_OS_ID=0x0', 'host HYPERCALL=0x0', 'host REFERENCE_TSC=0x0']
    const pages = ['host VP_ASSIST_PAGE=0x0', 'host SCONTROL=0x0', 'host SIEFP=0x0', 'host SIMP=0x0']
    const timers = ['CONFIG', 'COUNT'].flatMap((r) => [0, 1, 2, 3].map((n) => `host STIMER${n}_${r}=0x0`))
    expect(steps).toEqual([...shared, ...pages, ...sints, ...timers])
    expect([...actors]).toEqual(['qemu'])
  })

  it('writes the shared registers once', () => {
    const { steps } = new Stage({ profile: 'qemu', vcpus: 2 }).run(qemuReset([0, 1]))
    expect(steps.filter((step) => step.includes('GUEST_OS_ID'))).toEqual(['host GUEST_OS_ID=0x0'])
    expect(steps).toHaveLength(3 + 2 * VCPU_REGISTERS.length)
  })

  it.each(EVERY_PROFILE)('leaves the same on %s, whatever the order', (profile) => {
    const dumps = ORDERS.map(([, order]) => {
      const { stage } = linux(profile)
      expect(stage.run(qemuReset([0], order)).refused).toEqual([])
      return dump(stage)
    })
    for (const each of dumps) expect(each).toEqual(dumps[0])
  })

  it.each([[[1, 2]], [ASCENDING.map(() => 0)], ['backwards']])('does nothing in the order %j', (order) => {
    const reset = OTHER_PROCEDURES['qemu.reset'](kernel(), { vcpus: [0], order })
    expect(new Stage({ profile: 'qemu' }).run(reset)).toMatchObject({ result: -22, steps: [] })
  })

  it('is a programmer error in an order that leaves a register out', () => {
    expect(() => new Stage({ profile: 'qemu' }).run(qemuReset([0], [1, 2]))).toThrow('each register once')
  })
})

describe('a restore', () => {
  it.each(EVERY_PROFILE.flatMap((p) => [[p, 'memory_first'] as const, [p, 'memory_last'] as const]))(
    'on %s, %s, brings every register back',
    (profile, order) => {
      const { stage } = linux(profile)
      stage.test.do({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a' })
      const saved = stage.run(vmmSave([0], [0x10, 0x11])).result
      const other = new Stage({ profile })
      expect(other.run(vmmRestore(saved, order))).toMatchObject({ result: 0, refused: [] })
      expect(other.run(vmmSave([0], [])).result.registers).toEqual(saved.registers)
      // Where the pages are overlays, memory written before them lies underneath.
      const isRam = profile === 'kvm-synic' || profile === 'kvm-synic2'
      if (isRam || order === 'memory_last') expect(other.test.memory(0x10210, 1)).toBe('0a')
    },
  )

  it('may write 0 to a controller that is not active, and nothing else', () => {
    const zeros = { registers: VCPU_REGISTERS.map((msr) => ({ vcpu: 0, msr, lo: 0, hi: 0 })), pages: [] }
    expect(new Stage({ profile: 'kvm' }).run(vmmRestore(zeros)).result).toBe(0)
    const { stage } = linux('kvm-synic2')
    const saved = stage.run(vmmSave([0], [])).result
    // SCONTROL, SIEFP, SIMP and sixteen SINTs hold something.
    expect(new Stage({ profile: 'kvm' }).run(vmmRestore(saved)).result).toBe(19)
  })

  it('takes its registers from a scenario file', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    const registers = 'v0.SIMP=0x10001 v0.SINT2=255'
    const pages = '0x10000=abcd'
    const params = { vcpus: [0], memory: 'memory_last', registers, pages }
    expect(stage.run(OTHER_PROCEDURES['vmm.restore'](kernel(), params)).steps).toEqual([
      'host SIMP=0x10001',
      'host SINT2=0xff',
      'host [0x10000]=2 bytes',
    ])
    expect(stage.test.memory(0x10000, 2)).toBe('abcd')
  })

  it.each([
    { registers: 'v0.SIMP' },
    { registers: 'v0.SINT99=0' },
    { registers: 5 },
    { pages: '0x10=ab' },
    { memory: 'memory_never' },
  ])('does nothing with %j', (bad) => {
    const restore = OTHER_PROCEDURES['vmm.restore'](kernel(), { vcpus: [0], ...bad })
    expect(new Stage({ profile: 'kvm-synic2' }).run(restore)).toMatchObject({ result: -22, steps: [] })
  })
})

describe('a crash kernel on the second CPU', () => {
  const at = (vcpu: number) => `0x${(0x10200 + 0x2000 * vcpu).toString(16)}`

  it('finds the answer on the first, which is stopped', () => {
    const { stage, old } = linux('kvm-synic2', [0, 1])
    const poll = crashPoll(oldPages(old, MESSAGE_PAGE), { runsOn: 1, polled: [0, 1] })
    const { result, steps } = stage.run(poll)
    expect(result).toBe(true)
    expect(steps).toEqual(['v1 SIMP?', 'v1 hv.post_message', `v1 [${at(0)}]?`, 'v1 mem.cas', 'v1 [0x10205]?'])
    expect(stage.test.memory(at(0), 4)).toBe('00000000')
  })

  it('waits in vain where it looks only at its own', () => {
    const { stage, old } = linux('kvm-synic2', [0, 1])
    const params = { vcpus: [1], polled: [1], polls: 2 }
    const { steps } = stage.run(OTHER_PROCEDURES['crash_kernel.poll'](old, params))
    const look = [`v1 [${at(1)}]?`, 'v1 clock.advance']
    expect(steps).toEqual(['v1 SIMP?', 'v1 hv.post_message', ...look, ...look])
    expect(stage.test.memory(at(0), 4)).toBe('01000000')
  })

  it('passes over what is no answer, and vCPUs without a page', () => {
    const { stage, old } = linux('kvm-synic2', [0, 1], 1)
    stage.test.do({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '01' })
    stage.run(vmbusCleanupCpu(old, 1))
    const poll = crashPoll(oldPages(old, MESSAGE_PAGE), { runsOn: 1, polled: [0, 1, 2], polls: 2 })
    const { result, steps } = stage.run(poll)
    expect(result).toBe(false)
    expect(steps).not.toContain(`v1 [${at(1)}]?`)
    expect(steps.filter((step) => step === 'v1 mem.cas')).toHaveLength(1)
  })
})

/** Each program with the order that it is published to use. */
const PUBLISHED: Readonly<Record<string, (stage: Stage) => string[]>> = {
  'Linux VMBus, up': (stage) => [...stage.run(vmbusInitCpu(kernel(), 0)).refused],
  'Linux VMBus, down': (stage) => {
    const guest = kernel()
    return [...stage.run(vmbusInitCpu(guest, 0)).refused, ...stage.run(vmbusCleanupCpu(guest, 0)).refused]
  },
  'FreeBSD, up': (stage) => [...stage.run(freebsdUp(kernel(), [0])).refused],
  'FreeBSD, down': (stage) => {
    const guest = kernel()
    return [...stage.run(freebsdUp(guest, [0])).refused, ...stage.run(freebsdDown(guest, [0])).refused]
  },
  'FreeBSD, handler': (stage) => {
    stage.run(freebsdUp(kernel(), [0]))
    stage.test.do({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a' })
    return [...stage.run(freebsdHandler({ actor: FREEBSD, vcpu: 0 }, 0x10, 0x11)).refused]
  },
  'iPXE, up and down': (stage) => {
    const ipxe = new Ipxe(kernel(), 0)
    return [...stage.run(ipxe.probe()).refused, ...stage.run(ipxe.remove()).refused]
  },
  'UEFI firmware': (stage) => {
    const firmware = new Firmware(kernel(), 0)
    return [...stage.run(firmware.up()).refused, ...stage.run(firmware.cleanup()).refused]
  },
  'QEMU, machine reset': (stage) => [...stage.run(qemuReset([0])).refused],
  'a VMM, restore': (stage) => {
    const { result } = stage.run(vmmSave([0], [0x10]))
    return [...stage.run(vmmRestore(result)).refused]
  },
  'a crash kernel that goes on': (stage) => {
    const old = kernel()
    stage.run(vmbusInitCpu(old, 0))
    const { result, refused } = stage.run(crashPoll(oldPages(old, MESSAGE_PAGE), { runsOn: 0, polled: [0] }))
    expect(result).toBe(true)
    return [...refused, ...stage.run(vmbusInitCpu(old.successor(), 0)).refused]
  },
}

describe.each(EVERY_PROFILE)('published orders on %s', (profile) => {
  it.each(Object.keys(PUBLISHED))('%s runs without a fault', (program) => {
    const stage = new Stage({ profile })
    expect(PUBLISHED[program]?.(stage)).toEqual([])
  })
})

it('names each procedure after its actor', () => {
  const actors = ['ipxe', 'winload', 'windows_kd', 'freebsd', 'firmware', 'crash_kernel', 'qemu', 'vmm']
  expect([...new Set(Object.keys(OTHER_PROCEDURES).map((name) => name.split('.')[0]))]).toEqual(actors)
})
