/** Random ops over a small world, so that they meet: few vCPUs, SINTs, pages and vectors. */
import fc from 'fast-check'
import type { PartitionKind } from '../../src/hv/cpuid.js'
import type { ProfileName } from '../../src/synic/profile.js'
import type { MachineSetup, WireInput } from './machine.js'

const vcpu = fc.nat(2)
const sint = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(0, 2, 3, 5) },
  { weight: 1, arbitrary: fc.nat(16) },
)
const by = fc.constantFrom('guest', 'guest', 'host')
const vector = fc.constantFrom(0x30, 0xf3, 0xf3, 0x0f)
const page = fc.constantFrom(0x10, 0x11, 0x12, 0x40)
const gsi = fc.integer({ min: 22, max: 27 })
const hex = fc.constantFrom('', '0a', '0a0b0c0d', '11'.repeat(33), '22'.repeat(240))

const sintValue = fc
  .tuple(vector, fc.constantFrom(0, 0, 0x10000), fc.constantFrom(0, 0, 0x20000, 0x40000, 0x80000, 0x100000))
  .map(([low, masked, bits]) => low | masked | bits)
const pageValue = fc.tuple(page, fc.constantFrom(0, 1, 1, 1, 0xffe)).map(([gpn, low]) => gpn * 4096 + low)
const timerConfig = fc
  .tuple(fc.constantFrom(1, 3, 8, 9, 0xb, 7), fc.constantFrom(0, 0x1ed0, 0x1000), fc.constantFrom(0, 2, 3))
  .map(([mode, direct, s]) => mode | direct | (s << 16))
const count = fc.constantFrom<string | number>(
  0,
  1,
  50,
  100,
  1000,
  '0xffffffffffffffff',
  '0x8000000000000000',
)

const msrWrite = (msr: fc.Arbitrary<string>, value: fc.Arbitrary<string | number>) =>
  fc.record({ op: fc.constant('msr.write'), vcpu, msr, value, by })
const sintNames = sint.map((n) => `SINT${n & 15}`)
const timers = (what: string) => fc.nat(3).map((n) => `STIMER${n}_${what}`)
const plainMsr = fc.constantFrom(
  'SCONTROL',
  'SVERSION',
  'EOM',
  'SIRBP',
  'GUEST_OS_ID',
  'HYPERCALL',
  'TPR',
  'EOI',
)
const anyMsr = fc.oneof(
  plainMsr,
  sintNames,
  timers('CONFIG'),
  fc.constantFrom('SIMP', 'NESTED_SIMP', 'VP_ASSIST_PAGE'),
)
const nested = (name: string) => `NESTED_${name}`
const slotGpa = fc.tuple(page, sint).map(([gpn, s]) => gpn * 4096 + (s & 15) * 256)

const op: fc.Arbitrary<WireInput> = fc.oneof(
  { weight: 4, arbitrary: msrWrite(sintNames, sintValue) },
  { weight: 1, arbitrary: msrWrite(sintNames.map(nested), sintValue) },
  {
    weight: 3,
    arbitrary: msrWrite(fc.constantFrom('SIMP', 'SIEFP', 'SIRBP', 'NESTED_SIMP', 'NESTED_SIEFP'), pageValue),
  },
  {
    weight: 3,
    arbitrary: msrWrite(plainMsr, fc.constantFrom<string | number>(0, 1, 0x41001, '0xffffffffffffffff')),
  },
  { weight: 3, arbitrary: msrWrite(timers('CONFIG'), timerConfig) },
  { weight: 3, arbitrary: msrWrite(timers('COUNT'), count) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('msr.read'), vcpu, msr: anyMsr, by }) },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('message.post'),
      vcpu,
      sint,
      type: fc.constantFrom(1, 2),
      hex,
      nested: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('event.signal'),
      vcpu,
      sint,
      flag: fc.constantFrom(0, 5, 2047, 2048),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('message.complete'), vcpu, sint: fc.constantFrom(0, 2, 3, 5) }),
  },
  { weight: 5, arbitrary: fc.record({ op: fc.constantFrom('apic.ack', 'apic.eoi'), vcpu }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('clock.advance'), ticks: fc.constantFrom(0, 1, 49, 100, 333) }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('gsi.assert'), gsi }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('gsi.route'),
      entries: fc.array(fc.record({ gsi, vcpu: fc.nat(3), sint }), { maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('irqfd.bind', 'irqfd.unbind'), gsi }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constantFrom('eventfd.assign', 'eventfd.deassign'), conn: fc.nat(2) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('mem.write'),
      gpa: slotGpa,
      hex: fc.constantFrom('00000000', 'ff', '01'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('mem.read'), gpa: slotGpa, len: fc.constantFrom(16, 300) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('mem.cas'),
      gpa: slotGpa,
      len: fc.constant(4),
      expect: fc.nat(1),
      value: fc.nat(1),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('mem.xchg'),
      gpa: slotGpa,
      len: fc.constant(8),
      value: fc.nat(9),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constantFrom('vcpu.reset', 'vcpu.offline', 'vcpu.online', 'synic.dump'),
      vcpu,
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('vcpu.halt', 'vcpu.enter', 'vcpu.kick'), vcpu }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('cap.enable'), vcpu, cap: fc.constantFrom('synic', 'synic2') }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constantFrom('partition.pause', 'partition.resume', 'partition.resume', 'partition.reset'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('apic.enable'), vcpu, on: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constantFrom('page.claim', 'page.free'),
      gpa: slotGpa,
      actor: fc.constantFrom('vmbus', 'mshv'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('actor.attach'),
      actor: fc.constantFrom('vmbus', 'mshv'),
      claims: fc.constant(['SIMP', 'v1.SINT2']),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('host.step'), part: fc.constantFrom('pending', 'slot', 'irq') }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('port.create'),
      port: fc.nat(3),
      type: fc.constantFrom('message', 'event', 'doorbell'),
      sint: fc.constantFrom(2, 5),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('connection.create'),
      connection: fc.nat(3),
      port: fc.nat(3),
      gpa: slotGpa,
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('port.delete'), port: fc.nat(3) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('hv.post_message'),
      vcpu,
      connection: fc.nat(3),
      type: fc.constant(1),
      hex,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('hv.signal_event'),
      vcpu,
      connection: fc.nat(3),
      flag: fc.nat(2),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('hypercall'),
      vcpu,
      control: fc.constantFrom('0x1005d', '0x5c', '0x8b'),
      input: slotGpa,
    }),
  },
)

export const randomOps = (maxLength: number) => fc.array(op, { minLength: 1, maxLength, size: 'max' })

const profiles: ProfileName[] = ['kvm', 'kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs']
const kinds: PartitionKind[] = ['guest', 'root', 'nested_root', 'l1vh']

/** Any profile and kind, with options that change how the machine goes. */
export const randomSetup: fc.Arbitrary<MachineSetup> = fc.record({
  profile: fc.constantFrom(...profiles),
  kind: fc.constantFrom(...kinds),
  vcpus: fc.constant(3),
  gpaPages: fc.constantFrom(0x20, 0x1000),
  options: fc.record({
    split_delivery: fc.constantFrom(false, false, true),
    implicit_irqfds: fc.boolean(),
    apicv: fc.boolean(),
    disabled_write: fc.constantFrom('allow' as const, 'audit' as const, 'fault' as const),
    compat_bugs: fc.boolean(),
    masked_blocks_messages: fc.boolean(),
    scontrol_reset: fc.constantFrom(0, 1),
  }),
})
