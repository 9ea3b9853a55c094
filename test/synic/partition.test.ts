/** The one door: vCPUs come, halt, reset; partitions pause; drivers and pages are booked. */

import { describe, expect, it } from 'vitest'
import { machine } from '../support/machine.js'
import {
  advance,
  apic,
  at,
  completes,
  dumps,
  EVERY_PROFILE,
  type Expected,
  eoi,
  fails,
  hostReads,
  hostWrite,
  hvPost,
  hvSignal,
  hypercall,
  IDENTIFIED,
  irq,
  KVM_PROFILES,
  op,
  pause,
  post,
  raise,
  reads,
  resume,
  route,
  run,
  SIGNAL_EVENT,
  type Step,
  scenarios,
  sees,
  signal,
  stores,
  takes,
  UP,
  write,
} from '../support/script.js'

const vcpu = (name: string, more: object = {}, expected: Expected = {}) =>
  op({ op: `vcpu.${name}`, vcpu: 0, ...more }, expected)
const halted = { halted: true }
const create = (id: number, expected: Expected = {}) => op({ op: 'vcpu.create', vcpu: id }, expected)
const attach = (actor: string, expected: Expected = {}, claims?: string[]) =>
  op({ op: 'actor.attach', actor, ...(claims ? { claims } : {}) }, expected)
const detach = (actor: string, expected: Expected = {}) => op({ op: 'actor.detach', actor }, expected)
const claim = (gpa: number, actor: string, expected: Expected = {}) =>
  op({ op: 'page.claim', gpa, actor }, expected)
const free = (gpa: number, expected: Expected = {}) => op({ op: 'page.free', gpa }, expected)
const boot = (cause: string) => op({ op: 'kernel.boot', kernel: 'linux', cause })

describe('vcpu.create', () =>
  scenarios([
    [
      'an id is used once and below 4,096 on KVM',
      KVM_PROFILES,
      [create(0, fails(-17)), create(4096, fails(-22)), create(4095), at(4095, reads('SVERSION', 1))],
    ],
    [
      'elsewhere it is a VP index, below 1,024',
      ['openvmm', 'tlfs'],
      [create(0, fails(-17)), create(1024, fails(-22)), create(1023), at(1023, reads('VP_INDEX', 1023))],
    ],
    ['the VP index is the order of creation on KVM', KVM_PROFILES, [create(7), at(7, reads('VP_INDEX', 1))]],
    ['elsewhere it is the id', ['openvmm', 'tlfs'], [create(7), at(7, reads('VP_INDEX', 7))]],
    [
      'there are at most 1,024',
      'tlfs',
      [...Array.from({ length: 1023 }, (_, i) => create(i + 1)), create(1024, fails(-22))],
    ],
  ]))

describe('an op of a vCPU that does not exist', () =>
  scenarios([
    [
      'is -EINVAL',
      EVERY_PROFILE,
      [
        ...[
          'vcpu.reset',
          'vcpu.online',
          'vcpu.halt',
          'vcpu.enter',
          'vcpu.kick',
          'synic.dump',
          'apic.ack',
          'apic.eoi',
        ].map((name) => op({ op: name, vcpu: 5 }, fails(-22))),
        at(5, reads('SIMP', fails(-22))),
        at(5, write('SIMP', 0, fails(-22))),
        at(5, completes(2, fails(-22))),
        at(5, hvPost(7, fails(-22))),
        at(5, apic(true)),
      ].map((step) => ({ ...step, expected: fails(-22) })),
    ],
  ]))

describe('halting', () =>
  scenarios([
    [
      'a vCPU sleeps until an interrupt could be taken',
      EVERY_PROFILE,
      [
        ...UP,
        vcpu('halt', {}, halted),
        vcpu('enter', {}, halted),
        post(2, 'delivered', { ...irq(), wakes: [{ vcpu: 0 }] }),
        vcpu('enter'),
        vcpu('halt'),
        takes(0xf3),
        vcpu('halt', {}, halted),
      ],
    ],
    [
      'an interrupt held back by TPR does not wake',
      EVERY_PROFILE,
      [
        ...UP,
        op({ op: 'apic.tpr', vcpu: 0, value: 0xff }),
        vcpu('halt', {}, halted),
        post(2, 'delivered', { ...irq(), wakes: undefined }),
        vcpu('enter', {}, halted),
      ],
    ],
    [
      'a kick wakes',
      EVERY_PROFILE,
      [
        vcpu('halt', {}, halted),
        vcpu('kick', {}, { wakes: [{ vcpu: 0 }] }),
        vcpu('enter'),
        vcpu('halt', {}, halted),
      ],
    ],
    [
      'a kick that finds nobody asleep is kept',
      EVERY_PROFILE,
      [vcpu('kick'), vcpu('halt'), vcpu('halt', {}, halted)],
    ],
    ['unless it is transient', EVERY_PROFILE, [vcpu('kick', { sticky: false }), vcpu('halt', {}, halted)]],
    [
      'a reset wakes and forgets kicks',
      EVERY_PROFILE,
      [
        vcpu('halt', {}, halted),
        vcpu('reset'),
        vcpu('enter'),
        vcpu('kick'),
        vcpu('reset'),
        vcpu('halt', {}, halted),
      ],
    ],
  ]))

const BUSY = fails(-16)
const refused = (step: Step): Step => ({ ...step, expected: BUSY })
describe('while paused', () =>
  scenarios([
    [
      "the host's registers and memory go on",
      EVERY_PROFILE,
      [
        ...UP,
        pause,
        hostWrite('SINT3', 0x44),
        hostReads('SINT3', 0x44),
        stores(0x8000, 'aa'),
        sees(0x8000, 'aa'),
        op({ op: 'mem.cas', gpa: 0x8000, len: 1, expect: 0xaa, value: 0xbb, by: 'host' }),
        op({ op: 'mem.xchg', gpa: 0x8001, len: 1, value: 0xcc, by: 'host' }),
        sees(0x8000, 'bbcc'),
        dumps({ simp: '0x1001' }),
        resume(),
        reads('SINT3', 0x44),
      ],
    ],
    [
      'guests, their APIC and hypercalls, posts and signals are refused',
      EVERY_PROFILE,
      [
        ...UP,
        pause,
        ...[
          reads('SIMP', 0),
          write('SIMP', 0),
          hypercall(SIGNAL_EVENT, 0),
          hvPost(7),
          hvSignal(7),
          post(2, 'x'),
          signal(2, 1),
          completes(2),
          takes(0),
          eoi(),
          op({ op: 'apic.tpr', vcpu: 0, value: 1 }),
          vcpu('halt'),
          vcpu('enter'),
          op({ op: 'mem.cas', gpa: 0, len: 4, expect: 0, value: 1 }),
          op({ op: 'mem.xchg', gpa: 0, len: 4, value: 1 }),
          op({ op: 'host.step', part: 'irq' }),
        ].map(refused),
      ],
    ],
    [
      'bookkeeping and the life cycle go on',
      EVERY_PROFILE,
      [
        pause,
        create(1),
        vcpu('kick'),
        vcpu('offline'),
        vcpu('online'),
        vcpu('reset'),
        apic(true),
        attach('vmbus'),
        detach('vmbus'),
        claim(0x9000, 'vmbus'),
        free(0x9000),
        boot('kexec'),
        op({ op: 'partition.reset' }),
        pause,
        advance(10),
        resume(),
      ],
    ],
    [
      'GSIs and eventfds go on',
      KVM_PROFILES,
      [
        ...UP,
        pause,
        route([[40, 0, 2]]),
        raise(40, irq()),
        op({ op: 'eventfd.assign', conn: 9 }),
        resume(),
        takes(0xf3),
      ],
    ],
  ]))

describe('drivers and kernels', () =>
  scenarios([
    [
      'a driver attaches once, and detaches what is attached',
      'tlfs',
      [
        attach('vmbus', {}, ['SIMP', 'v1.SINT2']),
        attach('vmbus', fails(-17)),
        detach('vmbus'),
        detach('vmbus', fails(-2)),
      ],
    ],
    [
      'a page has one holder',
      { profile: 'tlfs', gpaPages: 16 },
      [
        claim(0x9000, 'vmbus'),
        claim(0x9008, 'mshv', fails(-17)),
        claim(0x10000, 'mshv', fails(-14)),
        free(0x9000),
        free(0x9000, fails(-2)),
      ],
    ],
    [
      'a new kernel ends drivers and their pages, registers stay',
      'tlfs',
      [
        ...UP,
        attach('vmbus'),
        claim(0x9000, 'vmbus'),
        boot('kexec'),
        attach('vmbus'),
        claim(0x9000, 'vmbus'),
        boot('crash'),
        detach('vmbus', fails(-2)),
        reads('SINT2', 0xf3),
      ],
    ],
    ['unless the machine was reset', 'tlfs', [...UP, boot('reset'), reads('SINT2', 0x10000)]],
  ]))

describe('partition.reset', () =>
  scenarios([
    [
      'clears shared registers where the machine does',
      ['qemu', 'openvmm', 'tlfs'],
      [
        ...IDENTIFIED,
        hostWrite('VP_RUNTIME', 9),
        op({ op: 'partition.reset' }),
        reads('GUEST_OS_ID', 0),
        reads('HYPERCALL', 0),
        reads('VP_RUNTIME', 0),
      ],
    ],
    [
      'leaves them to the VMM on KVM',
      ['kvm-synic', 'kvm-synic2'],
      [...IDENTIFIED, op({ op: 'partition.reset' }), reads('HYPERCALL', 0x5001)],
    ],
    [
      'takes auto-EOI and queues with it',
      EVERY_PROFILE,
      [...UP, write('SINT3', 0x200f4), post(2, 'delivered', irq()), op({ op: 'partition.reset' }), takes(-1)],
    ],
  ]))

describe('record codes of no op', () => {
  it.each([0, 200])('%i is refused', (code) => {
    const { partition } = machine({ profile: 'tlfs' })
    partition.apply(Int32Array.of(code, 4, 0, 0), 0)
    expect(partition.effects.errno).toBe(-22)
    expect(partition.seq).toBe(2)
  })
})

it('tells its time, its vCPUs and its ops', () => {
  const { partition } = run({ profile: 'tlfs' }, [advance(5)])
  expect([partition.now, partition.seq, partition.hasVcpu(0), partition.hasVcpu(1)]).toEqual([
    5,
    2,
    true,
    false,
  ])
})
