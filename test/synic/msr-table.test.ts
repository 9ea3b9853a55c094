/** MSR numbers, the checks before any register's rule, and the registers that are not the SynIC's. */

import { describe, expect } from 'vitest'
import type { MachineSetup } from '../support/machine.js'
import {
  advance,
  at,
  dumps,
  EVERY_PROFILE,
  eom,
  FAST,
  fails,
  GP,
  HYPERCALL_EXIT,
  hostReads,
  hostWrite,
  hypercall,
  IDENTIFIED,
  irq,
  KVM_PROFILES,
  op,
  POST_MESSAGE,
  raise,
  reads,
  route,
  type Scenario,
  SIGNAL_EVENT,
  scenarios,
  sees,
  signal,
  status,
  stores,
  takes,
  UP,
  write,
} from '../support/script.js'

const without = (eax: number, more: object = {}): MachineSetup => ({
  profile: 'kvm-synic2',
  options: { enforce_cpuid: true, cpuid: { eax: ~eax & 0x2aff, ...more } },
})
const GATES: readonly (readonly [string, number])[] = [
  ['VP_RUNTIME', 1],
  ['TIME_REF_COUNT', 2],
  ['SCONTROL', 4],
  ['EOM', 4],
  ['SINT3', 4],
  ['STIMER0_CONFIG', 8],
  ['STIMER3_COUNT', 8],
  ['ICR', 16],
  ['TPR', 16],
  ['VP_ASSIST_PAGE', 16],
  ['GUEST_OS_ID', 32],
  ['HYPERCALL', 32],
  ['VP_INDEX', 64],
  ['RESET', 128],
  ['REFERENCE_TSC', 512],
  ['TSC_FREQUENCY', 2048],
  ['APIC_FREQUENCY', 2048],
]

describe('privilege bits', () =>
  scenarios([
    ...GATES.map(
      ([msr, bit]): Scenario => [
        `${msr} needs bit ${Math.log2(bit)}, for a guest`,
        without(bit),
        [reads(msr, GP), hostReads(msr, { value: expect.anything() })],
      ],
    ),
    ...GATES.map(
      ([msr, bit]): Scenario => [
        `${msr} is there with bit ${Math.log2(bit)} alone`,
        without(~bit),
        [reads(msr, { value: expect.anything() })],
      ],
    ),
    ['EOI needs bit 4', without(16), [write('EOI', 0, GP)]],
    [
      'crash registers need EDX 10',
      without(0, { edx: 0 }),
      [reads('CRASH_P0', GP), write('CRASH_CTL', 0, GP)],
    ],
    ['a register without a rule is refused', without(0), [reads('0x40000118', GP)]],
    [
      'a direct timer needs EDX 19',
      without(0, { edx: 0 }),
      [reads('STIMER0_CONFIG', 0), write('STIMER0_CONFIG', 0), write('STIMER0_CONFIG', 0x1000, GP)],
    ],
    ['with it the write succeeds', without(0), [write('STIMER0_CONFIG', 0x1000)]],
    [
      'EOM is refused without bit 2 although the SynIC is active',
      without(4),
      [reads('EOM', GP), write('EOM', 0, GP)],
    ],
    ['with bit 2 EOM is read and written', without(~4), [reads('EOM', 0), eom()]],
    [
      'HvPostMessage needs EBX 4',
      without(0, { ebx: 0x20 }),
      [
        ...IDENTIFIED,
        hypercall(POST_MESSAGE, 0x8000, status(6)),
        hypercall(SIGNAL_EVENT + FAST, 9, HYPERCALL_EXIT),
      ],
    ],
    [
      'HvSignalEvent needs EBX 5',
      without(0, { ebx: 0x10 }),
      [
        ...IDENTIFIED,
        hypercall(SIGNAL_EVENT + FAST, 9, status(6)),
        hypercall(POST_MESSAGE, 0x8000, HYPERCALL_EXIT),
      ],
    ],
    [
      'with EBX 4 and 5 an inactive SynIC is INVALID_HYPERCALL_INPUT',
      { profile: 'kvm', options: { enforce_cpuid: true } },
      [hypercall(POST_MESSAGE, 0x8000, status(3)), hypercall(SIGNAL_EVENT + FAST, 9, status(3))],
    ],
    [
      'the time-unhalted timer needs its own bit',
      'tlfs',
      [reads('STIME_UNHALTED_TIMER_CONFIG', GP), write('STIME_UNHALTED_TIMER_COUNT', 1, GP)],
    ],
  ]))

const CALLS = '0f01c1c3'
describe('partition-wide registers', () =>
  scenarios([
    [
      'GUEST_OS_ID holds any value',
      EVERY_PROFILE,
      [
        reads('GUEST_OS_ID', 0),
        write('GUEST_OS_ID', '0x8100000060100000'),
        reads('GUEST_OS_ID', '0x8100000060100000'),
      ],
    ],
    [
      'HYPERCALL is ignored without an id',
      EVERY_PROFILE,
      [write('HYPERCALL', 0x5001), reads('HYPERCALL', 0), sees(0x5000, '00000000')],
    ],
    [
      'HYPERCALL lays the call sequence',
      EVERY_PROFILE,
      [...IDENTIFIED, reads('HYPERCALL', 0x5001), sees(0x5000, CALLS)],
    ],
    [
      'HYPERCALL without enable lays nothing',
      EVERY_PROFILE,
      [
        write('GUEST_OS_ID', 1),
        write('HYPERCALL', 0x5000),
        reads('HYPERCALL', 0x5000),
        sees(0x5000, '00000000'),
      ],
    ],
    [
      'HYPERCALL needs memory',
      { profile: 'kvm-synic', gpaPages: 16 },
      [...IDENTIFIED, write('HYPERCALL', 0x10001, GP), reads('HYPERCALL', 0x5001)],
    ],
    [
      'an id taken back gives the page back, and nothing else',
      EVERY_PROFILE,
      [...IDENTIFIED, ...UP, write('GUEST_OS_ID', 0), reads('HYPERCALL', 0x5000), reads('SINT2', 0xf3)],
    ],
    [
      'they are the same on every vCPU',
      { profile: 'kvm-synic', vcpus: 2 },
      [write('GUEST_OS_ID', 7), at(1, reads('GUEST_OS_ID', 7))],
    ],
    [
      'REFERENCE_TSC lays a page with sequence 0',
      EVERY_PROFILE,
      [
        stores(0x5000, 'ffffffffff'),
        write('REFERENCE_TSC', 0x5001),
        reads('REFERENCE_TSC', 0x5001),
        sees(0x5000, '00000000ff'),
        write('REFERENCE_TSC', 0x5000),
      ],
    ],
    [
      'REFERENCE_TSC needs no memory',
      { profile: 'kvm-synic', gpaPages: 16 },
      [write('REFERENCE_TSC', 0x10001), reads('REFERENCE_TSC', 0x10001)],
    ],
    [
      'TIME_REF_COUNT counts ticks',
      EVERY_PROFILE,
      [
        advance(123_456_789_012),
        reads('TIME_REF_COUNT', 123_456_789_012),
        write('TIME_REF_COUNT', 0, GP),
        hostWrite('TIME_REF_COUNT', 5),
        reads('TIME_REF_COUNT', 123_456_789_012),
      ],
    ],
    [
      'RESET asks for a system reset',
      EVERY_PROFILE,
      [
        reads('RESET', 0),
        write('RESET', 0, { lifecycle: undefined }),
        write('RESET', 1, { lifecycle: ['system_reset'] }),
        hostWrite('RESET', 1, { lifecycle: undefined }),
      ],
    ],
    [
      'a crash is told when its parameters are complete',
      EVERY_PROFILE,
      [
        write('CRASH_P0', 11),
        write('CRASH_P4', 15),
        reads('CRASH_P0', 11),
        reads('CRASH_P4', 15),
        write('CRASH_CTL', 0, { lifecycle: undefined }),
        write('CRASH_CTL', '0x8000000000000000', { lifecycle: ['crash'] }),
        hostWrite('CRASH_CTL', '0x8000000000000000'),
        reads('CRASH_CTL', '0x8000000000000000'),
      ],
    ],
  ]))

describe('registers of a vCPU', () =>
  scenarios([
    [
      'VP_INDEX is read by guests and set by the host',
      EVERY_PROFILE,
      [
        reads('VP_INDEX', 0),
        write('VP_INDEX', 0, GP),
        hostWrite('VP_INDEX', '0x500000007'),
        reads('VP_INDEX', 7),
        hostWrite('VP_INDEX', 1024, fails(-22)),
        hostWrite('VP_INDEX', 1023),
      ],
    ],
    [
      'routes follow the VP index',
      { profile: 'kvm-synic', vcpus: 2 },
      [
        at(1, write('SINT2', 0xf5)),
        hostWrite('VP_INDEX', 1),
        at(1, hostWrite('VP_INDEX', 0)),
        route([[40, 0, 2]]),
        raise(40, irq(0xf5, 1)),
        route([[40, 5, 2]]),
        raise(40, fails(-22)),
      ],
    ],
    [
      "frequencies and run time are the host's to set",
      EVERY_PROFILE,
      [
        reads('TSC_FREQUENCY', 2_100_000_000),
        reads('APIC_FREQUENCY', 1_000_000_000),
        reads('VP_RUNTIME', 0),
        write('VP_RUNTIME', 1, GP),
        write('TSC_FREQUENCY', 1, GP),
        hostWrite('VP_RUNTIME', '0x100000002'),
        reads('VP_RUNTIME', '0x100000002'),
      ],
    ],
    [
      'VP_ASSIST_PAGE clears the first word of its page',
      EVERY_PROFILE,
      [
        stores(0x5000, 'ffffffffff'),
        write('VP_ASSIST_PAGE', 0x5001),
        sees(0x5000, '00000000ff'),
        reads('VP_ASSIST_PAGE', 0x5001),
        write('VP_ASSIST_PAGE', 0x5000),
      ],
    ],
    [
      'VP_ASSIST_PAGE needs memory',
      { profile: 'kvm-synic', gpaPages: 16 },
      [write('VP_ASSIST_PAGE', 0x10001, GP), reads('VP_ASSIST_PAGE', 0)],
    ],
    [
      'EOI ends an interrupt and is never read',
      EVERY_PROFILE,
      [
        ...UP,
        signal(2, 1, irq()),
        takes(0xf3),
        dumps({ isr: [0xf3] }),
        write('EOI', '0x100000000', GP),
        write('EOI', 77),
        dumps({ isr: [] }),
        reads('EOI', GP),
      ],
    ],
    [
      'TPR holds one byte',
      EVERY_PROFILE,
      [write('TPR', 0x1ff), reads('TPR', 0xff), write('TPR', '0x100000000', GP)],
    ],
    [
      'ICR sends to one vCPU, self, all or others',
      { profile: 'kvm-synic', vcpus: 3 },
      [
        write('ICR', '0x100000041', irq(0x41, 1)),
        reads('ICR', '0x100000041'),
        write('ICR', 0x40042, irq(0x42, 0)),
        write('ICR', 0x80043, { irqs: [0, 1, 2].map((vcpu) => ({ vcpu, vector: 0x43 })) }),
        write('ICR', 0xc0044, { irqs: [1, 2].map((vcpu) => ({ vcpu, vector: 0x44 })) }),
      ],
    ],
    ...EVERY_PROFILE.map(
      (profile): Scenario => [
        'the ICR is 0 again after a reset of its own APIC, and of no other',
        { profile, vcpus: 2 },
        [
          write('ICR', 0x40441),
          at(1, write('ICR', 0x40442)),
          op({ op: 'vcpu.reset', vcpu: 0 }),
          reads('ICR', 0),
          at(1, reads('ICR', 0x40442)),
          op({ op: 'partition.reset' }),
          at(1, reads('ICR', 0)),
        ],
      ],
    ),
    [
      'ICR refuses reserved bits, and other modes send nothing',
      EVERY_PROFILE,
      [
        reads('ICR', 0),
        ...[0x2000, 0x10000, 0x20000, 0x100000].map((bit) => write('ICR', bit, GP)),
        write('ICR', 0x40441),
        reads('ICR', 0x40441),
      ],
    ],
    [
      'EOI, ICR and TPR need the APIC in the kernel',
      { profile: 'kvm', options: { irqchip: 'none' } },
      ['EOI', 'ICR', 'TPR'].flatMap((msr) => [reads(msr, GP), write(msr, 0, GP)]),
    ],
    [
      'the time-unhalted timer is TLFS alone',
      [...KVM_PROFILES, 'openvmm'],
      ['STIME_UNHALTED_TIMER_CONFIG', 'STIME_UNHALTED_TIMER_COUNT'].flatMap((msr) => [
        reads(msr, GP),
        write(msr, 0, GP),
      ]),
    ],
    [
      'the time-unhalted timer checks vector and reserved bits',
      { profile: 'tlfs', options: { enforce_cpuid: false } },
      [
        write('STIME_UNHALTED_TIMER_COUNT', 500),
        reads('STIME_UNHALTED_TIMER_COUNT', 500),
        write('STIME_UNHALTED_TIMER_CONFIG', 0x102),
        write('STIME_UNHALTED_TIMER_CONFIG', 0x120),
        write('STIME_UNHALTED_TIMER_CONFIG', 0x003),
        write('STIME_UNHALTED_TIMER_CONFIG', 0x103, GP),
        write('STIME_UNHALTED_TIMER_CONFIG', 0x220, GP),
        write('STIME_UNHALTED_TIMER_CONFIG', '0x100000120', GP),
        reads('STIME_UNHALTED_TIMER_CONFIG', 3),
      ],
    ],
    [
      'the time-unhalted timer is off and 0 after a reset',
      { profile: 'tlfs', options: { enforce_cpuid: false } },
      [
        write('STIME_UNHALTED_TIMER_COUNT', 500),
        write('STIME_UNHALTED_TIMER_CONFIG', 0x120),
        op({ op: 'vcpu.reset', vcpu: 0 }),
        reads('STIME_UNHALTED_TIMER_COUNT', 0),
        reads('STIME_UNHALTED_TIMER_CONFIG', 0),
      ],
    ],
    [
      'numbers that are no register are refused',
      EVERY_PROFILE,
      [
        ...['0x40000004', '0x40000106', '0xc0000080', '0x10', '0x40002080'].flatMap((msr) => [
          reads(msr, GP),
          write(msr, 0, GP),
          hostWrite(msr, 0, fails(-22)),
        ]),
      ],
    ],
  ]))
