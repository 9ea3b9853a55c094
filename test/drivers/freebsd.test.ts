// FreeBSD's VMBus: SCONTROL last up and first down, and a handler that needs no compare-and-swap.
import { describe, expect, it } from 'vitest'
import {
  FREEBSD,
  freebsdDown,
  freebsdHandler,
  freebsdInterrupt,
  freebsdUp,
} from '../../src/drivers/freebsd.js'
import { Kernel } from '../../src/drivers/kernel.js'
import { OTHER_PROCEDURES } from '../../src/drivers/other-procedures.js'
import { EVERY_PROFILE } from '../support/script.js'
import { Stage } from '../support/strand.js'

const kernel = (vcpus: readonly number[] = [0]): Kernel =>
  new Kernel({ kind: 'guest', vcpus, deprecatesAutoEoi: false, hasDirectTimers: false, firstGpn: 0x10 })

function running(profile: (typeof EVERY_PROFILE)[number] = 'kvm-synic2') {
  const stage = new Stage({ profile })
  const freebsd = kernel()
  return { stage, freebsd, up: stage.run(freebsdUp(freebsd, [0])) }
}
const post = (stage: Stage, hex: string, sint = 2) =>
  stage.test.do({ op: 'message.post', vcpu: 0, sint, type: 1, hex })

const HANDLER_IDLE = ['[0x10400]?', '[0x11200]?', '[0x10200]?']

describe('FreeBSD', () => {
  it('comes up: pages, two SINTs on one vector with auto-EOI, SCONTROL', () => {
    expect(running().up.steps).toEqual([
      'page.claim 0x10000',
      'page.claim 0x11000',
      'actor.attach',
      'SIMP?',
      'SIMP=0x10001',
      'SIEFP?',
      'SIEFP=0x11001',
      'SINT2?',
      'SINT2=0x200fb',
      'SINT4?',
      'SINT4=0x200fb',
      'SCONTROL?',
      'SCONTROL=0x1',
    ])
  })

  it('goes down with SCONTROL first', () => {
    const { stage, freebsd } = running()
    expect(stage.run(freebsdDown(freebsd, [0])).steps).toEqual([
      'SCONTROL?',
      'SCONTROL=0x0',
      'SINT2?',
      'SINT2=0x300fb',
      'SINT4?',
      'SINT4=0x300fb',
      'SIMP?',
      'SIMP=0x0',
      'SIEFP?',
      'SIEFP=0x0',
      'actor.detach',
      'page.free 0x10000',
      'page.free 0x11000',
    ])
  })

  it('gives each CPU pages of its own, and claims once', () => {
    const stage = new Stage({ profile: 'kvm-synic2', vcpus: 2 })
    const { steps, refused } = stage.run(freebsdUp(kernel([0, 1]), [0, 1], 0xf5))
    expect(steps.filter((step) => step === 'actor.attach')).toHaveLength(1)
    expect(refused).toEqual([])
    expect(stage.registers(1, 'SIMP', 'SIEFP', 'SINT4')).toEqual(['0x12001', '0x13001', '0x200f5'])
  })
})

describe('its handler', () => {
  it('looks at the timer, the flags, then the messages', () => {
    const { stage } = running()
    const { result, steps } = stage.run(freebsdHandler({ actor: FREEBSD, vcpu: 0 }, 0x10, 0x11))
    expect(result).toEqual({ messages: [], timer: false, flags: [] })
    expect(steps).toEqual(HANDLER_IDLE)
  })

  it('empties the slot by a plain store, reads the pending flag behind it, then asks for more', () => {
    const { stage, freebsd } = running('tlfs')
    post(stage, '0a')
    post(stage, '0b')
    const { result, steps } = stage.run(freebsdInterrupt(freebsd, 0))
    expect(result?.messages.map(([first]) => first)).toEqual([0x0a, 0x0b])
    const finish = ['[0x10200]=4 bytes', '[0x10205]?']
    expect(steps).toEqual([
      'apic.ack',
      ...HANDLER_IDLE,
      ...finish,
      'EOM=0x0',
      '[0x10200]?',
      ...finish,
      '[0x10200]?',
    ])
  })

  it('takes a timer message from the slot of SINT4', () => {
    const { stage, freebsd } = running()
    stage.test.write('STIMER0_COUNT', 100)
    stage.test.write('STIMER0_CONFIG', 0x40001)
    stage.test.do({ op: 'clock.advance', ticks: 200 })
    expect(stage.run(freebsdInterrupt(freebsd, 0)).result).toEqual({ messages: [], timer: true, flags: [] })
  })

  it('exchanges each long of event flags that is not 0', () => {
    const { stage, freebsd } = running()
    for (const flag of [1, 63, 2047]) stage.test.do({ op: 'event.signal', vcpu: 0, sint: 2, flag })
    const { result, steps } = stage.run(freebsdInterrupt(freebsd, 0))
    expect(result?.flags).toEqual([1, 63, 2047])
    expect(steps.filter((step) => step === 'mem.xchg')).toHaveLength(2)
  })

  it('has nothing to do without an interrupt', () => {
    const { stage, freebsd } = running()
    expect(stage.run(freebsdInterrupt(freebsd, 0))).toMatchObject({ result: null, steps: ['apic.ack'] })
  })
})

it.each(EVERY_PROFILE)('up, work and down again on %s without a fault', (profile) => {
  const stage = new Stage({ profile, vcpus: 2 })
  const freebsd = kernel([0, 1])
  const run = (name: string, vcpus: readonly number[]) =>
    stage.run(OTHER_PROCEDURES[name](freebsd, { vcpus })).refused
  const refused = [...run('freebsd.up', [0, 1])]
  post(stage, '0a')
  refused.push(...run('freebsd.interrupt', [0, 1]))
  expect(stage.test.memory(0x10200, 4)).toBe('00000000')
  refused.push(...run('freebsd.down', [0, 1]))
  expect(refused).toEqual([])
  for (const vcpu of [0, 1]) {
    expect(stage.registers(vcpu, 'SCONTROL', 'SINT2', 'SINT4', 'SIMP', 'SIEFP')).toEqual([
      '0x0',
      '0x300fb',
      '0x300fb',
      '0x0',
      '0x0',
    ])
  }
})
