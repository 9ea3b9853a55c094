/** Host deliveries in three parts, and the orders in which a guest can meet them. */

import { describe } from 'vitest'
import type { MachineSetup } from '../support/machine.js'
import {
  completes,
  connect,
  EVERY_PROFILE,
  type Expected,
  empties,
  eoi,
  eom,
  fails,
  hvPost,
  irq,
  MASK_SINT2,
  op,
  port,
  post,
  type Scenario,
  SIMP_GPA,
  type Step,
  scenarios,
  setSlot,
  signal,
  slotFlags,
  slotHas,
  status,
  takes,
  UP,
  write,
} from '../support/script.js'

const setup = (profile: MachineSetup['profile']): MachineSetup => ({
  profile,
  options: { split_delivery: true },
})
const PROFILES_HERE = EVERY_PROFILE.map(setup)
const step = (part: string, expected: Expected = {}, more: object = {}) =>
  op({ op: 'host.step', part, ...more }, expected)
const begun = (type = 1) => post(2, 'queued', {}, type)
const inSlot = step('slot', { delivery: 'delivered' })
const waits = step('slot', { delivery: 'queued' })
const everywhere = (why: string, steps: readonly Step[]): Scenario[] =>
  PROFILES_HERE.map((on) => [why, on, steps])

describe('split delivery', () =>
  scenarios([
    ...everywhere('a post only begins', [
      ...UP,
      begun(),
      slotHas(2, 0),
      inSlot,
      slotHas(2, 1),
      step('irq', irq()),
      step('irq', fails(-2)),
    ]),
    ...everywhere('the flag first, then the slot', [
      ...UP,
      setSlot(2, 9),
      begun(),
      step('pending'),
      slotFlags(2, '01'),
      waits,
      step('slot', fails(-11)),
      completes(2),
      inSlot,
      slotFlags(2, '00'),
      step('irq', irq()),
    ]),
    ...everywhere('a sender that forgot the flag is woken by EOM all the same', [
      ...UP,
      setSlot(2, 9),
      begun(),
      waits,
      completes(2),
      step('slot', fails(-11)),
      eom(),
      inSlot,
    ]),
    ...everywhere('an EOI of its vector wakes it too', [
      ...UP,
      signal(2, 1, irq()),
      takes(0xf3),
      setSlot(2, 9),
      begun(),
      waits,
      empties(2),
      eoi(),
      inSlot,
    ]),
    ...everywhere('an EOI of another vector does not', [
      ...UP,
      write('SINT4', 0xf4),
      signal(4, 1, irq(0xf4)),
      takes(0xf4),
      setSlot(2, 9),
      begun(),
      waits,
      empties(2),
      eoi(),
      step('slot', fails(-11)),
    ]),
    ...everywhere('the oldest goes first, or the one that is named', [
      ...UP,
      write('SINT4', 0xf4),
      begun(1),
      post(4, 'queued', {}, 2),
      step('slot', { delivery: 'delivered' }, { vcpu: 0, sint: 4 }),
      slotHas(4, 2),
      inSlot,
      slotHas(2, 1),
      step('irq', irq(0xf4), { sint: 4 }),
      step('irq', irq()),
    ]),
    ...everywhere('nothing in progress, no page, no vCPU', [
      ...UP,
      step('slot', fails(-2)),
      step('slot', fails(-22), { vcpu: 9 }),
      begun(),
      step('irq', fails(-2)),
      step('slot', fails(-2), { sint: 3 }),
      write('SIMP', SIMP_GPA),
      step('slot', fails(-2)),
    ]),
    [
      'two slots raced for: the second sender waits',
      setup('kvm-synic'),
      [
        ...UP,
        begun(1),
        begun(2),
        inSlot,
        waits,
        step('irq', irq()),
        completes(2),
        eom(),
        inSlot,
        slotHas(2, 2),
      ],
    ],
    [
      'a masked SINT loses the edge',
      setup('tlfs'),
      [...UP, MASK_SINT2, begun(), inSlot, step('irq', fails(-2))],
    ],
    [
      'a page without memory',
      { ...setup('kvm-synic2'), gpaPages: 16 },
      [...UP, write('SIMP', 0x10001), begun(), step('slot', fails(-2)), step('pending', fails(-2))],
    ],
    [
      'what OpenVMM once saw of a slot is forgotten when it is filled in parts',
      setup('openvmm'),
      [
        ...UP,
        port(3, 'message'),
        connect(7, 3),
        // Refused by a masked SINT, a message leaves the slot seen empty.
        MASK_SINT2,
        hvPost(7, status(0), 5),
        write('SINT2', 0xf3),
        begun(),
        inSlot,
        hvPost(7, status(0), 6),
        slotHas(2, 1),
        slotFlags(2, '01'),
      ],
    ],
    [
      'a reset ends what was begun',
      setup('tlfs'),
      [...UP, begun(), op({ op: 'vcpu.reset', vcpu: 0 }), step('slot', fails(-2))],
    ],
    [
      'there is a bound',
      setup('tlfs'),
      [...UP, ...Array.from({ length: 4096 }, () => begun()), post(2, 'busy', fails(-11))],
    ],
  ]))
