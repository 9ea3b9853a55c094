// iPXE's SynIC: its exact writes, what it leaves to a loader, and how it finds out that it was robbed.
import { describe, expect, it } from 'vitest'
import { Firmware } from '../../src/drivers/firmware.js'
import { Ipxe, ipxeQuiesce, ipxeWait } from '../../src/drivers/ipxe.js'
import { Kernel } from '../../src/drivers/kernel.js'
import { OTHER_PROCEDURES } from '../../src/drivers/other-procedures.js'
import { winloadDown, winloadUp } from '../../src/drivers/winload.js'
import { EVERY_PROFILE } from '../support/script.js'
import { Stage } from '../support/strand.js'

const kernel = (firstGpn = 0x10): Kernel =>
  new Kernel({ kind: 'guest', vcpus: [0], deprecatesAutoEoi: false, hasDirectTimers: false, firstGpn })

function booted(profile: (typeof EVERY_PROFILE)[number] = 'kvm-synic2') {
  const stage = new Stage({ profile })
  const ipxe = new Ipxe(kernel(), 0)
  return { stage, ipxe, attached: stage.run(ipxe.attach()) }
}

const CLAIMS = ['0x10000', '0x11000', '0x12000', '0x13000', '0x14000', '0x15000']
const claimed = CLAIMS.map((gpa) => `page.claim ${gpa}`)
const freed = CLAIMS.map((gpa) => `page.free ${gpa}`)
const TAKE = [
  'GUEST_OS_ID=0x98ae000000000000',
  'HYPERCALL?',
  'HYPERCALL=0x10001',
  '[0x11000]=4096 bytes',
  '[0x12000]=4096 bytes',
  'SIMP?',
  'SIMP=0x11001',
  'SIEFP?',
  'SIEFP=0x12001',
  'SCONTROL?',
  'SCONTROL=0x1',
  'SINT2?',
  'SINT2=0x20075',
]
const ASK = ['hv.post_message', '[0x11200]?', '[0x11200]=4 bytes']
const sintReads = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => `SINT${from + n}?`)
const PAGES_OFF = ['SIEFP?', 'SIEFP=0x0', 'SIMP?', 'SIMP=0x0']
const SCONTROL_OFF = ['SCONTROL?', 'SCONTROL=0x0']
const HYPERCALL_OFF = ['HYPERCALL?', 'HYPERCALL=0x0', 'GUEST_OS_ID=0x0']
const MASKING = [...sintReads(0, 2), 'SINT2=0x10075', ...sintReads(3, 15)]

describe('iPXE takes the SynIC', () => {
  it('in this order', () => {
    const { attached } = booted()
    expect(attached.steps).toEqual(['GUEST_OS_ID?', ...claimed, 'actor.attach', ...TAKE])
    expect(attached).toMatchObject({ result: true, refused: [], actors: new Set(['ipxe']) })
  })

  it('but touches nothing that generation 2 firmware owns', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    stage.run(new Firmware(kernel(0x40), 0).up())
    const before = stage.registers(0, 'GUEST_OS_ID', 'HYPERCALL', 'SIMP', 'SIEFP', 'SINT2', 'SCONTROL')
    const { result, steps } = stage.run(new Ipxe(kernel(), 0).probe())
    expect({ result, steps }).toEqual({ result: false, steps: ['GUEST_OS_ID?'] })
    expect(stage.registers(0, 'GUEST_OS_ID', 'HYPERCALL', 'SIMP', 'SIEFP', 'SINT2', 'SCONTROL')).toEqual(
      before,
    )
  })

  it('from a guest OS id that is nobody it knows', () => {
    const stage = new Stage({ profile: 'kvm-synic2' })
    stage.test.write('GUEST_OS_ID', '0x8100060000000000')
    expect(stage.run(new Ipxe(kernel(), 0).attach()).result).toBe(true)
  })

  it('and negotiates twice, with an unload in between', () => {
    const { stage, ipxe } = booted()
    const { result, steps } = stage.run(ipxe.contact())
    expect({ result, steps }).toEqual({ result: true, steps: [...ASK, ...ASK, ...ASK] })
  })

  it('and takes all of it down again where no VMBus answers', () => {
    const stage = new Stage({ profile: 'kvm-synic2' }, null)
    const { result, steps } = stage.run(new Ipxe(kernel(), 0).probe(1))
    const waited = ['hv.post_message', '[0x11200]?', 'EOM=0x0', 'clock.advance']
    const down = ['SINT2?', 'SINT2=0x10075', ...SCONTROL_OFF, ...PAGES_OFF, ...HYPERCALL_OFF, 'actor.detach']
    expect(result).toBe(false)
    expect(steps.slice(-waited.length - down.length - freed.length)).toEqual([...waited, ...down, ...freed])
  })

  it('and gives up at once where its message is refused', () => {
    const stage = new Stage({ profile: 'qemu' }, null)
    const ipxe = new Ipxe(kernel(), 0)
    stage.run(ipxe.attach())
    expect(stage.run(ipxe.contact())).toMatchObject({ result: false, steps: ['hv.post_message'] })
  })
})

describe('iPXE waits', () => {
  it('with an EOM and a millisecond after each look', () => {
    const { stage, ipxe } = booted()
    const { result, steps } = stage.run(ipxeWait(ipxe.at, 0x11, 2))
    const look = ['[0x11200]?', 'EOM=0x0', 'clock.advance']
    expect({ result, steps }).toEqual({ result: null, steps: [...look, ...look] })
    expect(stage.test.partition.now).toBe(20_000)
  })

  it('and consumes without EOM, which the next wait brings', () => {
    const { stage, ipxe } = booted()
    stage.test.do({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '07' })
    const first = stage.run(ipxe.wait(3))
    expect(first.steps).toEqual(['[0x11200]?', '[0x11200]=4 bytes'])
    expect(first.result?.[0]).toBe(7)
    expect(stage.run(ipxe.wait(1)).steps).toContain('EOM=0x0')
  })
})

describe('iPXE hands over', () => {
  it.each([
    ['published', [...MASKING, ...PAGES_OFF, ...HYPERCALL_OFF], '0x1'],
    ['clears_scontrol', [...MASKING, ...SCONTROL_OFF, ...PAGES_OFF, ...HYPERCALL_OFF], '0x0'],
    ['left_out', [], '0x1'],
  ] as const)('%s', (form, steps, scontrol) => {
    const { stage, ipxe } = booted()
    const detached = form === 'left_out' ? [] : ['actor.detach']
    expect(stage.run(ipxe.quiesce(form)).steps).toEqual([...steps, ...detached])
    expect(stage.registers(0, 'SCONTROL')).toEqual([scontrol])
  })

  it('without a write to any SINT that is masked already', () => {
    const { stage, ipxe } = booted()
    stage.run(ipxe.quiesce())
    const again = stage.run(ipxeQuiesce(ipxe.at))
    expect(again.steps).toEqual([...sintReads(0, 15), ...PAGES_OFF, ...HYPERCALL_OFF])
  })
})

describe('iPXE is called back', () => {
  it('and leaves everything alone while SIMP is enabled', () => {
    const { stage, ipxe } = booted()
    expect(stage.run(ipxe.unquiesce())).toMatchObject({ result: 'still_ours', steps: ['SIMP?'] })
  })

  it('after a handover: takes the controller and VMBus again', () => {
    const { stage, ipxe } = booted()
    stage.run(ipxe.quiesce())
    const { result, steps } = stage.run(ipxe.unquiesce())
    expect(result).toBe('taken_back')
    expect(steps).toEqual(['SIMP?', 'actor.attach', ...TAKE, ...ASK, ...ASK, ...ASK])
  })

  it('robbed without a handover: still believes that its claims hold', () => {
    const { stage, ipxe } = booted()
    const loader = kernel(0x20)
    stage.run(winloadUp(loader, 0, 1))
    stage.run(winloadDown(loader, 0))
    const { result, steps, refused } = stage.run(ipxe.unquiesce())
    expect({ result, refused }).toEqual({ result: 'taken_back', refused: [] })
    expect(steps.slice(0, 2)).toEqual(['SIMP?', 'GUEST_OS_ID=0x98ae000000000000'])
  })

  it('says so when VMBus does not answer', () => {
    const stage = new Stage({ profile: 'kvm-synic2' }, null)
    const ipxe = new Ipxe(kernel(), 0)
    stage.run(ipxe.attach())
    stage.run(ipxe.quiesce())
    expect(stage.run(ipxe.unquiesce(1)).result).toBe('lost')
  })
})

describe('iPXE goes', () => {
  it('with SCONTROL first', () => {
    const { stage, ipxe } = booted()
    const { steps } = stage.run(ipxe.remove())
    const down = ['SINT2?', 'SINT2=0x10075', ...SCONTROL_OFF, ...PAGES_OFF, ...HYPERCALL_OFF]
    expect(steps).toEqual([...ASK, ...down, 'actor.detach', ...freed])
    expect(stage.run(ipxe.remove()).steps).toEqual([])
    expect(stage.run(ipxe.quiesce()).steps).toEqual([])
    expect(stage.run(ipxe.unquiesce()).steps).toEqual([])
  })
})

describe.each(EVERY_PROFILE)('on %s', (profile) => {
  it('iPXE and a loader take turns without a fault', () => {
    const { stage, ipxe, attached } = booted(profile)
    const loader = kernel(0x20)
    const story = [
      attached,
      stage.run(ipxe.contact()),
      stage.run(ipxe.quiesce()),
      stage.run(winloadUp(loader, 0, 1)),
      stage.run(winloadDown(loader, 0)),
      stage.run(ipxe.unquiesce()),
      stage.run(ipxe.remove()),
    ]
    expect(story.map(({ result }) => result)).toEqual([
      true,
      true,
      undefined,
      'running',
      undefined,
      'taken_back',
      undefined,
    ])
    expect(story.flatMap(({ refused }) => refused)).toEqual([])
    expect(stage.registers(0, 'SCONTROL', 'SIMP', 'SIEFP', 'SINT2')).toEqual(['0x0', '0x0', '0x0', '0x10075'])
  })

  it('the same by the names of scenario files', () => {
    const stage = new Stage({ profile })
    const [one, two] = [kernel(), kernel(0x20)]
    const run = (name: string, on: Kernel, more: object = {}) =>
      stage.run(OTHER_PROCEDURES[name](on, { vcpus: [0], ...more })).refused
    expect([
      ...run('ipxe.probe', one),
      ...run('ipxe.quiesce', one, { form: 'published' }),
      ...run('winload.up', two),
      ...run('winload.down', two),
      ...run('ipxe.unquiesce', one),
      ...run('ipxe.remove', one),
    ]).toEqual([])
    expect(stage.test.partition.machine.actors.size).toBe(0)
    expect(stage.test.partition.machine.pageHolders.size).toBe(0)
  })
})

it('does nothing in a form that is none', () => {
  const handover = OTHER_PROCEDURES['ipxe.quiesce'](kernel(), { vcpus: [0], form: 'politely' })
  expect(new Stage({ profile: 'kvm-synic2' }).run(handover)).toMatchObject({ result: -22, steps: [] })
})

it('tells by its result what went wrong', () => {
  const stage = new Stage({ profile: 'kvm-synic2' })
  const run = (name: string, more: object = {}) =>
    stage.run(OTHER_PROCEDURES[name](machine, { vcpus: [0], ...more })).result
  const machine = kernel()
  expect(run('ipxe.attach')).toBe(0)
  expect(run('ipxe.wait', { polls: 1 })).toBe(-110)
  expect(run('ipxe.quiesce', { form: 'clears_scontrol' })).toBeUndefined()
  expect(run('winload.up', { polls: 2 })).toBe(-110)
  expect(run('ipxe.remove')).toBeUndefined()
  stage.test.write('GUEST_OS_ID', '0x10000000000')
  expect(run('ipxe.attach')).toBe(-16)
})
