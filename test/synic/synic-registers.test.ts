/** SynIC registers: access, activation, nested files, provisioned pages, writes while disabled. */

import { describe, expect } from 'vitest'
import type { ProfileName } from '../../src/synic/profile.js'
import type { MachineSetup } from '../support/machine.js'
import {
  acks,
  at,
  capability,
  completes,
  dumps,
  EVERY_PROFILE,
  type Expected,
  eoi,
  eom,
  fails,
  flagByte,
  GP,
  hostReads,
  hostWrite,
  irq,
  KVM_PROFILES,
  NO_ACKS,
  op,
  payload,
  post,
  raise,
  reads,
  route,
  type Scenario,
  type Step,
  scenarios,
  signal,
  slotHas,
  stores,
  takes,
  UP,
  write,
} from '../support/script.js'

const WAITING: MachineSetup = { profile: 'kvm' }
const NESTED: MachineSetup = { profile: 'tlfs', kind: 'nested_root' }
const L1VH: MachineSetup = { profile: 'tlfs', kind: 'l1vh' }
const SMALL_ROOT: MachineSetup = { profile: 'tlfs', kind: 'root', gpaPages: 16 }
const ALL_REGISTERS = ['SCONTROL', 'SVERSION', 'SIEFP', 'SIMP', 'EOM', 'SINT0', 'SINT7', 'SINT15']

const withoutChip = (profile: ProfileName): Scenario => [
  'without an interrupt chip no profile has it from the start',
  { profile, options: { irqchip: 'none', scontrol_reset: 1 } },
  [
    reads('SCONTROL', GP),
    write('SIMP', 0x1001, GP),
    write('STIMER0_CONFIG', 1, GP),
    reads('STIMER0_CONFIG', 0),
    hostReads('SCONTROL', 0),
    hostWrite('SINT2', 0xf3, fails(-22)),
    hostWrite('SINT2', 0),
    post(2, 'x', { ...fails(-22), delivery: undefined }),
    signal(2, 1, fails(-22)),
    capability('synic2', fails(-22)),
    op({ op: 'partition.reset' }),
    hostReads('SCONTROL', 0),
    reads('SCONTROL', GP),
  ],
]

describe('numbers without a register', () =>
  scenarios(
    ['0x40000086', '0x4000008f', '0x400000a0', '0x400000af'].map((msr) => [
      `${msr} fails for guest and host alike`,
      EVERY_PROFILE,
      [reads(msr, GP), write(msr, 0, GP), hostReads(msr, fails(-22)), hostWrite(msr, 0, fails(-22))],
    ]),
  ))

describe('activation', () =>
  scenarios([
    [
      'the host reads initial values before it',
      WAITING,
      [
        hostReads('SCONTROL', 0),
        hostReads('SVERSION', 1),
        hostReads('SIMP', 0),
        hostReads('SINT15', 0x10000),
        hostReads('EOM', 0),
        hostReads('STIMER0_CONFIG', 0),
      ],
    ],
    [
      'the host may write 0 to each register, and nothing else',
      WAITING,
      ALL_REGISTERS.flatMap((msr) => [hostWrite(msr, 0), hostWrite(msr, 1, fails(-22))]),
    ],
    [
      'EOM does nothing before it',
      WAITING,
      [route([[40, 0, 2]]), capability('synic'), hostWrite('EOM', 0, NO_ACKS)],
    ],
    ['it sets SCONTROL to 1', WAITING, [capability('synic2'), reads('SCONTROL', 1), dumps({ active: true })]],
    [
      'a route set before is not applied to acknowledgements',
      WAITING,
      [
        route([[40, 0, 2]]),
        capability('synic2'),
        ...UP,
        raise(40, irq()),
        eom(NO_ACKS),
        route([[40, 0, 2]]),
        eom(acks(40)),
      ],
    ],
    ['it raises no exit', WAITING, [capability('synic', { exits: undefined })]],
    [
      'it needs an interrupt chip',
      { profile: 'kvm', options: { irqchip: 'none' } },
      [capability('synic', fails(-22))],
    ],
    ...KVM_PROFILES.map(withoutChip),
    [
      'messages and events need it',
      WAITING,
      [post(2, 'x', { ...fails(-22), delivery: undefined }), signal(2, 1, fails(-22))],
    ],
  ]))

describe('SINT', () =>
  scenarios([
    ['resets to masked, vector 0', EVERY_PROFILE, [reads('SINT0', 0x10000), reads('SINT15', 0x10000)]],
    [
      'keeps its value when a write is refused',
      [...KVM_PROFILES, 'tlfs'],
      [write('SINT2', 0xf3), write('SINT2', 0, GP), reads('SINT2', 0xf3)],
    ],
    [
      'vectors of unmasked SINTs are known to EOI',
      KVM_PROFILES,
      [
        write('SINT2', 0xf3),
        write('SINT3', 0x100f4),
        write('SINT4', 0x200f5),
        hostWrite('SINT5', 9),
        dumps({ vectors: [0xf3, 0xf5], auto_eoi_vectors: [0xf5] }),
        write('SINT4', 0xf5),
        dumps({ auto_eoi_vectors: [] }),
      ],
    ],
    [
      'the dump derives the same elsewhere',
      ['openvmm', 'tlfs'],
      [
        write('SINT2', 0xf3),
        write('SINT4', 0x200f5),
        dumps({ vectors: [0xf3, 0xf5], auto_eoi_vectors: [0xf5] }),
      ],
    ],
    [
      'as-intercept: the assertion becomes a message on SINT0',
      L1VH,
      [
        ...UP,
        write('SINT0', 0xf0),
        write('SINT4', 0x800f4),
        signal(4, 1, irq(0xf0)),
        slotHas(0, 0x8000_0061),
        payload(0, '04000000'),
        takes(0xf0),
      ],
    ],
    [
      'as-intercept has sixteen buffers',
      L1VH,
      [
        ...UP,
        write('SINT4', 0x800f4),
        ...Array.from({ length: 18 }, (_, flag) => signal(4, flag)),
        ...Array.from({ length: 17 }, () => [slotHas(0, 0x8000_0061), completes(0)]).flat(),
        slotHas(0, 0),
      ],
    ],
    [
      'as-intercept is ignored by others',
      ['kvm-synic', 'openvmm'],
      [...UP, write('SINT4', 0x800f4), signal(4, 1, irq(0xf4))],
    ],
  ]))

describe('provisioned pages', () =>
  scenarios([
    [
      'a root finds SIMP, SIEFP and SIRBP at the top of memory, disabled',
      SMALL_ROOT,
      [
        reads('SIMP', 0xd000),
        reads('SIEFP', 0xe000),
        reads('SIRBP', 0xf000),
        reads('SCONTROL', 0),
        op({ op: 'vcpu.create', vcpu: 1 }),
        at(1, reads('SIMP', 0xa000)),
        write('SIMP', 0x1001),
        op({ op: 'vcpu.reset', vcpu: 0 }),
        reads('SIMP', 0xd000),
      ],
    ],
    [
      'there must be room for them',
      SMALL_ROOT,
      [
        ...[1, 2, 3, 4].map((vcpu) => op({ op: 'vcpu.create', vcpu })),
        op({ op: 'vcpu.create', vcpu: 5 }, fails(-12)),
      ],
    ],
    [
      'a nested root finds the file below enabled',
      { ...NESTED, gpaPages: 16 },
      [
        reads('SIMP', 0xd001),
        reads('SIEFP', 0xe001),
        reads('SIRBP', 0xf000),
        reads('SCONTROL', 1),
        reads('NESTED_SIMP', 0),
        reads('NESTED_SCONTROL', 0),
      ],
    ],
    [
      'or disabled, as the option says',
      { ...NESTED, gpaPages: 16, options: { nested_root_l1_enabled: false } },
      [reads('SIMP', 0xd000), reads('SCONTROL', 0)],
    ],
    ['L1VH and guests bring their own', L1VH, [reads('SIMP', 0), reads('SIRBP', 0)]],
    ['other machines provision nothing', { profile: 'kvm-synic', kind: 'root' }, [reads('SIMP', 0)]],
  ]))

const nestedPost = (delivery: string, expected: Expected = {}, type = 1) =>
  op({ op: 'message.post', vcpu: 0, sint: 2, type, nested: true }, { delivery, ...expected })
const nestedUp: readonly Step[] = [
  write('NESTED_SCONTROL', 1),
  write('NESTED_SIMP', 0x6001),
  write('NESTED_SIEFP', 0x7001),
  write('NESTED_SINT2', 0xf4),
]
describe('the nested file', () =>
  scenarios([
    [
      'has the same registers, and no SIRBP or timers',
      NESTED,
      [
        reads('NESTED_SVERSION', 1),
        reads('NESTED_EOM', 0),
        reads('NESTED_SINT15', 0x10000),
        write('NESTED_SVERSION', 1, GP),
        reads('0x40001085', GP),
        write('0x40001085', 0, GP),
        reads('0x400010b0', GP),
        reads('NESTED_VP_INDEX', 0),
        write('NESTED_VP_INDEX', 0, GP),
      ],
    ],
    [
      'delivers into its own pages with its own vectors',
      NESTED,
      [
        ...nestedUp,
        nestedPost('delivered', irq(0xf4)),
        slotHas(2, 1, 0x6000),
        op({ op: 'event.signal', vcpu: 0, sint: 2, flag: 9, nested: true }, { value: '0x1', ...irq(0xf4) }),
        flagByte(2, 9, '02', 0x7000),
        ...UP,
        slotHas(2, 0),
        post(2, 'delivered', irq()),
      ],
    ],
    [
      'is drained by its own EOM',
      NESTED,
      [
        ...nestedUp,
        nestedPost('delivered', irq(0xf4)),
        nestedPost('queued', {}, 5),
        stores(0x6200, '00000000'),
        eom(),
        slotHas(2, 0, 0x6000),
        write('NESTED_EOM', 0, irq(0xf4)),
        slotHas(2, 5, 0x6000),
        op({ op: 'message.complete', vcpu: 0, sint: 2, nested: true }, { value: '0x5' }),
      ],
    ],
    [
      'shares the APIC: EOI serves both files',
      NESTED,
      [
        ...nestedUp,
        write('NESTED_SINT2', 0x200f4),
        nestedPost('delivered', irq(0xf4)),
        takes(0xf4),
        dumps({ isr: [], nested: expect.objectContaining({ simp: '0x6001', active: true }) }),
        write('NESTED_SINT2', 0xf4),
        nestedPost('queued', {}, 5),
        nestedPost('queued', {}, 6),
        stores(0x6200, '00000000'),
        write('SINT2', 0xf4),
        op({ op: 'event.signal', vcpu: 0, sint: 2, flag: 9, nested: true }, irq(0xf4)),
        takes(0xf4),
        eoi(irq(0xf4)),
        slotHas(2, 5, 0x6000),
      ],
    ],
    [
      'does not exist elsewhere',
      ['kvm-synic', 'tlfs'],
      [
        nestedPost('x', { ...fails(-22), delivery: undefined }),
        op({ op: 'event.signal', vcpu: 0, sint: 2, flag: 9, nested: true }, fails(-22)),
        op({ op: 'message.complete', vcpu: 0, sint: 2, nested: true }, fails(-22)),
      ],
    ],
  ]))

const violation = (msr: string, register: string) => ({
  violations: [
    {
      invariant: 'disabled_write',
      rule: 'disabled_write',
      severity: 'error',
      vcpu: 0,
      msr,
      register,
      text: `${register} is torn down while SCONTROL is clear`,
    },
  ],
})
const MASKING = write('SINT2', 0x10000)
const faulting = { ...L1VH, options: { disabled_write: 'fault' } } as const
describe('disabled_write', () =>
  scenarios([
    [
      'a parent audits teardown writes under a clear SCONTROL',
      L1VH,
      [
        write('SINT2', 0x100f3, violation('0x40000092', 'SINT2')),
        reads('SINT2', 0x100f3),
        write('SIMP', 0x1000, violation('0x40000083', 'SIMP')),
        write('SIEFP', 0x1000, violation('0x40000082', 'SIEFP')),
        write('SIRBP', 0x1000, violation('0x40000085', 'SIRBP')),
        write('SCONTROL', 0, violation('0x40000080', 'SCONTROL')),
      ],
    ],
    [
      'enabling writes, EOM and the host never match',
      faulting,
      [
        write('SINT2', 0xf3, { violations: undefined }),
        write('SIMP', 0x1001, { violations: undefined }),
        write('SIRBP', 0x3001),
        eom({ violations: undefined }),
        hostWrite('SINT2', 0x10000, { violations: undefined }),
        write('SCONTROL', 1, { violations: undefined }),
        MASKING,
      ],
    ],
    [
      '`fault` refuses them',
      faulting,
      [
        write('SINT2', 0xf3),
        { ...MASKING, expected: { ...GP, ...violation('0x40000092', 'SINT2') } },
        reads('SINT2', 0xf3),
        write('SIMP', 0, GP),
      ],
    ],
    [
      '`fault` faults in parents alone',
      { profile: 'tlfs', options: { disabled_write: 'fault' } },
      [{ ...MASKING, expected: violation('0x40000092', 'SINT2') }, reads('SINT2', 0x10000)],
    ],
    ['a guest is not audited', 'tlfs', [{ ...MASKING, expected: { violations: undefined } }]],
    [
      '`allow` says nothing',
      { ...L1VH, options: { disabled_write: 'allow' } },
      [{ ...MASKING, expected: { violations: undefined } }],
    ],
    [
      'each nested file by its own SCONTROL',
      { ...NESTED, options: { disabled_write: 'fault' } },
      [MASKING, write('NESTED_SINT2', 0x10000, { ...GP, ...violation('0x40001092', 'NESTED_SINT2') })],
    ],
  ]))
