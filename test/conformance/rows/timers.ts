/** Rows 82 to 94: the synthetic timers. */

import { expect } from 'vitest'
import {
  advance,
  apic,
  completes,
  DIRECT,
  dumps,
  empties,
  eom,
  GP,
  HVMSG_TIMER,
  hostWrite,
  irq,
  ONE_SHOT,
  op,
  PERIODIC,
  pause,
  payload,
  reads,
  resume,
  type Step,
  setSlot,
  slotFlags,
  slotHas,
  startTimer,
  takes,
  UP,
  u32s,
  write,
} from '../../support/script.js'
import { ALL, KVM, O, on, type Row, row, T } from './row.js'

const AUTO_ENABLE = 8
const LAZY = 4
/** Enabled, message mode, SINTx 0. */
const ON_SINT0 = 1
const FULL = [...UP, setSlot(2, 9)]
/** Paused from 1050 to 1375, with a period of 100 that began at 1000. */
const late = (config: number): readonly Step[] => [
  ...UP,
  advance(1000),
  ...startTimer(config, 100),
  advance(50),
  pause,
  advance(325),
]
const times = (due: number, delivered: number) => payload(2, u32s(0, 0, due, 0, delivered, 0))
const dueAt = (n: number) =>
  dumps({ stimers: expect.arrayContaining([expect.objectContaining({ exp_time: `0x${n.toString(16)}` })]) })
const POSITIVE_FAR = '0x7fffffffffffffff'
const SIGN = '0x8000000000000000'
const NEGATIVE_FAR = '0xf000000000000000'

const registers: readonly Row[] = [
  row(
    82,
    on(KVM, 'SINTx 0 is accepted at first, and clears bit 0 of a timer that ran', [
      ...UP,
      write('STIMER0_CONFIG', ON_SINT0),
      reads('STIMER0_CONFIG', ON_SINT0),
      write('STIMER0_CONFIG', ON_SINT0),
      reads('STIMER0_CONFIG', 0),
    ]),
    on(KVM, 'and then sends to slot 0', [
      ...UP,
      write('SINT0', 0xf0),
      ...startTimer(ON_SINT0, 100),
      advance(100, irq(0xf0)),
      slotHas(0, HVMSG_TIMER),
    ]),
    on(O, 'SINTx 0 is nothing special', [
      ...UP,
      write('STIMER0_CONFIG', ON_SINT0),
      write('STIMER0_CONFIG', ON_SINT0),
      reads('STIMER0_CONFIG', ON_SINT0),
    ]),
    on(T, 'SINTx 0 clears bit 0 at once', [
      ...UP,
      write('STIMER0_CONFIG', ON_SINT0),
      reads('STIMER0_CONFIG', 0),
    ]),
    on(T, 'auto-enable does not set it for SINTx 0 either', [
      ...UP,
      write('STIMER0_CONFIG', AUTO_ENABLE),
      write('STIMER0_COUNT', 100),
      reads('STIMER0_CONFIG', AUTO_ENABLE),
      write('STIMER0_CONFIG', (DIRECT & ~1 & ~0x10000) | AUTO_ENABLE),
      write('STIMER0_COUNT', 100),
      reads('STIMER0_CONFIG', DIRECT | AUTO_ENABLE),
    ]),
  ),
  row(
    83,
    on([...KVM, T], 'COUNT 0 disables', [
      ...UP,
      ...startTimer(PERIODIC, 100),
      write('STIMER0_COUNT', 0),
      reads('STIMER0_CONFIG', 0x20002),
      advance(500),
    ]),
    on(KVM, 'COUNT 0 by the host stops and leaves bit 0', [
      ...UP,
      ...startTimer(PERIODIC, 100),
      hostWrite('STIMER0_COUNT', 0),
      reads('STIMER0_CONFIG', PERIODIC),
      advance(500),
    ]),
    on(O, 'COUNT 0 stops and leaves bit 0', [
      ...UP,
      ...startTimer(PERIODIC, 100),
      write('STIMER0_COUNT', 0),
      reads('STIMER0_CONFIG', PERIODIC),
      advance(500),
      write('STIMER0_COUNT', 50),
      advance(50, irq()),
    ]),
  ),
  row(
    84,
    on(ALL, 'a COUNT not zero enables with bit 3', [
      ...UP,
      write('STIMER0_CONFIG', 0x20008),
      write('STIMER0_COUNT', 100),
      reads('STIMER0_CONFIG', 0x20009),
      advance(100, irq()),
      reads('STIMER0_CONFIG', 0x20008),
    ]),
    on(KVM, 'but not by the host', [
      ...UP,
      write('STIMER0_CONFIG', 0x20008),
      hostWrite('STIMER0_COUNT', 100),
      reads('STIMER0_CONFIG', 0x20008),
      advance(100),
    ]),
    on(O, 'by the host too', [
      ...UP,
      write('STIMER0_CONFIG', 0x20008),
      hostWrite('STIMER0_COUNT', 100),
      reads('STIMER0_CONFIG', 0x20009),
    ]),
  ),
  row(
    85,
    on([...KVM, O], 'reserved bits are stored', [
      write('STIMER0_CONFIG', '0xffffffffff20e000'),
      reads('STIMER0_CONFIG', '0xffffffffff20e000'),
    ]),
    on(T, 'reserved bits read 0', [
      write('STIMER0_CONFIG', '0xfffffffffff2e000'),
      reads('STIMER0_CONFIG', 0x20000),
    ]),
  ),
  row(
    86,
    on(
      [...KVM, O],
      'direct mode without its feature bit is allowed',
      [...startTimer(DIRECT, 10), advance(10, irq(0xed))],
      {
        options: { cpuid: { edx: 0 } },
      },
    ),
    on(
      [...KVM, T],
      'and #GP where CPUID is enforced',
      [
        write('STIMER0_CONFIG', 0x1000, GP),
        write('STIMER0_CONFIG', ONE_SHOT),
        hostWrite('STIMER0_CONFIG', 0x1000),
      ],
      { options: { enforce_cpuid: true, cpuid: { edx: 0 } } },
    ),
  ),
  row(
    87,
    on([...KVM, O], 'the lazy bit changes nothing', [
      ...late(PERIODIC | LAZY),
      resume(irq()),
      times(1100, 1375),
    ]),
    on(T, 'a lazy tick later than half a period is left out', [
      ...late(PERIODIC | LAZY),
      resume(),
      slotHas(2, 0),
      advance(25, irq()),
      times(1400, 1400),
    ]),
    on(T, 'a lazy tick that is little late comes late', [
      ...UP,
      ...startTimer(PERIODIC | LAZY, 100),
      pause,
      advance(140),
      resume(irq()),
      times(100, 140),
    ]),
  ),
]

const behaviour: readonly Row[] = [
  row(
    88,
    on(KVM, 'late: one tick, the phase kept', [
      ...late(PERIODIC),
      resume(irq()),
      times(1100, 1375),
      dueAt(1400),
    ]),
    on(O, 'late: one tick, the phase begins anew', [
      ...late(PERIODIC),
      resume(irq()),
      times(1100, 1375),
      dueAt(1475),
    ]),
    on(T, 'late: one tick, the next sooner', [
      ...late(PERIODIC),
      resume(irq()),
      times(1100, 1375),
      dueAt(1400),
    ]),
  ),
  row(
    89,
    on(KVM, 'a tick that finds the slot full is dropped', [
      ...FULL,
      ...startTimer(PERIODIC, 100),
      advance(350),
      slotFlags(2, '00'),
      empties(2),
      eom(),
      slotHas(2, 0),
      advance(50, irq()),
      times(400, 400),
    ]),
    on(O, 'a tick that finds the slot full comes once, later', [
      ...FULL,
      ...startTimer(PERIODIC, 100),
      advance(350),
      empties(2, irq()),
      times(100, 350),
      dueAt(450),
    ]),
    on(T, 'a tick that finds the slot full waits in its buffer', [
      ...FULL,
      ...startTimer(PERIODIC, 100),
      advance(150),
      completes(2, irq()),
      times(100, 150),
    ]),
    on(T, 'the next tick finds the buffer in use and is lost', [
      ...FULL,
      ...startTimer(PERIODIC, 100),
      advance(350, { dropped: [{ vcpu: 0, sint: 2, reason: -19 }] }),
      completes(2, irq()),
      times(100, 350),
      completes(2),
      slotHas(2, 0),
    ]),
  ),
  row(
    90,
    on(ALL, 'a one-shot in the past fires at once', [
      ...UP,
      advance(1000),
      ...startTimer(ONE_SHOT, 500, irq()),
      times(500, 1000),
    ]),
  ),
  row(
    91,
    on(KVM, 'a one-shot more than 2^63 ahead never fires', [
      ...UP,
      ...startTimer(ONE_SHOT, NEGATIVE_FAR),
      advance(2 ** 52),
      reads('STIMER0_CONFIG', ONE_SHOT),
    ]),
    on(O, 'a one-shot more than 2^63 ahead counts as past', [
      ...UP,
      ...startTimer(ONE_SHOT, NEGATIVE_FAR, irq()),
      reads('STIMER0_CONFIG', 0x20000),
    ]),
    on(O, 'a little less than that is far ahead', [
      ...UP,
      ...startTimer(ONE_SHOT, POSITIVE_FAR),
      ...startTimer(PERIODIC, POSITIVE_FAR, {}, 1),
      advance(2 ** 52),
    ]),
    on(KVM, 'a period of 2^63 never ends', [...UP, ...startTimer(PERIODIC, SIGN), advance(2 ** 52)]),
    on(O, 'a period of 2^63 is over at every scan that finds the slot empty', [
      ...UP,
      advance(7),
      ...startTimer(PERIODIC, SIGN, irq()),
      payload(2, u32s(0, 0, 7, 0x8000_0000, 7, 0)),
      slotFlags(2, '01'),
      advance(1000),
      completes(2, irq()),
      payload(2, u32s(0, 0, 7, 0x8000_0000, 1007, 0)),
      completes(2, irq()),
      payload(2, u32s(0, 0, 1007, 0x8000_0000, 1007, 0)),
      reads('STIMER0_CONFIG', PERIODIC),
      write('STIMER0_COUNT', 0),
      completes(2),
      slotHas(2, 0),
    ]),
    on(O, 'in direct mode it interrupts whenever its vector is not requested', [
      ...UP,
      ...startTimer(DIRECT | PERIODIC, SIGN, irq(0xed)),
      advance(1000),
      op({ op: 'apic.ack', vcpu: 0 }, { vector: 0xed, ...irq(0xed) }),
      apic(false),
      op({ op: 'apic.ack', vcpu: 0 }, { vector: -1 }),
    ]),
  ),
  row(
    92,
    on(KVM, 'direct, APIC disabled: stuck until rewritten', [
      ...UP,
      apic(false),
      ...startTimer(DIRECT, 100),
      advance(100),
      apic(true),
      eom(),
      advance(100),
      reads('STIMER0_CONFIG', DIRECT),
      write('STIMER0_CONFIG', DIRECT, irq(0xed)),
      reads('STIMER0_CONFIG', DIRECT - 1),
    ]),
    on([O, T], 'direct, APIC disabled: fired, the interrupt lost', [
      ...UP,
      apic(false),
      ...startTimer(DIRECT, 100),
      advance(100),
      reads('STIMER0_CONFIG', DIRECT - 1),
      apic(true),
      takes(-1),
    ]),
  ),
  row(
    93,
    on([...KVM, O, T], 'a direct timer needs neither SCONTROL nor SIMP', [
      write('SCONTROL', 0),
      ...startTimer(DIRECT, 100),
      advance(100, irq(0xed)),
      takes(0xed),
    ]),
    on(KVM, 'a message needs SIMP alone', [
      ...UP,
      write('SCONTROL', 0),
      ...startTimer(ONE_SHOT, 100),
      advance(100, irq()),
      completes(2),
      write('SIMP', 0x1000),
      ...startTimer(ONE_SHOT, 200),
      advance(100),
    ]),
    on(O, 'a message needs neither', [
      ...UP,
      write('SCONTROL', 0),
      write('SIMP', 0x1000),
      ...startTimer(ONE_SHOT, 100),
      advance(100, irq()),
    ]),
    on(T, 'a message needs SCONTROL', [
      ...UP,
      write('SCONTROL', 0),
      ...startTimer(ONE_SHOT, 100),
      advance(100),
    ]),
    on(T, 'a message needs SIMP', [...UP, write('SIMP', 0x1000), ...startTimer(ONE_SHOT, 100), advance(100)]),
  ),
  row(
    94,
    on(KVM, 'rewriting CONFIG forgets a message that waits, and starts anew', [
      ...FULL,
      ...startTimer(PERIODIC, 100),
      ...startTimer(ONE_SHOT, 100, {}, 1),
      advance(130),
      write('STIMER1_CONFIG', 0x20000),
      write('STIMER0_CONFIG', PERIODIC),
      dueAt(230),
      completes(2),
      slotHas(2, 0),
    ]),
    on(O, 'rewriting CONFIG evaluates anew', [
      ...UP,
      ...startTimer(PERIODIC, 100),
      advance(30),
      write('STIMER0_CONFIG', PERIODIC),
      advance(70),
      advance(30, irq()),
    ]),
  ),
]

export const timerRows: readonly Row[] = [...registers, ...behaviour]
