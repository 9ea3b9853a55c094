/** Rows 27 to 39: the message and event-flags pages. */

import { expect } from 'vitest'
import {
  advance,
  completes,
  dumps,
  empties,
  eom,
  fails,
  flagByte,
  GP,
  HVMSG_TIMER,
  hostWrite,
  irq,
  ONE_SHOT,
  op,
  PERIODIC,
  post,
  reads,
  SIEFP_GPA,
  SIMP_GPA,
  type Step,
  sees,
  setSlot,
  signal,
  slotHas,
  startTimer,
  status,
  stores,
  UP,
  write,
} from '../../support/script.js'
import { ALL, K1, K2, KVM, O, on, Q, type Row, row, T } from './row.js'

/** One page of memory after which nothing follows. */
const SMALL = { gpaPages: 16 }
const BEYOND = 0x10000
const SIMP_OFF = write('SIMP', SIMP_GPA)
const SIEFP_OFF = write('SIEFP', SIEFP_GPA)
const SIMP_AGAIN = write('SIMP', SIMP_GPA + 1)
const OTHER = 0x6000
const exitOf = (msr: string) => ({
  exits: [{ vcpu: 0, msr, control: '0x1', evt_page: '0x2001', msg_page: '0x1001' }],
})
/** A message stands in slot 2 and flag 9 of SINT2 is set. */
const filled: readonly Step[] = [...UP, post(2, 'delivered', irq()), signal(2, 9, irq())]
/** Memory that a guest wrote before it laid a page there. */
const marked: readonly Step[] = [
  stores(SIMP_GPA + 0xf00, 'aaaa'),
  stores(SIEFP_GPA + 0xf00, 'bbbb'),
  stores(OTHER + 0xf00, 'cccc'),
]

const zeroing: readonly Row[] = [
  row(
    27,
    on(K1, 'every enabling guest write zeroes the page', [
      ...marked,
      ...filled,
      sees(SIMP_GPA + 0xf00, '0000'),
      sees(SIEFP_GPA + 0xf00, '0000'),
      SIMP_AGAIN,
      slotHas(2, 0),
      write('SIEFP', SIEFP_GPA + 1),
      flagByte(2, 9, '00'),
    ]),
    on(K2, 'no write zeroes the page', [
      ...marked,
      ...filled,
      SIMP_AGAIN,
      write('SIEFP', SIEFP_GPA + 1),
      sees(SIMP_GPA + 0xf00, 'aaaa'),
      slotHas(2, 1),
      flagByte(2, 9, '02'),
    ]),
    on(Q, 'the overlay is zeroed at system reset alone', [
      ...filled,
      SIMP_AGAIN,
      slotHas(2, 1),
      op({ op: 'partition.reset' }),
      reads('SIMP', 0),
      ...UP,
      slotHas(2, 0),
      flagByte(2, 9, '00'),
    ]),
    on([O, T], 'the overlay is zero at creation and reset, and kept otherwise', [
      ...marked,
      ...UP,
      sees(SIMP_GPA + 0xf00, '0000'),
      post(2, 'delivered', irq()),
      SIMP_AGAIN,
      slotHas(2, 1),
      op({ op: 'vcpu.reset', vcpu: 0 }),
      ...UP,
      slotHas(2, 0),
    ]),
  ),
  row(
    28,
    on([...KVM, O], 'a host write zeroes nothing', [
      ...filled,
      hostWrite('SIMP', SIMP_GPA + 1),
      hostWrite('SIEFP', SIEFP_GPA + 1),
      slotHas(2, 1),
      flagByte(2, 9, '02'),
    ]),
  ),
  row(
    29,
    on(
      [K1, O],
      'enabling a page without memory is #GP, the register unchanged',
      [...UP, write('SIMP', BEYOND + 1, GP), reads('SIMP', 0x1001), write('SIEFP', BEYOND + 1, GP)],
      SMALL,
    ),
    on(
      K2,
      'enabling a page without memory is accepted, and delivery fails',
      [
        ...UP,
        write('SIMP', BEYOND + 1),
        write('SIEFP', BEYOND + 1),
        reads('SIMP', BEYOND + 1),
        post(2, 'dropped', fails(-14)),
        signal(2, 0, fails(-14)),
        completes(2, fails(-14)),
        ...startTimer(ONE_SHOT, 10),
        advance(10),
        reads('STIMER0_CONFIG', ONE_SHOT),
      ],
      SMALL,
    ),
    on(
      Q,
      'the overlay becomes the memory',
      [
        ...UP,
        write('SIMP', BEYOND + 1),
        post(2, 'delivered', irq()),
        slotHas(2, 1, BEYOND),
        ...startTimer(0x30001, 10),
        advance(10),
        slotHas(3, HVMSG_TIMER, BEYOND),
      ],
      SMALL,
    ),
    on(
      T,
      'the page is not accessible to the guest',
      [
        ...UP,
        write('SIMP', BEYOND + 1),
        reads('SIMP', BEYOND + 1),
        op({ op: 'mem.read', gpa: BEYOND, len: 4 }, fails(-14)),
        completes(2, fails(-14)),
      ],
      SMALL,
    ),
  ),
  row(
    30,
    on([K1, K2, O], 'GPN 0 is a page like any other', [
      ...UP,
      write('SIMP', 1),
      post(2, 'delivered', irq()),
      slotHas(2, 1, 0),
    ]),
    on(Q, 'for the VMM GPN 0 means disabled', [
      ...UP,
      write('SIMP', 1),
      write('SIEFP', 1),
      post(2, 'dropped', fails(-6)),
      signal(2, 9, fails(-6)),
    ]),
    on(Q, 'KVM goes on writing to guest RAM there', [
      ...UP,
      write('SIMP', 1),
      ...startTimer(ONE_SHOT, 10),
      advance(10, irq()),
      slotHas(2, HVMSG_TIMER, 0),
    ]),
  ),
]

const content: readonly Row[] = [
  row(
    31,
    on([K1, K2], 'while disabled the content is guest RAM', [...filled, SIMP_OFF, slotHas(2, 1)]),
    on([Q, T], 'while disabled the content is kept and hidden', [
      ...filled,
      SIMP_OFF,
      slotHas(2, 0),
      SIMP_AGAIN,
      slotHas(2, 1),
    ]),
    on(O, 'while disabled the content is kept in the overlay', [
      ...filled,
      SIMP_OFF,
      setSlot(2, 77),
      SIMP_AGAIN,
      slotHas(2, 1),
    ]),
  ),
  row(
    32,
    on(K1, 'a moved page starts as zero', [
      ...marked,
      ...filled,
      write('SIMP', OTHER + 1),
      slotHas(2, 0, OTHER),
      sees(OTHER + 0xf00, '0000'),
      slotHas(2, 1),
    ]),
    on(K2, 'a moved page starts with the bytes found there', [
      ...marked,
      ...filled,
      write('SIMP', OTHER + 1),
      slotHas(2, 0, OTHER),
      sees(OTHER + 0xf00, 'cccc'),
    ]),
    on([Q, O, T], 'the content moves', [
      ...marked,
      ...filled,
      write('SIMP', OTHER + 1),
      slotHas(2, 1, OTHER),
      sees(OTHER + 0xf00, '0000'),
      write('SIEFP', 0x7001),
      flagByte(2, 9, '02', 0x7000),
    ]),
  ),
  row(
    33,
    on([K1, K2], 'guest RAM is the page', [...UP, setSlot(3, 5), SIMP_OFF, slotHas(3, 5)]),
    on([Q, T], 'guest RAM beneath is hidden and comes back unchanged', [
      ...marked,
      ...filled,
      sees(SIMP_GPA + 0xf00, '0000'),
      SIMP_OFF,
      sees(SIMP_GPA + 0xf00, 'aaaa'),
      slotHas(2, 0),
    ]),
    on(O, 'guest RAM beneath is overwritten and keeps the last content', [
      ...marked,
      ...filled,
      SIMP_OFF,
      sees(SIMP_GPA + 0xf00, '0000'),
      slotHas(2, 1),
    ]),
  ),
  row(
    34,
    on(ALL, 'bits 11:1 are stored', [
      write('SIMP', 0x1ffe),
      reads('SIMP', 0x1ffe),
      write('SIEFP', 0x2fff),
      reads('SIEFP', 0x2fff),
    ]),
  ),
]

/** A timer on SINT2 runs out while SIMP is disabled. */
const expiredWhileOff = (config: number, expected = {}): readonly Step[] => [
  ...UP,
  SIMP_OFF,
  ...startTimer(config, 100),
  advance(100, expected),
]
const disabled: readonly Row[] = [
  row(
    35,
    on(KVM, 'a timer message waits, a periodic one too', [
      ...expiredWhileOff(PERIODIC),
      advance(1000),
      dumps({ stimers: expect.arrayContaining([expect.objectContaining({ msg_pending: true })]) }),
      SIMP_AGAIN,
      slotHas(2, 0),
      eom(irq()),
      slotHas(2, HVMSG_TIMER),
    ]),
    on(O, 'a timer message goes into the hidden overlay, with its interrupt', [
      ...expiredWhileOff(ONE_SHOT, irq()),
      SIMP_AGAIN,
      slotHas(2, HVMSG_TIMER),
    ]),
    on(T, 'a timer message stays queued', [
      ...expiredWhileOff(ONE_SHOT),
      SIMP_AGAIN,
      slotHas(2, 0),
      eom(irq()),
      slotHas(2, HVMSG_TIMER),
    ]),
  ),
  row(
    36,
    on([K1, K2], 'a host message is dropped', [...UP, SIMP_OFF, post(2, 'dropped', fails(-2))]),
    on(Q, 'the originator learns -ENXIO', [...UP, SIMP_OFF, post(2, 'dropped', fails(-6))]),
    on(O, 'the message goes into the hidden overlay, with its interrupt', [
      ...UP,
      SIMP_OFF,
      post(2, 'delivered', irq()),
      SIMP_AGAIN,
      slotHas(2, 1),
    ]),
    on(T, 'the post is refused', [...UP, SIMP_OFF, post(2, 'dropped', status(24))]),
    on(T, 'what was queued waits', [
      ...filled,
      post(2, 'queued', {}, 5),
      SIMP_OFF,
      eom(),
      SIMP_AGAIN,
      empties(2),
      eom(irq()),
      slotHas(2, 5),
    ]),
  ),
  row(
    37,
    on(KVM, 'an event is -ENXIO', [...UP, SIEFP_OFF, signal(2, 9, fails(-6))]),
    on(O, 'the flag is set in the hidden overlay, with its interrupt', [
      ...UP,
      SIEFP_OFF,
      signal(2, 9, { value: '0x1', ...irq() }),
      write('SIEFP', SIEFP_GPA + 1),
      flagByte(2, 9, '02'),
    ]),
    on(T, 'an event is refused', [...UP, SIEFP_OFF, signal(2, 9, status(24))]),
  ),
  row(
    38,
    on([...KVM, T], 'enabling the page retries nothing', [
      ...expiredWhileOff(ONE_SHOT),
      SIMP_AGAIN,
      advance(100),
      slotHas(2, 0),
    ]),
    on(O, 'what waits is found at the next scan', [
      ...UP,
      post(2, 'delivered', irq()),
      post(2, 'queued', {}, 5),
      SIMP_OFF,
      post(3, 'dropped'),
      SIMP_AGAIN,
      slotHas(2, 1),
      empties(2, irq()),
      slotHas(2, 5),
    ]),
  ),
  row(
    39,
    on(KVM, 'a guest write exits to the VMM', [
      ...UP,
      write('SCONTROL', 1),
      write('SIMP', 0x1001, exitOf('0x40000083')),
      write('SIEFP', 0x2001, exitOf('0x40000082')),
      hostWrite('SIMP', 0x1001, { exits: undefined }),
      write('SINT2', 0xf3, { exits: undefined }),
      write('EOM', 0, { exits: undefined }),
      write('STIMER0_COUNT', 0, { exits: undefined }),
    ]),
    on(K1, 'a refused write does not exit', [write('SIMP', BEYOND + 1, { ...GP, exits: undefined })], SMALL),
    on([O, T], 'no exit', [write('SIMP', 0x1001, { exits: undefined })]),
  ),
]

export const pageRows: readonly Row[] = [...zeroing, ...content, ...disabled]
