/** Whole sequences that real guests run, on each machine that they name. */

import { describe } from 'vitest'
import {
  acks,
  advance,
  completes,
  connect,
  dumps,
  EVERY_PROFILE,
  empties,
  eoi,
  eom,
  fails,
  HVMSG_TIMER,
  hvPost,
  irq,
  KVM_PROFILES,
  MASK_SINT2,
  NO_ACKS,
  ONE_SHOT,
  PERIODIC,
  pause,
  payload,
  port,
  post,
  raise,
  reads,
  resume,
  route,
  SIEFP_GPA,
  SIMP_GPA,
  type Step,
  scenarios,
  sees,
  setSlot,
  signal,
  slotFlags,
  slotHas,
  startTimer,
  status,
  stores,
  takes,
  UP,
  u32s,
  write,
} from '../support/script.js'

const shared: readonly Step[] = [
  ...UP,
  write('SINT0', 0xf3),
  write('SINT5', 0xf3),
  route([
    [30, 0, 0],
    [32, 0, 2],
    [35, 0, 5],
  ]),
]
const GSI40 = route([[40, 0, 2]])
const late: readonly Step[] = [
  ...UP,
  advance(1000),
  ...startTimer(PERIODIC, 100),
  advance(50),
  pause,
  advance(325),
  resume(irq()),
  payload(2, u32s(0, 0, 1100, 0, 1375, 0)),
  completes(2),
]

describe('A: one-shot timer behind a busy slot', () =>
  scenarios([
    [
      'the expiry waits for EOM and then says when it was due and when it came',
      KVM_PROFILES,
      [
        ...UP,
        setSlot(2, HVMSG_TIMER),
        advance(500),
        ...startTimer(ONE_SHOT, 10_500),
        advance(10_000),
        slotFlags(2, '01'),
        reads('STIMER0_CONFIG', ONE_SHOT),
        advance(77),
        empties(2),
        eom(irq()),
        sees(SIMP_GPA + 512, `${u32s(HVMSG_TIMER)}18000000${u32s(0, 0)}`),
        payload(2, u32s(0, 0, 10_500, 0, 10_577, 0)),
        reads('STIMER0_CONFIG', 0x20000),
      ],
    ],
  ]))

describe('B: messages of the VMM behind a busy slot', () =>
  scenarios([
    [
      'the second is staged, the third refused and never accepted',
      'qemu',
      [
        ...UP,
        port(3, 'message'),
        connect(7, 3),
        hvPost(7, { ...status(0), ...irq() }, 1),
        hvPost(7, status(0), 2),
        slotHas(2, 1),
        slotFlags(2, '01'),
        hvPost(7, status(19), 3),
        empties(2),
        eom({ ...acks(24), ...irq() }),
        slotHas(2, 2),
        slotFlags(2, '00'),
        completes(2),
        eom(),
        slotHas(2, 0),
      ],
    ],
  ]))

describe('C: an event flag twice', () =>
  scenarios([
    [
      'one interrupt until the guest clears the flag; no EOM is needed',
      EVERY_PROFILE,
      [
        ...UP,
        signal(2, 9, { value: '0x1', ...irq() }),
        signal(2, 9, { value: '0x0' }),
        stores(SIEFP_GPA + 513, '00'),
        signal(2, 9, { value: '0x1', ...irq() }),
      ],
    ],
  ]))

describe('D: a shared vector', () =>
  scenarios([
    [
      'three edges, one interrupt, and every SINT acknowledged',
      KVM_PROFILES,
      [
        ...shared,
        raise(30, irq()),
        raise(32, irq()),
        raise(35, irq()),
        takes(0xf3),
        takes(-1),
        eoi(acks(30, 32, 35)),
        takes(-1),
      ],
    ],
  ]))

describe('E: auto-EOI', () =>
  scenarios([
    [
      'nothing comes into service, and only EOM acknowledges',
      KVM_PROFILES,
      [
        ...UP,
        GSI40,
        write('SINT2', 0x200f3),
        raise(40, irq()),
        takes(0xf3),
        dumps({ isr: [], auto_eoi_vectors: [0xf3] }),
        raise(40, irq()),
        takes(0xf3),
        eoi(NO_ACKS),
        eom(acks(40)),
      ],
    ],
  ]))

describe('F: a late periodic timer', () =>
  scenarios([
    ['the next tick keeps the phase', KVM_PROFILES, [...late, advance(24), advance(1, irq())]],
    ['the next tick is a period from now', 'openvmm', [...late, advance(99), advance(1, irq())]],
  ]))

const REWRITE_SIMP = write('SIMP', SIMP_GPA + 1)
const EXIT = {
  exits: [{ vcpu: 0, msr: '0x40000083', control: '0x1', evt_page: '0x2001', msg_page: '0x1001' }],
}
const filled: readonly Step[] = [...UP, post(2, 'delivered', irq())]

describe('G: SIMP written again with the value it has', () =>
  scenarios([
    [
      'the page is zeroed, the message gone',
      'kvm-synic',
      [...filled, { ...REWRITE_SIMP, expected: EXIT }, slotHas(2, 0)],
    ],
    [
      'the page is kept',
      ['kvm-synic2', 'qemu'],
      [...filled, { ...REWRITE_SIMP, expected: EXIT }, slotHas(2, 1)],
    ],
    ['nothing changes', ['openvmm', 'tlfs'], [...filled, REWRITE_SIMP, slotHas(2, 1)]],
  ]))

describe('H: a SINT masked while its vector is in service', () =>
  scenarios([
    [
      'the EOI acknowledges nothing, a timer waits for EOM',
      KVM_PROFILES,
      [
        ...UP,
        GSI40,
        setSlot(2, 9),
        ...startTimer(ONE_SHOT, 100),
        advance(100),
        raise(40, irq()),
        takes(0xf3),
        MASK_SINT2,
        empties(2),
        eoi(NO_ACKS),
        slotHas(2, 0),
        eom(acks(40)),
        slotHas(2, HVMSG_TIMER),
      ],
    ],
    [
      'a staged message waits for EOM',
      'qemu',
      [
        ...filled,
        post(2, 'queued', {}, 5),
        takes(0xf3),
        MASK_SINT2,
        empties(2),
        eoi(),
        slotHas(2, 0),
        eom(),
        slotHas(2, 5),
      ],
    ],
    [
      'a SINT moved onto the vector is acknowledged',
      KVM_PROFILES,
      [...UP, GSI40, write('SINT4', 0xf3), route([[44, 0, 4]]), write('SINT4', 0xf4), write('SINT5', 0xf3)]
        .concat(
          route([
            [45, 0, 5],
            [40, 0, 2],
          ]),
          MASK_SINT2,
          write('SINT2', 0xe3),
        )
        .concat(raise(45, irq()), takes(0xf3), write('SINT2', 0xf3), eoi(acks(40, 45))),
    ],
  ]))

describe('I: posts and signals while SCONTROL is 0', () =>
  scenarios([
    ['delivered', ['kvm-synic', 'kvm-synic2'], [...UP, write('SCONTROL', 0), post(2, 'delivered', irq())]],
    [
      'the slot is written, no interrupt; an event is -ENXIO',
      'qemu',
      [...UP, write('SCONTROL', 0), post(2, 'delivered'), slotHas(2, 1), signal(2, 9, fails(-6))],
    ],
    [
      'delivered with interrupt; an event is refused',
      'openvmm',
      [...UP, write('SCONTROL', 0), post(2, 'delivered', irq()), signal(2, 9, status(24))],
    ],
    [
      'both refused',
      'tlfs',
      [...UP, write('SCONTROL', 0), post(2, 'dropped', status(24)), signal(2, 9, status(24))],
    ],
  ]))
