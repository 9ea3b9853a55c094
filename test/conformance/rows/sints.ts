/** Rows 40 to 49: SINT registers, and what a masked SINT loses. */
import {
  advance,
  empties,
  eom,
  fails,
  flagByte,
  GP,
  HVMSG_TIMER,
  hostWrite,
  irq,
  MASK_SINT2,
  ONE_SHOT,
  post,
  reads,
  signal,
  slotFlags,
  slotHas,
  startTimer,
  status,
  takes,
  UNMASK_SINT2,
  UP,
  write,
} from '../../support/script.js'
import { ALL, K1, K2, KVM, O, on, Q, type Row, row, T } from './row.js'

const POLLING = 0x400f3
const PROXY = 0x1000f3

const registers: readonly Row[] = [
  row(
    40,
    on([...KVM, T], 'unmasked with a vector below 16 is #GP, unchanged', [
      write('SINT2', 0xf3),
      write('SINT2', 15, GP),
      write('SINT2', 0x2000f, GP),
      reads('SINT2', 0xf3),
      write('SINT2', 16),
    ]),
    on(O, 'accepted; the APIC drops the interrupts', [
      ...UP,
      write('SINT2', 15),
      reads('SINT2', 15),
      post(2, 'delivered'),
      takes(-1),
    ]),
  ),
  row(
    41,
    on([...KVM, O], 'masked with a vector below 16 is accepted', [
      write('SINT2', 0x1000f),
      reads('SINT2', 0x1000f),
    ]),
  ),
  row(
    42,
    on([...KVM, O], 'the host may set a vector below 16', [hostWrite('SINT2', 15), reads('SINT2', 15)]),
  ),
  row(
    43,
    on([K1, K2], 'the polling bit is ignored', [...UP, write('SINT2', POLLING), post(2, 'delivered', irq())]),
    on(Q, 'the polling bit is ignored', [...UP, write('SINT2', POLLING), post(2, 'delivered', irq())]),
    on([O, T], 'polling: the message comes, no interrupt', [
      ...UP,
      write('SINT2', POLLING),
      post(2, 'delivered'),
      slotHas(2, 1),
      signal(2, 9, { value: '0x1' }),
      takes(-1),
    ]),
  ),
  row(
    44,
    on(KVM, 'the proxy bit is ignored', [...UP, write('SINT2', PROXY), post(2, 'delivered', irq())]),
    on(O, 'proxy: local delivery is refused', [
      ...UP,
      write('SINT2', PROXY),
      post(2, 'dropped'),
      slotHas(2, 0),
      signal(2, 9, status(24)),
    ]),
  ),
  row(
    45,
    on(ALL, 'reserved bits are stored', [
      write('SINT2', '0xffffffffffe1fff3'),
      reads('SINT2', '0xffffffffffe1fff3'),
    ]),
  ),
]

const masked: readonly Row[] = [
  row(
    46,
    on(KVM, 'a timer message is written, then the timer waits for EOM', [
      ...UP,
      MASK_SINT2,
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      slotHas(2, HVMSG_TIMER),
      reads('STIMER0_CONFIG', ONE_SHOT),
      UNMASK_SINT2,
      eom(),
      slotFlags(2, '01'),
      empties(2),
      eom(irq()),
      reads('STIMER0_CONFIG', 0x20000),
    ]),
    on(O, 'a timer message is not written and waits', [
      ...UP,
      MASK_SINT2,
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      slotHas(2, 0),
      reads('STIMER0_CONFIG', ONE_SHOT),
    ]),
    on(T, 'a timer message is written, the interrupt lost', [
      ...UP,
      MASK_SINT2,
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      slotHas(2, HVMSG_TIMER),
      reads('STIMER0_CONFIG', 0x20000),
    ]),
  ),
  row(
    47,
    on([K1, K2], 'a host message is written, with the lost edge told', [
      ...UP,
      MASK_SINT2,
      post(2, 'delivered', fails(-2)),
      slotHas(2, 1),
    ]),
    on(Q, 'written, the originator told success, the interrupt lost', [
      ...UP,
      MASK_SINT2,
      post(2, 'delivered'),
      slotHas(2, 1),
      takes(-1),
    ]),
    on(O, 'dropped', [...UP, MASK_SINT2, post(2, 'dropped'), slotHas(2, 0)]),
    on(T, 'written, the interrupt lost', [...UP, MASK_SINT2, post(2, 'delivered'), slotHas(2, 1), takes(-1)]),
    on(
      T,
      'with masked_blocks_messages it waits for the unmasking',
      [...UP, MASK_SINT2, post(2, 'queued'), slotHas(2, 0), write('SINT2', 0xf3, irq()), slotHas(2, 1)],
      { options: { masked_blocks_messages: true } },
    ),
  ),
  row(
    48,
    on([K1, K2], 'the flag is set, the interrupt lost', [
      ...UP,
      MASK_SINT2,
      signal(2, 9, { value: '0x1' }),
      flagByte(2, 9, '02'),
    ]),
    on(Q, 'the flag is set, the interrupt lost', [
      ...UP,
      MASK_SINT2,
      signal(2, 9, { value: '0x1' }),
      flagByte(2, 9, '02'),
      UNMASK_SINT2,
      signal(2, 9, { value: '0x0' }),
    ]),
    on([O, T], 'refused, the flag not set', [
      ...UP,
      MASK_SINT2,
      signal(2, 9, status(24)),
      flagByte(2, 9, '00'),
    ]),
  ),
  row(
    49,
    on([K1, K2, Q, T], 'unmasking delivers nothing that was lost', [
      ...UP,
      MASK_SINT2,
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      UNMASK_SINT2,
      advance(100),
      takes(-1),
    ]),
    on(O, 'a due timer delivers at the next scan', [
      ...UP,
      MASK_SINT2,
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      write('SINT2', 0xf3, irq()),
      slotHas(2, HVMSG_TIMER),
    ]),
    on(O, 'a message and an event were dropped', [
      ...UP,
      MASK_SINT2,
      post(2, 'dropped'),
      signal(2, 9, status(24)),
      UNMASK_SINT2,
      slotHas(2, 0),
      takes(-1),
    ]),
  ),
]

export const sintRows: readonly Row[] = [...registers, ...masked]
