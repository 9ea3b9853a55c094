// The Windows loader and boot debugger: what they write, and what they never do.
import { describe, expect, it } from 'vitest'
import { Ipxe } from '../../src/drivers/ipxe.js'
import { Kernel } from '../../src/drivers/kernel.js'
import { OTHER_PROCEDURES } from '../../src/drivers/other-procedures.js'
import { bootDebugger, winloadDown, winloadUp } from '../../src/drivers/winload.js'
import { EVERY_PROFILE } from '../support/script.js'
import { Stage } from '../support/strand.js'

const kernel = (firstGpn = 0x20): Kernel =>
  new Kernel({ kind: 'guest', vcpus: [0], deprecatesAutoEoi: false, hasDirectTimers: false, firstGpn })

describe('the loader', () => {
  it('takes pages and SINT2, and neither SCONTROL nor the guest OS id', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    const { result, steps } = stage.run(winloadUp(kernel(), 0, 4))
    expect(result).toBe('running')
    expect(steps).toEqual([
      'SIMP?',
      'SCONTROL?',
      'page.claim 0x20000',
      'page.claim 0x21000',
      'actor.attach',
      'SIMP?',
      'SIMP=0x20001',
      'SIEFP?',
      'SIEFP=0x21001',
      'SINT2=0xd1',
    ])
  })

  it('leaves SIMP disabled', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    const loader = kernel()
    stage.run(winloadUp(loader, 0, 4))
    const off = ['SINT2?', 'SINT2=0x100d1', 'SIEFP=0x0', 'SIMP=0x0']
    const freed = ['page.free 0x20000', 'page.free 0x21000']
    expect(stage.run(winloadDown(loader, 0)).steps).toEqual([...off, 'actor.detach', ...freed])
  })

  it.each(EVERY_PROFILE)('waits on %s for a SCONTROL that iPXE cleared, and takes nothing', (profile) => {
    const stage = new Stage({ profile })
    const ipxe = new Ipxe(kernel(0x10), 0)
    stage.run(ipxe.probe())
    stage.run(ipxe.quiesce('clears_scontrol'))
    const { result, steps } = stage.run(winloadUp(kernel(), 0, 3))
    expect({ result, steps }).toEqual({
      result: 'waits_for_scontrol',
      steps: ['SIMP?', 'SCONTROL?', 'SCONTROL?', 'SCONTROL?'],
    })
    expect(stage.test.partition.machine.actors.size).toBe(0)
  })

  it('takes what is in use, too, but does not own it', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    const ipxe = new Ipxe(kernel(0x10), 0)
    stage.run(ipxe.probe())
    stage.run(ipxe.quiesce('left_out'))
    expect(stage.run(winloadUp(kernel(), 0, 3)).result).toBe('running')
    const claims = [...stage.test.partition.machine.actors].map(([name, { claims }]) => [name, claims.length])
    expect(claims).toEqual([
      ['ipxe', 4],
      ['winload', 0],
    ])
  })
})

describe('the boot debugger', () => {
  it('writes what the recorded guest wrote', () => {
    const { steps, result } = new Stage({ profile: 'qemu' }).run(bootDebugger(0))
    expect(result).toBe(true)
    expect(steps).toEqual([
      'actor.attach',
      'page.claim 0xfa1000',
      'SIMP?',
      'SIMP=0xfa1001',
      'SIMP?',
      'SIMP=0xfa1000',
      'actor.detach',
      'page.free 0xfa1000',
    ])
  })

  it.each(EVERY_PROFILE)('works on %s', (profile) => {
    const stage = new Stage({ profile })
    const probe = OTHER_PROCEDURES['windows_kd.probe'](kernel(), { vcpus: [0], gpn: 0xfa1 })
    expect(stage.run(probe).refused).toEqual([])
    expect(stage.registers(0, 'SIMP')).toEqual(['0xfa1000'])
  })
})
