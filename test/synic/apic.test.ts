/** The local APIC: priorities, taking, ending, disabling. */

import { describe } from 'vitest'
import {
  advance,
  apic,
  dumps,
  EVERY_PROFILE,
  eoi,
  fails,
  hostWrite,
  irq,
  KVM_PROFILES,
  NO_ACKS,
  op,
  raise,
  reads,
  route,
  type Step,
  scenarios,
  signal,
  startTimer,
  takes,
  UP,
  write,
} from '../support/script.js'

const GSIS: readonly Step[] = [
  ...UP,
  write('SINT3', 0x31),
  write('SINT4', 0x3a),
  write('SINT5', 0x42),
  route([
    [31, 0, 3],
    [32, 0, 4],
    [42, 0, 5],
    [43, 0, 2],
  ]),
]
/** Auto-EOI asked for by SINT2, and taken so once. */
const AUTO: readonly Step[] = [
  ...UP,
  write('SINT2', 0x200f3),
  signal(2, 1, irq()),
  takes(0xf3),
  dumps({ isr: [] }),
]
const inService: readonly Step[] = [takes(0xf3), dumps({ isr: [0xf3] })]
const tpr = (value: number) => op({ op: 'apic.tpr', vcpu: 0, value })

describe('apic', () =>
  scenarios([
    [
      'the highest vector is taken first',
      KVM_PROFILES,
      [
        ...GSIS,
        raise(31, irq(0x31)),
        raise(42, irq(0x42)),
        dumps({ irr: [0x31, 0x42] }),
        takes(0x42),
        takes(-1),
        dumps({ irr: [0x31], isr: [0x42] }),
        eoi(),
        takes(0x31),
      ],
    ],
    [
      'a higher class interrupts a lower, its own does not',
      KVM_PROFILES,
      [
        ...GSIS,
        raise(31, irq(0x31)),
        takes(0x31),
        raise(32, irq(0x3a)),
        takes(-1),
        raise(42, irq(0x42)),
        takes(0x42),
        eoi(),
        takes(-1),
        eoi(),
        takes(0x3a),
      ],
    ],
    [
      'TPR holds classes back',
      KVM_PROFILES,
      [...GSIS, tpr(0x30), reads('TPR', 0x30), raise(31, irq(0x31)), takes(-1), tpr(0x2f), takes(0x31)],
    ],
    [
      'vectors below 16 rest in IRR for ever on KVM',
      KVM_PROFILES,
      [...GSIS, hostWrite('SINT2', 9), raise(43, irq(9)), dumps({ irr: [9] }), takes(-1)],
    ],
    ['EOI with nothing in service does nothing', EVERY_PROFILE, [...UP, eoi(NO_ACKS)]],
    [
      'the host ends no interrupt for a vCPU, and what is in service stays so',
      EVERY_PROFILE,
      [
        ...UP,
        signal(2, 1, irq()),
        takes(0xf3),
        op({ op: 'apic.eoi', vcpu: 0, by: 'host' }, fails(-22)),
        dumps({ isr: [0xf3] }),
        eoi(),
        dumps({ isr: [] }),
      ],
    ],
    [
      'nor does it by the EOI register, outside KVM',
      ['openvmm', 'tlfs'],
      [...UP, signal(2, 1, irq()), takes(0xf3), hostWrite('EOI', 0, fails(-22)), dumps({ isr: [0xf3] })],
    ],
    [
      'KVM lets it: an ioctl on that very vCPU',
      KVM_PROFILES,
      [...UP, signal(2, 1, irq()), takes(0xf3), hostWrite('EOI', 0), dumps({ isr: [] })],
    ],
    [
      'a disabled APIC keeps what was requested',
      KVM_PROFILES,
      [...GSIS, raise(31, irq(0x31)), apic(false), raise(42), apic(true), takes(0x31), eoi(), takes(-1)],
    ],
    [
      'it may start disabled',
      { profile: 'kvm-synic', options: { apic_enabled_at_reset: false } },
      [...GSIS, raise(31), apic(true), raise(31, irq(0x31)), op({ op: 'vcpu.reset', vcpu: 0 }), raise(31)],
    ],
    [
      'reset drops what is requested and in service',
      KVM_PROFILES,
      [
        ...GSIS,
        raise(31, irq(0x31)),
        raise(42, irq(0x42)),
        takes(0x42),
        tpr(0x50),
        op({ op: 'vcpu.reset', vcpu: 0 }),
        dumps({ irr: [], isr: [] }),
        reads('TPR', 0),
      ],
    ],
    [
      'without accelerated EOI, apicv or not, OpenVMM ends interrupts alike',
      { profile: 'openvmm', options: { apicv: true } },
      [...UP, signal(2, 1, irq()), takes(0xf3), eoi(), dumps({ isr: [] })],
    ],
  ]))

describe('on OpenVMM the last request of a vector decides on auto-EOI', () =>
  scenarios([
    ['a SINT without it', 'openvmm', [...AUTO, write('SINT2', 0xf3), signal(2, 2, irq()), ...inService]],
    ['a direct timer', 'openvmm', [...AUTO, ...startTimer(0x1f31, 100), advance(100, irq()), ...inService]],
    ['an IPI', 'openvmm', [...AUTO, write('ICR', 0xf3, irq()), ...inService]],
    [
      'before it is taken, too',
      'openvmm',
      [...AUTO, write('ICR', 0xf3, irq()), signal(2, 2, irq()), takes(0xf3), dumps({ isr: [] })],
    ],
  ]))
