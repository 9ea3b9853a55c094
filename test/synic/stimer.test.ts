/** Synthetic timers: how they start, expire, wait, and what time does to them. */

import { describe, expect } from 'vitest'
import {
  advance,
  apic,
  at,
  completes,
  DIRECT,
  dumps,
  EVERY_PROFILE,
  type Expected,
  empties,
  eoi,
  eom,
  fails,
  HVMSG_TIMER,
  hostWrite,
  irq,
  irqs,
  KVM_PROFILES,
  MASK_SINT2,
  ONE_SHOT,
  op,
  PERIODIC,
  pause,
  payload,
  post,
  raise,
  reads,
  resume,
  route,
  scenarios,
  setSlot,
  slotFlags,
  slotHas,
  startTimer,
  takes,
  UNMASK_SINT2,
  UP,
  u32s,
  write,
} from '../support/script.js'

const at0 = (part: object) => dumps({ stimers: expect.arrayContaining([expect.objectContaining(part)]) })
const expTime = (n: number | string) => at0({ exp_time: typeof n === 'number' ? `0x${n.toString(16)}` : n })
const FULL = [...UP, setSlot(2, 9)]
const times = (due: number, delivered: number) => payload(2, u32s(0, 0, due, 0, delivered, 0))
const DIRECT_PERIODIC = DIRECT + 2
const offline = op({ op: 'vcpu.offline', vcpu: 0 })
const online = (expected: Expected = {}) => op({ op: 'vcpu.online', vcpu: 0 }, expected)

describe('start', () =>
  scenarios([
    [
      'a periodic timer is due a period from now',
      EVERY_PROFILE,
      [...UP, advance(1000), ...startTimer(PERIODIC, 100), expTime(1100), advance(100, irq()), expTime(1200)],
    ],
    [
      'a one-shot is due at its count',
      EVERY_PROFILE,
      [
        ...UP,
        ...startTimer(ONE_SHOT, 1000),
        expTime(1000),
        advance(999),
        advance(1, irq()),
        reads('STIMER0_CONFIG', 0x20000),
      ],
    ],
    [
      'enabled with COUNT 0 it never fires; the next COUNT starts it',
      EVERY_PROFILE,
      [
        ...UP,
        write('STIMER0_CONFIG', ONE_SHOT),
        advance(1000),
        reads('STIMER0_CONFIG', ONE_SHOT),
        write('STIMER0_COUNT', 1100),
        advance(100, irq()),
      ],
    ],
    ['disabled it does nothing', EVERY_PROFILE, [...UP, ...startTimer(ONE_SHOT - 1, 100), advance(200)]],
    [
      'a disabling write stops it',
      EVERY_PROFILE,
      [...UP, ...startTimer(PERIODIC, 100), write('STIMER0_CONFIG', PERIODIC - 1), advance(200), expTime(0)],
    ],
    [
      'four timers fire in order of time, vCPU, index',
      { profile: 'kvm-synic', vcpus: 2 },
      [
        ...[3, 2, 1].flatMap((n) => startTimer(DIRECT + n * 16, 100, {}, n)),
        ...startTimer(DIRECT, 50).map((step) => at(1, step)),
        ...startTimer(DIRECT, 100).map((step) => step),
        advance(100, {
          irqs: [
            { vcpu: 1, vector: 0xed },
            { vcpu: 0, vector: 0xed },
            { vcpu: 0, vector: 0xee },
            { vcpu: 0, vector: 0xef },
            { vcpu: 0, vector: 0xf0 },
          ],
        }),
      ],
    ],
    [
      'a period near 2^64 never comes, on KVM',
      KVM_PROFILES,
      [
        ...UP,
        advance(1000),
        ...startTimer(PERIODIC, '0x7fffffffffffffff'),
        expTime('0x80000000000003e7'),
        advance(1000),
        ...startTimer(PERIODIC, '0xffffffffffffff00', {}, 1),
        dumps({ stimers: expect.arrayContaining([expect.objectContaining({ exp_time: '0x6d0' })]) }),
      ],
    ],
    [
      'a huge period that wraps is due at once, and then wraps again',
      ['kvm-synic'],
      [...UP, advance(1000), ...startTimer(PERIODIC, '0xfffffffffffffff0'), expTime(984), advance(1)],
    ],
  ]))

describe('expiry on KVM', () =>
  scenarios([
    [
      'direct: nothing but the APIC is needed',
      KVM_PROFILES,
      [...startTimer(DIRECT_PERIODIC, 100), advance(250, irqs(0xed, 0xed)), takes(0xed), takes(-1)],
    ],
    [
      'direct with a vector below 16 counts as delivered and is never taken',
      KVM_PROFILES,
      [...startTimer(0x1051, 100), advance(100, irq(5)), reads('STIMER0_CONFIG', 0x1050), takes(-1)],
    ],
    [
      'others drop such a vector',
      ['openvmm', 'tlfs'],
      [...startTimer(0x11051, 100), advance(100), reads('STIMER0_CONFIG', 0x11050)],
    ],
    [
      'masked and periodic: written, then no ticks until EOM',
      KVM_PROFILES,
      [
        ...UP,
        MASK_SINT2,
        ...startTimer(PERIODIC, 100),
        advance(350),
        times(100, 100),
        empties(2),
        eom(),
        times(100, 350),
        eom(),
        expTime(400),
        empties(2),
        UNMASK_SINT2,
        advance(50, irq()),
      ],
    ],
    [
      'APIC disabled: in the slot, waits for EOM, and can come twice',
      KVM_PROFILES,
      [
        ...UP,
        apic(false),
        ...startTimer(ONE_SHOT, 100),
        advance(100),
        slotHas(2, HVMSG_TIMER),
        at0({ msg_pending: true }),
        apic(true),
        empties(2),
        eom(irq()),
        times(100, 100),
      ],
    ],
    [
      'a one-shot waits through acknowledgements that find the slot full',
      KVM_PROFILES,
      [...FULL, ...startTimer(ONE_SHOT, 100), advance(100), eom(), slotFlags(2, '01'), completes(2, irq())],
    ],
    [
      'acknowledging another SINT retries nothing',
      KVM_PROFILES,
      [
        ...FULL,
        write('SINT4', 0xf4),
        route([[44, 0, 4]]),
        ...startTimer(ONE_SHOT, 100),
        advance(100),
        empties(2),
        raise(44, irq(0xf4)),
        takes(0xf4),
        eoi(),
        slotHas(2, 0),
      ],
    ],
    [
      'two expiries wait: the lower timer gets the slot',
      KVM_PROFILES,
      [
        ...FULL,
        ...startTimer(ONE_SHOT, 200, {}, 0),
        ...startTimer(ONE_SHOT, 100, {}, 2),
        advance(200),
        completes(2, irq()),
        payload(2, u32s(0, 0, 200, 0)),
        slotFlags(2, '01'),
      ],
    ],
  ]))

describe('time that passes while nobody runs', () =>
  scenarios([
    [
      'paused: marked, then processed late',
      EVERY_PROFILE,
      [
        ...UP,
        ...startTimer(ONE_SHOT, 100),
        pause,
        advance(150),
        slotHas(2, 0),
        resume(irq()),
        times(100, 150),
      ],
    ],
    [
      'offline: the bit waits for online',
      EVERY_PROFILE,
      [
        ...UP,
        ...startTimer(ONE_SHOT, 100),
        offline,
        advance(150),
        slotHas(2, 0),
        online(irq()),
        times(100, 150),
      ],
    ],
    ['online again without anything due', EVERY_PROFILE, [offline, online()]],
    [
      'stopped while paused it stays silent',
      EVERY_PROFILE,
      [
        ...UP,
        ...startTimer(ONE_SHOT, 100),
        pause,
        advance(150),
        hostWrite('STIMER0_CONFIG', 0),
        resume(),
        slotHas(2, 0),
      ],
    ],
    [
      'a halted vCPU is woken',
      EVERY_PROFILE,
      [
        ...UP,
        ...startTimer(ONE_SHOT, 100),
        op({ op: 'vcpu.halt', vcpu: 0 }, { halted: true }),
        advance(100, { ...irq(), wakes: [{ vcpu: 0 }] }),
      ],
    ],
  ]))

describe('OpenVMM', () =>
  scenarios([
    [
      'a tick waits while a host message wants the slot',
      'openvmm',
      [
        ...UP,
        post(2, 'delivered', irq()),
        ...startTimer(PERIODIC, 100),
        post(2, 'queued', {}, 5),
        advance(150),
        empties(2, irq()),
        slotHas(2, 5),
        empties(2, irq()),
        times(100, 150),
        expTime(250),
      ],
    ],
    [
      'direct and periodic keeps no phase',
      'openvmm',
      [...startTimer(DIRECT_PERIODIC, 100), pause, advance(150), resume(irq(0xed)), expTime(250)],
    ],
    [
      'a proxied SINT holds its timer back',
      'openvmm',
      [
        ...UP,
        write('SINT2', 0x1000f3),
        ...startTimer(ONE_SHOT, 100),
        advance(100),
        slotHas(2, 0),
        write('SINT2', 0xf3, irq()),
      ],
    ],
  ]))

describe("the TLFS timer's one buffer", () =>
  scenarios([
    [
      'waits on while the timer goes direct, and drops no direct tick',
      'tlfs',
      [
        ...FULL,
        ...startTimer(ONE_SHOT, 100),
        advance(100),
        ...startTimer(DIRECT_PERIODIC, 100),
        advance(300, irqs(0xed, 0xed, 0xed)),
        completes(2, irq()),
        times(100, 400),
      ],
    ],
    [
      'is free again when the message is delivered',
      'tlfs',
      [
        ...FULL,
        ...startTimer(PERIODIC, 100),
        advance(100),
        completes(2, irq()),
        advance(100),
        completes(2, irq()),
        times(200, 200),
      ],
    ],
  ]))

describe('clock.advance', () =>
  scenarios([
    [
      'more direct interrupts than the bound are refused beforehand',
      EVERY_PROFILE,
      [
        ...startTimer(DIRECT_PERIODIC, 1),
        advance(65_537, fails(-7)),
        reads('TIME_REF_COUNT', 0),
        advance(10, irqs(...Array.from({ length: 10 }, () => 0xed))),
      ],
    ],
    [
      'timers of an offline vCPU are none of them',
      EVERY_PROFILE,
      [
        ...startTimer(DIRECT_PERIODIC, 1),
        op({ op: 'vcpu.offline', vcpu: 0 }),
        advance(65_537),
        op({ op: 'vcpu.online', vcpu: 0 }, irq(0xed)),
        advance(65_537, fails(-7)),
      ],
    ],
    [
      'nor are those that an APIC which is off brings to a stand',
      KVM_PROFILES,
      [...startTimer(DIRECT_PERIODIC, 1), apic(false), advance(65_537), advance(65_537)],
    ],
    [
      'ticks behind a full slot are leapt over',
      KVM_PROFILES,
      [
        ...FULL,
        ...startTimer(PERIODIC, 1),
        advance(1_000_000_000),
        empties(2),
        advance(1, irq()),
        times(1_000_000_001, 1_000_000_001),
      ],
    ],
    [
      'ticks behind a buffer in use are leapt over',
      'tlfs',
      [
        ...FULL,
        ...startTimer(PERIODIC, 1),
        advance(1_000_000_000),
        completes(2, irq()),
        times(1, 1_000_000_000),
      ],
    ],
    [
      'OpenVMM does not count while one is due',
      'openvmm',
      [...FULL, ...startTimer(PERIODIC, 1), advance(1_000_000_000), empties(2, irq())],
    ],
    [
      'reference time stays a safe integer',
      EVERY_PROFILE,
      [advance(Number.MAX_SAFE_INTEGER), advance(1, fails(-22)), advance(0)],
    ],
  ]))
