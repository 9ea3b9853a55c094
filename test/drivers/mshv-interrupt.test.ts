// MSHV's messages in slot 0, and its doorbells' event ring (Linux mshv_synic.c).
import { describe, expect, it } from 'vitest'
import { interrupt } from '../../src/drivers/interrupt.js'
import { RING_ENTRIES, registerDoorbell, unregisterDoorbell } from '../../src/drivers/mshv-doorbell.js'
import { mshvUp } from '../../src/drivers/mshv-life.js'
import { vmbusUp } from '../../src/drivers/vmbus-life.js'
import * as o from '../../src/synic/op.js'
import { drive, type Host, pair, told } from '../support/drivers.js'
import type { TestMachine } from '../support/machine.js'

const SLOT = 0x1_0000
/** SINT5's ring in MSHV's page, behind VMBus's three. */
const RING = 0x1_3000 + 5 * 256
const TRIGGER = 0x8_0000
const ANY = 0x8000_0000 | 0

function parent() {
  const { test, kernel } = pair({ kind: 'l1vh' })
  // The ring's full flag is answered by a hypercall, which takes a guest that has identified itself.
  test.write('GUEST_OS_ID', 1)
  test.write('HYPERCALL', 0x7_0001)
  drive(test, vmbusUp(kernel, null))
  drive(test, mshvUp(kernel, 'v4'))
  return { test, kernel }
}

const post = (test: TestMachine, type: number, hex = '', sender = 0) =>
  test.do({ op: 'message.post', vcpu: 0, sint: 0, type, hex, sender })
const slot = (test: TestMachine) => test.memory(SLOT, 4)
const ring = (test: TestMachine) => test.do({ op: 'mem.write', gpa: TRIGGER, hex: '01' })
const ringBells = (test: TestMachine, times: number) => {
  for (let i = 0; i < times; i++) ring(test)
}

describe('a message in slot 0', () => {
  it.each([
    ['the scheduler wakes VPs', 0x8000_0100, '', 0, true],
    ['the scheduler wakes a pair, known or not', 0x8000_0101, '', 0, true],
    ['a hypercall of a known partition completes', 0x8000_0070, '05000000', 0, true],
    ['a hypercall of another partition completes', 0x8000_0070, '06000000', 0, false],
    ['a known partition was intercepted', 0x8000_003f, '', 5, true],
    ['another partition was intercepted', 0x8000_003f, '', 6, false],
    ['an EOI that somebody waits for', 0x8001_0004, '0000000031000000', 5, true],
    ['an EOI that nobody waits for', 0x8001_0004, '0000000032000000', 5, false],
    ['an intercept that should have been opaque', 0x8001_0000, '', 5, false],
    ['a notification of another SINT', 0x8000_0061, '04000000', 5, false],
  ] as const)('%s', (_why, type, hex, sender, handled) => {
    const { test, kernel } = parent()
    kernel.mshv.partitions.add(5)
    kernel.mshv.awaited.add(0x31)
    post(test, type, hex, sender)
    drive(test, interrupt(kernel, 0))
    expect(slot(test) === '00000000').toBe(handled)
    expect(kernel.mshv.unhandled >>> 0).toBe(handled ? 0 : type)
  })

  it('that nobody handles keeps every later one out', () => {
    const { test, kernel } = parent()
    post(test, 0x8000_0062)
    post(test, 0x8000_0100)
    drive(test, interrupt(kernel, 0))
    drive(test, interrupt(kernel, 0))
    expect(slot(test)).toBe('62000080')
    expect(kernel.mshv.wakes).toBe(0)
  })

  it('frees the slot by a store, then asks for what waits; VMBus looks behind it', () => {
    const { test, kernel } = parent()
    post(test, 0x8000_0100)
    post(test, 0x8000_0101)
    const { records } = drive(test, interrupt(kernel, 0))
    expect(records.map((each) => `${each.step.actor} ${told(each)}`)).toEqual([
      'vmbus apic.ack',
      'mshv mem.read',
      'mshv mem.write',
      'mshv mem.read',
      'mshv write EOM 0x0',
      'vmbus mem.read',
      'vmbus mem.read',
      'vmbus apic.eoi',
    ])
    expect(slot(test)).toBe('01010080')
    drive(test, interrupt(kernel, 0))
    expect(kernel.mshv.wakes).toBe(2)
  })
})

describe('doorbells', () => {
  const bell = () => {
    const { test, kernel } = parent()
    const trigger = { gpa: TRIGGER, value: 0, flags: ANY }
    expect(drive(test, registerDoorbell(kernel, 0, trigger)).value).toBe(1)
    return { test, kernel }
  }

  it('are answered as often as they rang, and the ring is empty', () => {
    const { test, kernel } = bell()
    ringBells(test, 3)
    drive(test, interrupt(kernel, 0))
    expect(kernel.mshv.doorbells.get(1)).toBe(3)
    expect(test.memory(RING, 256)).toBe('00'.repeat(256))
    // Each rang unmasked, so each brought a message; two find the ring empty.
    while (slot(test) !== '00000000') drive(test, interrupt(kernel, 0))
    expect(kernel.mshv.doorbells.get(1)).toBe(3)
  })

  it('that found the ring full come once it was emptied', () => {
    const { test, kernel } = bell()
    ringBells(test, RING_ENTRIES + 4)
    const { records } = drive(test, interrupt(kernel, 0))
    expect(records.filter(({ step }) => step.code === o.OP_HYPERCALL).length).toBe(1)
    for (let vector = 0; vector !== -1; ) vector = drive(test, interrupt(kernel, 0)).value
    expect(kernel.mshv.doorbells.get(1)).toBe(RING_ENTRIES + 4)
  })

  it('that ring between the last look and the unmasking are seen by the look behind it', () => {
    const { test, kernel } = bell()
    ring(test)
    let late = true
    const host: Host = ({ code, args, bytes }) => {
      const unmasks = code === o.OP_MEM_WRITE && args[0] === RING && bytes?.[0] === 0
      if (unmasks && late) {
        late = false
        ring(test)
      }
    }
    const { records } = drive(test, interrupt(kernel, 0), host)
    expect(kernel.mshv.doorbells.get(1)).toBe(2)
    const masks = records.filter(({ step }) => step.code === o.OP_MEM_WRITE && step.args[0] === RING)
    expect(masks.map(({ step }) => step.bytes?.[0])).toEqual([0, 1, 0])
  })

  it('use port and connection of one number, lowest free first, and let go of both', () => {
    const { test, kernel } = bell()
    const { machine } = test.partition
    const second = drive(test, registerDoorbell(kernel, 0, { gpa: TRIGGER + 8, value: 1, flags: 1 }))
    expect(second.value).toBe(2)
    expect([...machine.ports.keys()]).toEqual([1, 2])
    expect(drive(test, unregisterDoorbell(kernel, 0, 1)).value).toBe(0)
    expect(drive(test, unregisterDoorbell(kernel, 0, 1)).value).toBe(-2)
    expect([[...machine.ports.keys()], [...machine.connections.keys()]]).toEqual([[2], [2]])
    expect(drive(test, registerDoorbell(kernel, 0, { gpa: TRIGGER, value: 0, flags: ANY })).value).toBe(1)
  })

  it.each([
    ['the port is taken', { op: 'port.create', port: 1, type: 'event', vcpu: 0, sint: 3 }, 'port.create'],
    ['the connection is taken', { op: 'connection.create', connection: 1, port: 9 }, 'port.delete'],
  ])('fail where %s, and leave nothing behind', (_why, taken, last) => {
    const { test, kernel } = parent()
    test.do({ op: 'port.create', port: 9, type: 'event', vcpu: 0, sint: 3 })
    test.do(taken)
    const { machine } = test.partition
    const before = [machine.ports.size, machine.connections.size]
    const { value, records } = drive(test, registerDoorbell(kernel, 0, { gpa: 0, value: 0, flags: ANY }))
    expect(value).toBe(-22)
    expect(records.map(told).at(-1)).toBe(last)
    expect([machine.ports.size, machine.connections.size]).toEqual(before)
    expect(kernel.mshv.doorbells.size).toBe(0)
  })
})
