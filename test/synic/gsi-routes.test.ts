/** GSI routing tables, irqfds, resamplers. */

import { describe, expect, it } from 'vitest'
import { type MachineSetup, machine } from '../support/machine.js'
import {
  acks,
  apic,
  completes,
  dumps,
  type Expected,
  eoi,
  eom,
  fails,
  irq,
  KVM_PROFILES,
  MASK_SINT2,
  NO_ACKS,
  op,
  post,
  raise,
  route,
  type Scenario,
  scenarios,
  signal,
  slotHas,
  takes,
  UNMASK_SINT2,
  UP,
  write,
} from '../support/script.js'

const entry = (gsi: number) => [gsi, 0, 2] as const
const bind = (gsi: number, resample: boolean, expected: Expected = {}) =>
  op({ op: 'irqfd.bind', gsi, resample }, expected)
const unbind = (gsi: number) => op({ op: 'irqfd.unbind', gsi })
const EXPLICIT: MachineSetup = { profile: 'kvm-synic', options: { implicit_irqfds: false } }
const served = [raise(40, irq()), takes(0xf3)]

describe('gsi.route', () =>
  scenarios([
    [
      'a table may have 4,096 entries',
      KVM_PROFILES,
      [
        ...UP,
        route([entry(40)]),
        route(
          Array.from({ length: 4097 }, (_, i) => entry(i)),
          fails(-22),
        ),
        raise(40, irq()),
        route(Array.from({ length: 4096 }, (_, i) => entry(i))),
        raise(4095, irq()),
      ],
    ],
    [
      'GSI 4096 and up, or one named twice, and the old table stays',
      KVM_PROFILES,
      [
        ...UP,
        route([entry(40)]),
        route([entry(4096)], fails(-22)),
        route([entry(41), [41, 0, 3]], fails(-22)),
        raise(41, fails(-1)),
        raise(40, irq()),
        raise(9999, fails(-1)),
      ],
    ],
    [
      'KVM goes on notifying the GSI of a route that is gone',
      ['kvm-synic', 'kvm-synic2'],
      [...UP, route([entry(40)]), raise(40, irq()), takes(0xf3), route([]), eoi(acks(40))],
    ],
    [
      'elsewhere only one that stands, or whose interrupt was in service when it went, is notified',
      ['openvmm', 'tlfs'],
      [
        ...UP,
        route([entry(40)]),
        raise(40, irq()),
        takes(0xf3),
        route([[41, 0, 3]]),
        eoi(acks(40)),
        signal(2, 5, irq()),
        takes(0xf3),
        eoi(NO_ACKS),
      ],
    ],
    [
      'the whole table is replaced',
      KVM_PROFILES,
      [...UP, route([entry(40)]), route([entry(41)]), raise(40, fails(-1)), raise(41, irq())],
    ],
    [
      'it needs an interrupt chip',
      { profile: 'kvm', options: { irqchip: 'none' } },
      [route([entry(40)], fails(-22)), bind(40, false, fails(-22))],
    ],
    ...KVM_PROFILES.map(
      (profile): Scenario => [
        'with a split one nobody hears of acknowledgements, although every GSI counts as bound',
        { profile, options: { irqchip: 'split' } },
        [
          ...UP,
          route([entry(40)]),
          ...served,
          eoi(NO_ACKS),
          eom(NO_ACKS),
          post(2, 'delivered', irq()),
          takes(0xf3),
          eoi(NO_ACKS),
          bind(40, true, fails(-22)),
          bind(40, false),
        ],
      ],
    ),
    ...(['openvmm', 'tlfs'] as const).flatMap((profile) =>
      (['split', 'none'] as const).map(
        (irqchip): Scenario => [
          `a kernel's ${irqchip} chip is nothing to a machine without KVM`,
          { profile, options: { irqchip, implicit_irqfds: false } },
          [...UP, write('TPR', 0), route([entry(40)]), bind(40, true), ...served, eoi(acks(40))],
        ],
      ),
    ),
    [
      'acknowledgements learn the highest GSI, and never forget it',
      KVM_PROFILES,
      [
        ...UP,
        route([entry(41), entry(40), [50, 0, 5]]),
        dumps({ sint_to_gsi: [-1, -1, 41, -1, -1, 50, ...Array(10).fill(-1)] }),
        route([entry(40)]),
        dumps({ sint_to_gsi: [-1, -1, 40, -1, -1, 50, ...Array(10).fill(-1)] }),
        eom(acks(40, 50)),
      ],
    ],
  ]))

describe("gsi.assert tells KVM's internal code", () =>
  scenarios([
    [
      'no entry -1, SINT masked -2, no such SINT -22, APIC off 0, accepted 1',
      KVM_PROFILES,
      [
        ...UP,
        route([entry(40), [41, 0, 16], [42, 3, 2]]),
        raise(39, fails(-1)),
        raise(41, fails(-22)),
        raise(42, fails(-22)),
        raise(40, irq()),
        MASK_SINT2,
        raise(40, fails(-2)),
        UNMASK_SINT2,
        takes(0xf3),
        apic(false),
        raise(40),
      ],
    ],
  ]))

describe('irqfds', () =>
  scenarios([
    [
      'without one bound an edge has no way in',
      EXPLICIT,
      [...UP, route([entry(40)]), raise(40, fails(-9)), bind(40, false), ...served, eoi(NO_ACKS)],
    ],
    [
      'a resampler hears of acknowledgements',
      EXPLICIT,
      [
        ...UP,
        route([entry(40)]),
        bind(40, true),
        ...served,
        eoi(acks(40)),
        eom(acks(40)),
        unbind(40),
        eom(NO_ACKS),
      ],
    ],
    [
      'one a GSI; unbinding nothing is success',
      EXPLICIT,
      [
        bind(40, false),
        bind(40, true, fails(-16)),
        unbind(40),
        unbind(40),
        bind(40, true),
        bind(4096, false, fails(-22)),
      ],
    ],
    [
      'a bound GSI needs no route',
      EXPLICIT,
      [...UP, bind(40, false), raise(40, fails(-1)), route([entry(40)]), raise(40, irq())],
    ],
  ]))

describe("QEMU's own routes", () =>
  scenarios([
    [
      'take the lowest GSIs that are free from 24',
      'qemu',
      [
        ...UP,
        route([entry(24), entry(26)]),
        post(2, 'delivered', irq()),
        signal(3, 1),
        signal(4, 1),
        dumps({ sint_to_gsi: [-1, -1, 26, 27, 28, ...Array(11).fill(-1)] }),
        raise(25, irq()),
        completes(2),
        eom(acks(26, 27, 28)),
      ],
    ],
    [
      'have none when none is free',
      'qemu',
      [
        ...UP,
        route(Array.from({ length: 4072 }, (_, i) => [24 + i, 0, 2] as const)),
        post(2, 'delivered'),
        slotHas(2, 1),
      ],
    ],
    [
      'are dropped by a system reset, the links from SINTs stay',
      'qemu',
      [
        ...UP,
        post(2, 'delivered', irq()),
        op({ op: 'partition.reset' }),
        dumps({ sint_to_gsi: [-1, -1, 24, ...Array(13).fill(-1)] }),
        raise(24, fails(-1)),
        ...UP,
        post(2, 'delivered', irq()),
      ],
    ],
    [
      'come bound with a resampler, those of the table wait for their irqfds',
      { profile: 'qemu', options: { implicit_irqfds: false } },
      [
        ...UP,
        write('SINT3', 0xf4),
        route([[40, 0, 3]]),
        post(2, 'delivered', irq()),
        raise(24, irq()),
        raise(40, fails(-9)),
        post(2, 'queued'),
        completes(2, { ...irq(), ...acks(24) }),
        bind(40, false),
        raise(40, irq(0xf4)),
        eom(acks(24)),
        unbind(40),
        bind(40, true),
        eom(acks(24, 40)),
        op({ op: 'partition.reset' }),
        raise(24, fails(-9)),
      ],
    ],
    [
      'a spurious acknowledgement while nothing is staged',
      'qemu',
      [...UP, post(2, 'delivered', irq()), eom(acks(24)), eom(acks(24))],
    ],
  ]))

describe('outside KVM, where SINTs have no GSIs of their own', () =>
  it.each(['openvmm', 'tlfs'] as const)(
    '%s: an EOI notifies a routed GSI once, and routes touch no slot',
    (profile) => {
      const m = machine({ profile })
      for (const [msr, value] of [
        ['SCONTROL', 1],
        ['SIMP', 0x10001],
        ['SINT2', 0xf3],
      ] as const)
        m.write(msr, value)
      m.do({ op: 'message.post', vcpu: 0, sint: 2, type: 1 })
      m.do({ op: 'gsi.route', entries: [{ gsi: 24, vcpu: 0, sint: 2 }] })
      expect(m.do({ op: 'message.post', vcpu: 0, sint: 2, type: 2 }).delivery).toBe('queued')
      expect(m.memory(0x10200, 1)).toBe('01')
      expect(m.do({ op: 'apic.ack', vcpu: 0 }).vector).toBe(0xf3)
      expect(m.do({ op: 'apic.eoi', vcpu: 0 }).acks).toEqual([{ gsi: 24 }])
      expect(m.do({ op: 'apic.eoi', vcpu: 0 }).acks).toBeUndefined()
    },
  ))

const REPLACED: readonly (readonly [string, readonly (readonly [number, number, number])[]])[] = [
  ['its GSI goes to another vCPU', [[40, 1, 2]]],
  ['its GSI goes to another SINT', [[40, 0, 3]]],
  ['another GSI is routed', [[50, 1, 3]]],
  ['no GSI is routed', []],
]
describe('outside KVM, an EOI that was under way is told once when', () =>
  scenarios(
    REPLACED.flatMap(([why, entries]) =>
      (['openvmm', 'tlfs'] as const).map(
        (profile): Scenario => [
          why,
          { profile, vcpus: 2 },
          [
            ...UP,
            route([entry(40)]),
            ...served,
            route(entries),
            eoi(acks(40)),
            signal(2, 1, irq()),
            takes(0xf3),
            eoi(NO_ACKS),
          ],
        ],
      ),
    ),
  ))
