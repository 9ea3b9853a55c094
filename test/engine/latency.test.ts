/** What the delivery latencies measure, stage by stage, on a clock the test turns. */
import { describe, expect, it } from 'vitest'
import { INTERRUPT_KINDS, KINDS, STAGES } from '../../src/engine/meter.js'
import { Service } from '../../src/engine/service.js'

type Profile = 'kvm-synic2' | 'tlfs' | 'qemu' | 'openvmm'

/** A partition with one SINT up, and a clock that stands until it is told. */
function benchOf(profile: Profile, isHeard: boolean) {
  let nowMs = 1000
  const service = new Service({}, () => nowMs)
  const host = service.create({ profile })
  if (isHeard) host.notifications.listen(() => {})
  const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu: 0, msr, value })
  host.applyBatch([
    write('SIMP', 0x10001),
    write('SIEFP', 0x11001),
    write('SINT2', 0xf3),
    write('SCONTROL', 1),
  ])
  const at = (ms: number, ...ops: ({ op: string } & Record<string, unknown>)[]) => {
    nowMs = 1000 + ms
    return host.applyBatch(ops)
  }
  /** Count and sum in milliseconds of one series. */
  const seen = (stage: (typeof STAGES)[number], kind: (typeof KINDS)[number]) => {
    const { counts, sum } = service.meter.series(STAGES.indexOf(stage), KINDS.indexOf(kind))
    return [counts.at(-1), Math.round(sum * 1000)]
  }
  return { service, at, seen }
}

const post = { op: 'message.post', vcpu: 0, sint: 2, type: 1 }
const take = { op: 'apic.ack', vcpu: 0 }
const done = { op: 'message.complete', vcpu: 0, sint: 2 }
const eoi = { op: 'apic.eoi', vcpu: 0 }

/** Consequences are walked in one way while nobody listens, and in another from then on. */
describe.each([
  ['to nobody', false],
  ['to a stream', true],
])('delivery latency, told %s', (_, isHeard) => {
  const bench = (profile: Profile) => benchOf(profile, isHeard)

  it('slot: a message that found its slot empty took no time', () => {
    const { at, seen } = bench('tlfs')
    at(0, post)
    expect(seen('slot', 'message')).toEqual([1, 0])
  })

  it('slot: a queued message took until the slot was freed', () => {
    const { at, seen, service } = bench('tlfs')
    at(0, post)
    at(10, post)
    at(35, done)
    expect(seen('slot', 'message')).toEqual([2, 25])
    expect([...service.meter.messages]).toEqual([2, 1, 0, 0])
  })

  const PORT = [
    { op: 'port.create', port: 1, type: 'message', vcpu: 0, sint: 2 },
    { op: 'connection.create', connection: 1, port: 1 },
  ]
  const CONNECTED = { op: 'hv.post_message', vcpu: 0, connection: 1, type: 1 }

  it('slot: a message of a port took as long, wherever in the queue it stood', () => {
    const { at, seen } = bench('tlfs')
    at(0, ...PORT, post)
    at(10, CONNECTED)
    at(20, post)
    at(30, done)
    at(50, done)
    // 20 ms of the port's, 30 of the other's.
    expect(seen('slot', 'message')).toEqual([3, 50])
  })

  it('slot: what a deleted port takes with it is charged to nobody', () => {
    const { at, seen } = bench('tlfs')
    at(0, ...PORT, post)
    at(10, CONNECTED)
    at(20, { op: 'port.delete', port: 1 }, post)
    at(35, done)
    expect(seen('slot', 'message')).toEqual([2, 15])
  })

  it.each(['tlfs', 'kvm-synic2', 'openvmm'] as const)(
    'slot: a timer that found its slot full, on %s',
    (profile) => {
      const { at, seen } = bench(profile)
      at(0, { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: 0x20009 }, post, take)
      at(0, { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 5 })
      at(10, { op: 'clock.advance', ticks: 5 })
      at(25, { op: 'msr.read', vcpu: 0, msr: 'SIMP' })
      expect(seen('slot', 'timer')).toEqual([0, 0])
      at(40, done, eoi)
      expect(seen('slot', 'timer')).toEqual([1, 30])
    },
  )

  it('slot: one that QEMU keeps in its staging area', () => {
    const { at, seen } = bench('qemu')
    at(0, post, take)
    at(10, post)
    at(30, done, eoi)
    expect(seen('slot', 'message')).toEqual([2, 20])
  })

  it('slot: one that a host delivers in parts', () => {
    let nowMs = 0
    const service = new Service({}, () => nowMs)
    const host = service.create({ profile: 'tlfs', options: { split_delivery: true } })
    const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu: 0, msr, value })
    host.applyBatch([write('SIMP', 0x10001), write('SINT2', 0xf3), write('SCONTROL', 1), post])
    nowMs = 7
    host.applyBatch([{ op: 'host.step', part: 'slot' }])
    const { counts, sum } = service.meter.series(STAGES.indexOf('slot'), KINDS.indexOf('message'))
    expect([counts.at(-1), sum]).toEqual([1, 0.007])
  })

  it('slot: of more than can be remembered the oldest are as if they had not waited', () => {
    const { at, seen } = bench('tlfs')
    const vcpus = Array.from({ length: 300 }, (_, i) => i + 1)
    const on = (vcpu: number) => {
      const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu, msr, value })
      return [write('SIMP', 0x10_0001 + vcpu * 0x1000), write('SINT2', 0xf3), write('SCONTROL', 1)]
    }
    at(0, ...vcpus.flatMap((vcpu) => [{ op: 'vcpu.create', vcpu }, ...on(vcpu)]))
    // One in the slot of each, and fifteen behind it: 4,500 wait, 4,096 are known to.
    at(0, ...vcpus.flatMap((vcpu) => Array.from({ length: 16 }, () => ({ ...post, vcpu }))))
    at(10, ...vcpus.flatMap((vcpu) => Array.from({ length: 16 }, () => ({ ...done, vcpu }))))
    expect(seen('slot', 'message')).toEqual([16 * 300, 4096 * 10])
  })

  it('ack: from the interrupt to its taking, merged requests counting from the first', () => {
    const { at, seen } = bench('tlfs')
    at(0, post)
    at(5, done, post)
    at(20, take)
    expect(seen('ack', 'message')).toEqual([1, 20])
  })

  it('eom: from the slot being filled to its being freed, by complete or by a plain store', () => {
    const { at, seen, service } = bench('tlfs')
    at(0, post)
    at(7, done)
    at(10, post)
    at(13, { op: 'mem.write', gpa: 0x10200, hex: '00000000' })
    expect(seen('eom', 'message')).toEqual([2, 10])
    expect(service.meter.eom).toBe(0)
  })

  it('tells kinds apart', () => {
    const { at, seen, service } = bench('kvm-synic2')
    at(0, { op: 'event.signal', vcpu: 0, sint: 2, flag: 1 }, take, eoi)
    at(
      0,
      { op: 'gsi.route', entries: [{ gsi: 5, vcpu: 0, sint: 2 }] },
      { op: 'gsi.assert', gsi: 5 },
      take,
      eoi,
    )
    at(0, { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: 0x20009 })
    at(0, { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 1 }, { op: 'clock.advance', ticks: 1 })
    at(4, take, done, eoi)
    expect(seen('slot', 'event')).toEqual([1, 0])
    expect(seen('ack', 'gsi')).toEqual([1, 0])
    expect([seen('ack', 'timer'), seen('eom', 'timer')]).toEqual([
      [1, 4],
      [1, 4],
    ])
    expect(INTERRUPT_KINDS.map((_, kind) => service.meter.interrupts(kind))).toEqual([0, 1, 1, 1, 0])
  })

  it('counts drops and forgets the post that waited', () => {
    const { at, service } = bench('tlfs')
    at(0, { op: 'msr.write', vcpu: 0, msr: 'SCONTROL', value: 0 }, post)
    expect([...service.meter.messages]).toEqual([0, 0, 0, 1])
  })

  it.each([
    ['vcpu.reset', { op: 'vcpu.reset', vcpu: 0 }],
    ['partition.reset', { op: 'partition.reset' }],
    ['kernel.boot on a fresh machine', { op: 'kernel.boot', kernel: 'k2', cause: 'reset' }],
  ])('%s: what was under way has gone, and counts for nothing that comes later', (_what, reset) => {
    const { at, seen } = bench('tlfs')
    // One in its slot, one that waits behind it, and an interrupt that nobody takes.
    at(0, post, post)
    at(100, reset, { op: 'vcpu.reset', vcpu: 0 })
    const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu: 0, msr, value })
    at(1000, write('SIMP', 0x10001), write('SINT2', 0xf3), write('SCONTROL', 1), write('EOM', 0))
    at(1000, { op: 'mem.write', gpa: 0x10200, hex: '00000000' })
    const before = [seen('slot', 'message'), seen('ack', 'message'), seen('eom', 'message')]
    at(2000, post, post, take, done, eoi, take, done, eoi)
    expect(before.map(([count]) => count)).toEqual([1, 0, 0])
    expect([seen('slot', 'message'), seen('ack', 'message'), seen('eom', 'message')]).toEqual([
      [3, 0],
      [2, 0],
      [2, 0],
    ])
  })

  it('waits of hours are told as what they were, each kind by itself', () => {
    const { at, seen } = bench('tlfs')
    const HOUR_MS = 3_600_000
    at(0, post)
    // Batches in between, eras apart: those under way are kept over all of them.
    for (let hour = 1; hour <= 5; hour++) at(hour * HOUR_MS, { op: 'clock.advance', ticks: 1 })
    at(6 * HOUR_MS, take, done, eoi)
    expect([seen('ack', 'message'), seen('eom', 'message')]).toEqual([
      [1, 6 * HOUR_MS],
      [1, 6 * HOUR_MS],
    ])
    // What took the place of an old one is as young as it is.
    at(7 * HOUR_MS, post, take)
    at(7 * HOUR_MS + 3, done, eoi)
    expect([seen('ack', 'message'), seen('eom', 'message')]).toEqual([
      [2, 6 * HOUR_MS],
      [2, 6 * HOUR_MS + 3],
    ])
  })

  it('a reset forgets what was under way for hours, too', () => {
    const { at, seen } = bench('tlfs')
    at(0, post)
    at(3_600_000, { op: 'partition.reset' })
    at(3_600_001, take)
    expect([seen('ack', 'message'), seen('eom', 'message')]).toEqual([
      [0, 0],
      [0, 0],
    ])
  })

  it('follows a vCPU that comes after the first delivery, whatever its number', () => {
    const { at, seen } = bench('tlfs')
    at(0, post)
    const vcpu = 1023
    const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu, msr, value })
    const up = [write('SIMP', 0x20001), write('SINT2', 0xf3), write('SCONTROL', 1)]
    at(5, { op: 'vcpu.create', vcpu }, ...up, { ...post, vcpu })
    at(12, { ...take, vcpu })
    at(20, take)
    expect(seen('ack', 'message')).toEqual([2, 27])
  })
})
