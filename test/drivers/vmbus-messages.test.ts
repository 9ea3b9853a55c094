// VMBus's interrupt, its slot, its talk with the host (Linux vmbus_drv.c, connection.c).
import { describe, expect, it } from 'vitest'
import { interrupt } from '../../src/drivers/interrupt.js'
import type { Kernel } from '../../src/drivers/kernel.js'
import { u32s } from '../../src/drivers/memory.js'
import { vmbusConnect, vmbusCrashUnload, vmbusUnload } from '../../src/drivers/vmbus-contact.js'
import { vmbusDown, vmbusUp } from '../../src/drivers/vmbus-life.js'
import { postChannelMessage, signalChannel } from '../../src/drivers/vmbus-post.js'
import * as o from '../../src/synic/op.js'
import { drive, type Host, kernelOf, pair, type Recorded, told, vmbusHost } from '../support/drivers.js'
import { machine, type TestMachine } from '../support/machine.js'

const PATIENCE = { rounds: 3, takesInterrupts: true }
/** CHANNELMSG_ALL_OFFERS_DELIVERED. */
const ALL_OFFERS = '0400000000000000'
const SLOT = 0x1_0200
const FLAGS = 0x1_1200

/** A guest on KVM whose VMBus is up: messages at 0x10000, flags at 0x11000. */
function guest(config: Parameters<typeof kernelOf>[0] = {}) {
  const kernel = kernelOf(config)
  const test = machine({ profile: 'kvm-synic2', vcpus: kernel.config.vcpus.length })
  drive(test, vmbusUp(kernel, null))
  return { test, kernel }
}

const post = (test: TestMachine, hex: string, vcpu = 0, type = 1) =>
  test.do({ op: 'message.post', vcpu, sint: 2, type, hex })
const littleEndian = (...words: number[]) => Buffer.from(u32s(...words)).toString('hex')
const slotType = (test: TestMachine) => test.memory(SLOT, 4)

describe('the interrupt handler', () => {
  it('takes, looks at flags and slot, ends the interrupt, and frees the slot behind it', () => {
    const { test, kernel } = guest()
    post(test, ALL_OFFERS)
    const { value, records } = drive(test, interrupt(kernel, 0))
    expect(value).toBe(0xf3)
    expect(records.map(told)).toEqual([
      'apic.ack',
      'mem.read',
      'mem.read',
      'apic.eoi',
      'mem.read',
      'mem.cas',
      'mem.read',
    ])
    expect(slotType(test)).toBe('00000000')
  })

  it('writes EOM if something waits, and so gets the next message', () => {
    const { test, kernel } = pair()
    drive(test, vmbusUp(kernel, null))
    post(test, ALL_OFFERS)
    post(test, '0600')
    const { records } = drive(test, interrupt(kernel, 0))
    expect(records.slice(-3).map(told)).toEqual(['mem.cas', 'mem.read', 'write EOM 0x0'])
    expect(test.memory(SLOT + 16, 2)).toBe('0600')
    drive(test, interrupt(kernel, 0))
    expect(slotType(test)).toBe('00000000')
    expect(drive(test, interrupt(kernel, 0)).value).toBe(-1)
  })

  it('has no EOI to give with auto-EOI', () => {
    const { test, kernel } = guest({ deprecatesAutoEoi: false })
    post(test, ALL_OFFERS)
    expect(drive(test, interrupt(kernel, 0)).records.map(told)).not.toContain('apic.eoi')
  })

  it('clears flags ascending, one at a time, and calls their channels; flag 0 has none', () => {
    const { test, kernel } = guest()
    for (const relid of [1, 9, 2047])
      kernel.vmbus.channels.set(relid, { connection: relid, vcpu: 0, calls: 0 })
    for (const flag of [9, 0, 2047, 1]) test.do({ op: 'event.signal', vcpu: 0, sint: 2, flag })
    const { records } = drive(test, interrupt(kernel, 0))
    const cleared = records.filter(({ step }) => step.code === o.OP_MEM_CAS)
    expect(cleared.map(({ step }) => [step.args[0] - FLAGS, step.args[3], step.args[5]])).toEqual([
      [0, 3, 2],
      [0, 2, 0],
      [1, 2, 0],
      [255, 128, 0],
    ])
    expect([1, 9, 2047].map((relid) => kernel.vmbus.channels.get(relid)?.calls)).toEqual([1, 1, 1])
    expect(test.memory(FLAGS, 256)).toBe('00'.repeat(256))
  })

  it('keeps a flag that the host sets beside the one being cleared', () => {
    const { test, kernel } = guest()
    test.do({ op: 'event.signal', vcpu: 0, sint: 2, flag: 9 })
    let looked = false
    const host: Host = ({ code }) => {
      if (code !== o.OP_MEM_READ || looked) return
      looked = true
      test.do({ op: 'event.signal', vcpu: 0, sint: 2, flag: 10 })
    }
    drive(test, interrupt(kernel, 0), host)
    expect(test.memory(FLAGS + 1, 1)).toBe('04')
  })

  it('leaves a slot alone that changed under its hands', () => {
    const { test, kernel } = guest()
    post(test, ALL_OFFERS)
    const host: Host = ({ code, args }) => {
      if (code === o.OP_MEM_READ && args[2] === 256 && args[0] === SLOT) {
        test.do({ op: 'mem.write', gpa: SLOT, hex: '02000000' })
      }
    }
    const { records } = drive(test, interrupt(kernel, 0), host)
    expect(records.at(-1)?.step.code).toBe(o.OP_MEM_CAS)
    expect(slotType(test)).toBe('02000000')
  })

  it('runs the timer handler for an expiry, and frees the slot before the interrupt ends', () => {
    const { test, kernel } = guest({ hasDirectTimers: false })
    kernel.timersExist = true
    kernel.rearm.set(0, 10_000)
    test.do({ op: 'mem.write', gpa: SLOT, hex: '10000080' })
    test.do({ op: 'event.signal', vcpu: 0, sint: 2, flag: 3 })
    const { records } = drive(test, interrupt(kernel, 0))
    expect(records.map(told).slice(-5)).toEqual([
      'read TIME_REF_COUNT → 0x0',
      'write STIMER0_COUNT 0x2710',
      'mem.cas',
      'mem.read',
      'apic.eoi',
    ])
  })
})

describe('a message', () => {
  const offer = littleEndian(1, 0).padEnd(184 * 2, '0') + littleEndian(7, 0, 23)

  it.each([
    ['an unknown channel message is thrown away', '2a00000000000000', '00000000'],
    ['one without a handler too', '0e00000000000000', '00000000'],
    ['one that is too short too', '0f000000', '00000000'],
    ['an offer is taken', offer, '00000000'],
  ])('%s', (_why, hex, left) => {
    const { test, kernel } = guest()
    post(test, hex)
    drive(test, interrupt(kernel, 0))
    expect(slotType(test)).toBe(left)
  })

  it('with deferred work stays in its slot while there is no memory for that', () => {
    const { test, kernel } = guest()
    kernel.vmbus.hasAtomicMemory = false
    post(test, offer)
    drive(test, interrupt(kernel, 0))
    expect(slotType(test)).toBe('01000000')
    expect(kernel.vmbus.channels.size).toBe(0)
  })

  it('offers a channel, and a rescind makes VMBus give its id back', () => {
    const { test, kernel } = guest()
    post(test, offer)
    drive(test, interrupt(kernel, 0))
    expect(kernel.vmbus.channels.get(7)).toEqual({ connection: 23, vcpu: 0, calls: 0 })
    expect(drive(test, signalChannel(kernel, 0, 7)).records[0].step.args).toEqual([23, 0])
    post(test, littleEndian(2, 0, 7))
    const { records } = drive(test, interrupt(kernel, 0))
    expect(records.at(-1)?.step.bytes).toEqual(u32s(13, 0, 7))
    expect(kernel.vmbus.channels.size).toBe(0)
  })
})

describe('posting', () => {
  const posted = (records: readonly Recorded[]) =>
    records.filter(({ step }) => step.code === o.OP_HV_POST_MESSAGE).length
  const delays = (records: readonly Recorded[]) =>
    records.filter(({ step }) => step.code === o.OP_CLOCK_ADVANCE).map(({ step }) => step.args[0])

  it('retries a hundred times, waiting twice as long after each of the first failures', () => {
    const { test, kernel } = pair()
    const { value, records } = drive(test, postChannelMessage(kernel, 0, u32s(16, 0)))
    expect(value).toBe(-11)
    expect(posted(records)).toBe(100)
    expect(delays(records).slice(0, 4)).toEqual([10, 20, 40, 80])
    expect(delays(records).slice(20, 23)).toEqual([10 * 2 ** 20, 10 * 2 ** 21, 10 * 2 ** 21])
    expect(delays(records).length).toBe(100)
  })

  it('gives up at once where the first contact finds no such connection', () => {
    const { test, kernel } = pair()
    const { value, records } = drive(test, postChannelMessage(kernel, 0, u32s(14, 0)))
    expect([value, posted(records)]).toEqual([-22, 1])
  })

  it('gives up at a status that waiting does not mend', () => {
    const { test, kernel } = pair()
    test.do({ op: 'port.create', port: 1, type: 'event', vcpu: 0, sint: 2 })
    test.do({ op: 'connection.create', connection: 1, port: 1 })
    const { value, records } = drive(test, postChannelMessage(kernel, 0, u32s(16, 0)))
    expect([value, posted(records)]).toEqual([-22, 1])
  })

  it('retries while the port has no buffer', () => {
    const { test, kernel } = pair({ vcpus: [0, 1] })
    drive(test, vmbusUp(kernel, null))
    test.do({ op: 'port.create', port: 1, type: 'message', vcpu: 1, sint: 2 })
    test.do({ op: 'connection.create', connection: 1, port: 1 })
    for (let i = 0; i < 17; i++) drive(test, postChannelMessage(kernel, 0, u32s(4, 0)))
    const free: Host = ({ code }) => {
      if (code === o.OP_CLOCK_ADVANCE) drive(test, interrupt(kernel, 1))
    }
    const { value, records } = drive(test, postChannelMessage(kernel, 0, u32s(4, 0)), free)
    expect([value, posted(records)]).toEqual([0, 2])
  })
})

describe('the host', () => {
  const connected = (config: Parameters<typeof kernelOf>[0] = {}) => {
    const { test, kernel } = guest(config)
    expect(drive(test, vmbusConnect(kernel, PATIENCE), vmbusHost()).value).toBe(0)
    return { test, kernel }
  }
  const messages = (records: readonly Recorded[]) =>
    records
      .filter(({ step }) => step.code === o.OP_HV_POST_MESSAGE)
      .map(({ step }) => [step.args[0], step.bytes?.[0]])

  it('is contacted on connection 4 with the newest protocol, then asked for offers where it said', () => {
    const { test, kernel } = guest()
    const { value, records } = drive(test, vmbusConnect(kernel, PATIENCE), vmbusHost())
    expect(value).toBe(0)
    expect(messages(records)).toEqual([
      [4, 14],
      [1, 3],
    ])
    expect([kernel.vmbus.connected, kernel.vmbus.version]).toEqual([true, 0x5_0003])
  })

  it('that refuses a protocol is offered an older one', () => {
    const { test, kernel } = guest()
    let refusals = 0
    const picky: Host = (step) => {
      if (step.bytes?.[0] !== 14) return
      const supported = step.bytes[10] === 3 ? '01' : '00'
      if (supported === '00') refusals++
      post(test, `0f00000000000000${supported}00000000000000`)
    }
    expect(drive(test, vmbusConnect(kernel, PATIENCE), picky).value).toBe(0)
    expect([refusals, kernel.vmbus.version, kernel.vmbus.connection]).toEqual([6, 0x3_0000, 1])
  })

  it('that never answers is a failed connect: VMBus goes, and so do its pages', () => {
    const kernel = kernelOf()
    const test = machine({ profile: 'kvm-synic2' })
    expect(drive(test, vmbusUp(kernel, PATIENCE)).value).toBe(-110)
    expect(kernel.vmbusExists).toBe(false)
    expect(test.partition.machine.pageHolders.size).toBe(0)
  })

  it('is told UNLOAD, and its answer is awaited', () => {
    const { test, kernel } = connected()
    const { value, records } = drive(test, vmbusUnload(kernel, PATIENCE), vmbusHost())
    expect([value, messages(records)]).toEqual([0, [[1, 16]]])
    expect(drive(test, vmbusUnload(kernel, PATIENCE)).records).toEqual([])
  })

  it('that does not answer UNLOAD is where Linux would hang', () => {
    const { test, kernel } = connected()
    expect(drive(test, vmbusUnload(kernel, PATIENCE), vmbusHost({ unload: false })).value).toBe(-110)
  })

  it('is unloaded when the module goes', () => {
    const { test, kernel } = connected()
    const { value, records } = drive(test, vmbusDown(kernel, PATIENCE), vmbusHost())
    expect([value, messages(records)]).toEqual([0, [[1, 16]]])
  })

  const crash = (answersOn: number, kernel: Kernel, test: TestMachine) =>
    drive(test, vmbusCrashUnload(kernel, 1, 3), vmbusHost({ vcpu: answersOn }))

  it('may answer a crashing CPU in the slot of another one', () => {
    const { test, kernel } = connected({ vcpus: [0, 1] })
    post(test, ALL_OFFERS, 1)
    const { value, records } = crash(0, kernel, test)
    expect(value).toBe(0)
    // Both slots are emptied once each way: by compare-and-swap while looking, by a plain store at the end.
    const codes = records.map(({ step }) => step.code)
    expect(codes.filter((code) => code === o.OP_MEM_CAS).length).toBe(2)
    expect(codes.filter((code) => code === o.OP_MEM_WRITE).length).toBe(2)
    expect(records.every(({ step }) => step.vcpu === 1)).toBe(true)
  })

  it('that does not answer is given up, and nothing is cleared', () => {
    const { test, kernel } = connected()
    const { value, records } = drive(test, vmbusCrashUnload(kernel, 0, 3))
    expect(value).toBe(-110)
    expect(records.filter(({ step }) => step.code === o.OP_CLOCK_ADVANCE).length).toBe(3)
  })
})
