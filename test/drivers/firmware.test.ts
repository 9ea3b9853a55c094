// UEFI firmware: releases what it enabled, leaves what the platform had enabled, never writes SCONTROL.
import { describe, expect, it } from 'vitest'
import { Firmware } from '../../src/drivers/firmware.js'
import { Kernel } from '../../src/drivers/kernel.js'
import { OTHER_PROCEDURES } from '../../src/drivers/other-procedures.js'
import { EVERY_PROFILE } from '../support/script.js'
import { Stage } from '../support/strand.js'

const kernel = (deprecatesAutoEoi = false): Kernel =>
  new Kernel({ kind: 'guest', vcpus: [0], deprecatesAutoEoi, hasDirectTimers: false, firstGpn: 0x10 })

const CLAIMED = ['page.claim 0x10000', 'page.claim 0x11000', 'page.claim 0x12000', 'actor.attach']
const CONNECTED = ['GUEST_OS_ID=0x10000000000', 'HYPERCALL=0x10001']
const TIMERS_OFF = [0, 1, 2, 3].flatMap((n) => [`STIMER${n}_COUNT=0x0`, `STIMER${n}_CONFIG=0x0`])

/** One SINT of the cleanup, with nothing in its slot. */
function sintOff(sint: number, messages = 0x11000, events = 0x12000): string[] {
  const at = (page: number) => `0x${(page + 256 * sint).toString(16)}`
  return [`SINT${sint}=0x10000`, `[${at(messages)}]?`, `[${at(events)}]=256 bytes`]
}
const sints = (...pages: number[]) => Array.from({ length: 16 }, (_, sint) => sintOff(sint, ...pages)).flat()
const END = [
  'HYPERCALL=0x0',
  'GUEST_OS_ID=0x0',
  'actor.detach',
  'page.free 0x10000',
  'page.free 0x11000',
  'page.free 0x12000',
]

describe('where the platform enabled nothing', () => {
  it('the firmware provides both pages', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    const firmware = new Firmware(kernel(), 0)
    const pages = ['SIMP?', 'SIMP=0x11001', 'SIEFP?', 'SIEFP=0x12001']
    expect(stage.run(firmware.up()).steps).toEqual([...CLAIMED, ...CONNECTED, ...pages, 'SINT2=0x2005a'])
    expect(firmware.components).toEqual([
      { page: 0x11, provided: true },
      { page: 0x12, provided: true },
    ])
  })

  it('and disables both again', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    const firmware = new Firmware(kernel(), 0)
    stage.run(firmware.up())
    const off = ['SIMP?', 'SIMP=0x0', 'SIEFP?', 'SIEFP=0x0']
    expect(stage.run(firmware.cleanup()).steps).toEqual([...TIMERS_OFF, ...sints(), ...off, ...END])
    expect(stage.registers(0, 'SCONTROL')).toEqual(['0x1'])
    expect(stage.run(firmware.cleanup()).steps).toEqual([])
  })

  it('and asks for auto-EOI only where it is not deprecated', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    stage.run(new Firmware(kernel(true), 0).up(0x40))
    expect(stage.registers(0, 'SINT2')).toEqual(['0x40'])
  })

  it('and drains slots with EOM while more waits', () => {
    const stage = new Stage({ profile: 'tlfs', options: { scontrol_reset: 1 } })
    const firmware = new Firmware(kernel(), 0)
    stage.run(firmware.up())
    for (const hex of ['0a', '0b']) stage.test.do({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex })
    const { steps } = stage.run(firmware.cleanup())
    const from = steps.indexOf('SINT2=0x10000')
    const taken = ['[0x11200]?', '[0x11200]=4 bytes', '[0x11205]?']
    expect(steps.slice(from + 1, from + 9)).toEqual([...taken, 'EOM=0x0', ...taken, '[0x11200]?'])
  })
})

describe('where the platform enabled a page', () => {
  it('the firmware uses it as it is, and leaves it enabled', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    stage.test.write('SIMP', 0x30001, 0, 'host')
    const firmware = new Firmware(kernel(), 0)
    const pages = ['SIMP?', 'SIEFP?', 'SIEFP=0x12001']
    expect(stage.run(firmware.up()).steps).toEqual([...CLAIMED, ...CONNECTED, ...pages, 'SINT2=0x2005a'])
    const off = ['SIEFP?', 'SIEFP=0x0']
    expect(stage.run(firmware.cleanup()).steps).toEqual([...TIMERS_OFF, ...sints(0x30000), ...off, ...END])
    expect(stage.registers(0, 'SIMP', 'SIEFP')).toEqual(['0x30001', '0x0'])
  })

  it('a base alone does not count: the firmware puts its own there', () => {
    const stage = new Stage({ profile: 'tlfs', kind: 'root' })
    const firmware = new Firmware(kernel(), 0)
    stage.run(firmware.up())
    expect(stage.registers(0, 'SIMP', 'SIEFP')).toEqual(['0x11001', '0x12001'])
  })

  it('both pages, as below a nested root', () => {
    const stage = new Stage({ profile: 'tlfs', kind: 'nested_root' })
    const before = stage.registers(0, 'SIMP', 'SIEFP', 'SCONTROL')
    const firmware = new Firmware(kernel(), 0)
    const { steps } = stage.run(firmware.up())
    expect(steps.filter((step) => /^SI.*=0x/.test(step))).toEqual(['SINT2=0x2005a'])
    stage.run(firmware.cleanup())
    expect(stage.registers(0, 'SIMP', 'SIEFP', 'SCONTROL')).toEqual(before)
  })
})

it.each([
  ['kvm-synic', 'delivered'],
  ['kvm-synic2', 'delivered'],
  ['openvmm', 'delivered'],
  // The text's reset value keeps everything from firmware that trusts the hypervisor's own.
  ['tlfs', 'dropped'],
] as const)('with SCONTROL as %s resets it, a message is %s', (profile, delivery) => {
  const stage = new Stage({ profile })
  stage.run(new Firmware(kernel(), 0).up())
  const result = stage.test.do({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a' })
  expect(result.delivery).toBe(delivery)
})

it.each(EVERY_PROFILE)('up and cleanup on %s without a fault', (profile) => {
  const stage = new Stage({ profile })
  const before = stage.registers(0, 'SCONTROL')
  const firmware = kernel()
  const run = (name: string) => stage.run(OTHER_PROCEDURES[name](firmware, { vcpus: [0] }))
  const [up, cleanup] = [run('firmware.up'), run('firmware.cleanup')]
  expect([...up.refused, ...cleanup.refused]).toEqual([])
  expect([...up.steps, ...cleanup.steps].filter((step) => step.startsWith('SCONTROL'))).toEqual([])
  expect(stage.registers(0, 'SCONTROL', 'SIMP', 'SIEFP', 'SINT2')).toEqual([
    ...before,
    '0x0',
    '0x0',
    '0x10000',
  ])
})
