// Linux's timer on STIMER0, direct and by message (hyperv_timer.c).
import { describe, expect, it } from 'vitest'
import { interrupt } from '../../src/drivers/interrupt.js'
import {
  stimerArm,
  stimerCleanupCpu,
  stimerDown,
  stimerInitCpu,
  stimerOneShot,
  stimerUp,
} from '../../src/drivers/stimer.js'
import { vmbusUp } from '../../src/drivers/vmbus-life.js'
import { drive, pair, registers, told, writes } from '../support/drivers.js'

describe.each([
  ['direct', true, '0x1ed9', '0x1ed8', 0xed],
  ['message', false, '0x20009', '0x20008', 0xf3],
] as const)('%s mode', (mode, hasDirectTimers, config, expired, vector) => {
  const ticking = () => {
    const { test, kernel } = pair({ hasDirectTimers })
    drive(test, vmbusUp(kernel, null))
    drive(test, stimerUp(kernel))
    drive(test, stimerInitCpu(kernel, 0, mode))
    return { test, kernel }
  }

  it('is set to one-shot, armed for a delta, and expires with its interrupt', () => {
    const { test, kernel } = ticking()
    expect(registers(test, 'STIMER0_CONFIG')).toBe(`STIMER0_CONFIG=${config}`)
    test.do({ op: 'clock.advance', ticks: 500 })
    expect(drive(test, stimerArm(0, 1000)).records.map(told)).toEqual([
      'read TIME_REF_COUNT → 0x1f4',
      'write STIMER0_COUNT 0x5dc',
    ])
    expect(test.do({ op: 'clock.advance', ticks: 1000 }).irqs).toEqual([{ vcpu: 0, vector }])
    expect(registers(test, 'STIMER0_CONFIG')).toBe(`STIMER0_CONFIG=${expired}`)
    kernel.rearm.set(0, 1000)
    expect(drive(test, interrupt(kernel, 0)).value).toBe(vector)
    expect(registers(test, 'STIMER0_CONFIG')).toBe(`STIMER0_CONFIG=${config}`)
    expect(test.do({ op: 'clock.advance', ticks: 1000 }).irqs).toEqual([{ vcpu: 0, vector }])
  })

  it('is stopped by COUNT, then CONFIG, once', () => {
    const { test, kernel } = ticking()
    const down = drive(test, stimerDown(kernel))
    expect(writes(down.records)).toEqual(['stimer STIMER0_COUNT', 'stimer STIMER0_CONFIG'])
    expect(registers(test, 'STIMER0_CONFIG STIMER0_COUNT')).toBe('STIMER0_CONFIG=0x0 STIMER0_COUNT=0x0')
    expect(drive(test, stimerCleanupCpu(kernel, 0, mode)).records).toEqual([])
    expect(drive(test, stimerDown(kernel)).records).toEqual([])
  })

  it("leaves the other mode's moment alone", () => {
    const { test, kernel } = ticking()
    const other = mode === 'direct' ? 'message' : 'direct'
    expect(drive(test, stimerInitCpu(kernel, 0, other)).records).toEqual([])
  })
})

it('in direct mode needs no VMBus, and its interrupt ends with an EOI even under auto-EOI', () => {
  const { test, kernel } = pair({ kind: 'root', deprecatesAutoEoi: false })
  drive(test, stimerOneShot(kernel, 0))
  drive(test, stimerArm(0, 1000))
  test.do({ op: 'clock.advance', ticks: 1000 })
  expect(drive(test, interrupt(kernel, 0)).records.map(told)).toEqual(['apic.ack', 'apic.eoi'])
})
