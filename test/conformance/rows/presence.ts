/** Rows 1 to 26: presence and gating, SCONTROL, SVERSION, EOM. */
import { expect } from 'vitest'
import {
  acks,
  advance,
  capability,
  completes,
  empties,
  eom,
  fails,
  flagByte,
  GP,
  HVMSG_TIMER,
  hostReads,
  hostWrite,
  irq,
  NO_ACKS,
  ONE_SHOT,
  op,
  post,
  raise,
  reads,
  route,
  type Step,
  setSlot,
  signal,
  slotFlags,
  slotHas,
  startTimer,
  status,
  UP,
  write,
} from '../../support/script.js'
import { ALL, K1, K2, KVM, O, on, Q, type Row, row, T } from './row.js'

const WAITING = { profile: 'kvm' } as const
const SYNIC_REGISTERS = ['SCONTROL', 'SVERSION', 'SIEFP', 'SIMP', 'EOM', 'SINT0', 'SINT15']
const NO_SYNIC_BIT = { enforce_cpuid: true, cpuid: { eax: 0xfb } }
/** SINT2 and SINT5 routed from GSI 40 and 41. */
const ROUTES = route([
  [40, 0, 2],
  [41, 0, 5],
])
const SCONTROL_OFF = write('SCONTROL', 0)
const timerFires: readonly Step[] = [...startTimer(ONE_SHOT, 100), advance(100, irq())]

const presence: readonly Row[] = [
  row(
    1,
    on(
      K1,
      'a vCPU waits for the capability',
      [write('SINT2', 0xf3, GP), capability('synic'), ...UP],
      WAITING,
    ),
    on(
      K2,
      'a vCPU waits for the capability',
      [write('SINT2', 0xf3, GP), capability('synic2'), ...UP],
      WAITING,
    ),
    on(Q, 'the VMM has activated it when the vCPU appears', UP),
    on([O, T], 'there is nothing to activate', [capability('synic', fails(-22)), ...UP]),
  ),
  row(
    2,
    on(
      [K1, K2],
      'every guest access before activation is #GP',
      SYNIC_REGISTERS.flatMap((msr) => [reads(msr, GP), write(msr, 0, GP)]),
      WAITING,
    ),
  ),
  row(
    3,
    on(
      [K1, K2],
      'the host may write 0 before activation, and it is stored',
      [
        hostWrite('SINT2', 0),
        hostWrite('SVERSION', 0),
        hostWrite('SIMP', 0),
        hostWrite('EOM', 0),
        hostWrite('STIMER0_CONFIG', 0),
        hostReads('SINT2', 0),
        hostReads('SVERSION', 0),
        hostReads('SINT3', 0x10000),
        hostWrite('SINT2', 0xf3, fails(-22)),
        hostWrite('STIMER0_COUNT', 1, fails(-22)),
      ],
      WAITING,
    ),
  ),
  row(
    4,
    on(KVM, 'nothing takes the activation back', [
      op({ op: 'vcpu.reset', vcpu: 0 }),
      op({ op: 'partition.reset' }),
      reads('SVERSION', 1),
      ...UP,
    ]),
    on(K1, 'enabling again only sets SCONTROL to 1', [
      ...UP,
      write('SCONTROL', 0),
      capability('synic'),
      reads('SCONTROL', 1),
      reads('SINT2', 0xf3),
      reads('SIMP', 0x1001),
    ]),
    on(K2, 'the latest capability says whether pages are zeroed', [
      ...UP,
      setSlot(2, 1),
      capability('synic'),
      write('SIMP', 0x1001),
      slotHas(2, 0),
    ]),
  ),
  row(
    5,
    on([...KVM, O], 'privilege bits are checked with enforce_cpuid', [write('SINT2', 0xf3, GP)], {
      options: NO_SYNIC_BIT,
    }),
    on([...KVM, O], 'and advertise only without it', UP, { options: { cpuid: { eax: 0xfb } } }),
    on(T, 'privilege bits are always checked', [reads('SIMP', GP), hostReads('SIMP', 0)], {
      options: { cpuid: { eax: 0xfb } },
    }),
  ),
  row(
    6,
    on(
      [K1, K2],
      'a timer is read, not written, while the SynIC is inactive',
      [reads('STIMER0_CONFIG', 0), reads('STIMER3_COUNT', 0), write('STIMER0_COUNT', 0, GP)],
      WAITING,
    ),
  ),
  row(
    7,
    on([...KVM, O], 'no SIRBP, for guest and host alike', [
      reads('SIRBP', GP),
      write('SIRBP', 0, GP),
      hostReads('SIRBP', fails(-22)),
      hostWrite('SIRBP', 0, fails(-22)),
    ]),
    on(T, 'L1VH has it', [write('SIRBP', 0x3001), reads('SIRBP', 0x3001)], { kind: 'l1vh' }),
    on(T, 'root has it', [write('SIRBP', 0x3001), reads('SIRBP', 0x3001)], { kind: 'root' }),
    on(T, 'a guest does not', [reads('SIRBP', GP), write('SIRBP', 0x3001, GP)]),
  ),
  row(
    8,
    on([...KVM, O], 'nested MSRs are unknown, whatever the kind', [reads('NESTED_SIMP', GP)], {
      kind: 'nested_root',
    }),
    on([...KVM, O, T], 'nor has a guest any', [reads('NESTED_SINT2', GP), write('NESTED_EOM', 0, GP)]),
    on(T, 'a nested root has them', [write('NESTED_SIMP', 0x8001), reads('NESTED_SIMP', 0x8001)], {
      kind: 'nested_root',
    }),
  ),
  row(
    9,
    on([...KVM, O], 'one SynIC a vCPU', [
      op({ op: 'synic.dump', vcpu: 0 }, { dump: expect.not.objectContaining({ nested: expect.anything() }) }),
    ]),
    on(
      T,
      'two independent files on a nested root',
      [
        write('NESTED_SINT2', 0x55),
        reads('SINT2', 0x10000),
        write('SINT2', 0x66),
        reads('NESTED_SINT2', 0x55),
      ],
      { kind: 'nested_root' },
    ),
  ),
]

const SCONTROL_EXIT = {
  exits: [{ vcpu: 0, msr: '0x40000080', control: '0x1', evt_page: '0x0', msg_page: '0x0' }],
}

const scontrol: readonly Row[] = [
  row(
    10,
    on([K1, K2, O], 'a guest first reads 1', [reads('SCONTROL', 1)]),
    on([Q, T], 'a guest first reads 0', [reads('SCONTROL', 0)]),
  ),
  row(
    11,
    on(ALL, 'reserved bits are stored and read back', [
      write('SCONTROL', '0xfffffffffffffffe'),
      reads('SCONTROL', '0xfffffffffffffffe'),
    ]),
  ),
  row(
    12,
    on([...KVM, O], 'timers go on without it', [...UP, SCONTROL_OFF, ...timerFires]),
    on(T, 'an expiry is queued until it is enabled and EOM written', [
      ...UP,
      SCONTROL_OFF,
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      slotHas(2, 0),
      write('SCONTROL', 1),
      slotHas(2, 0),
      eom(irq()),
    ]),
  ),
  row(
    13,
    on([K1, K2], 'messages are delivered', [...UP, SCONTROL_OFF, post(2, 'delivered', irq())]),
    on(Q, 'the slot is written; the interrupt comes if the route has a GSI', [
      ...UP,
      post(2, 'delivered', irq()),
      completes(2),
      SCONTROL_OFF,
      post(2, 'delivered', irq()),
    ]),
    on(Q, 'the slot is written; no interrupt if the route has none', [
      ...UP,
      SCONTROL_OFF,
      post(2, 'delivered'),
      slotHas(2, 1),
    ]),
    on(O, 'the slot is written and the interrupt sent', [
      ...UP,
      SCONTROL_OFF,
      post(2, 'delivered', irq()),
      slotHas(2, 1),
    ]),
    on(T, 'the post is refused', [...UP, SCONTROL_OFF, post(2, 'dropped', status(24)), slotHas(2, 0)]),
  ),
  row(
    14,
    on(KVM, 'an event is -ENXIO, the flag not set', [
      ...UP,
      SCONTROL_OFF,
      signal(2, 9, fails(-6)),
      flagByte(2, 9, '00'),
    ]),
    on([O, T], 'an event is refused, the flag not set', [
      ...UP,
      SCONTROL_OFF,
      signal(2, 9, status(24)),
      flagByte(2, 9, '00'),
    ]),
  ),
  row(15, on(KVM, 'a GSI asserts its SINT', [...UP, ROUTES, SCONTROL_OFF, raise(40, irq())])),
  row(
    16,
    on(Q, 'a route made meanwhile never interrupts nor hears of acknowledgements', [
      ...UP,
      SCONTROL_OFF,
      post(2, 'delivered'),
      write('SCONTROL', 1),
      empties(2),
      post(2, 'delivered'),
      post(2, 'queued'),
      slotFlags(2, '01'),
      completes(2, NO_ACKS),
      slotHas(2, 0),
      post(2, 'busy', fails(-11)),
    ]),
  ),
  row(
    17,
    on([...KVM, O, T], 'a write has no effect beyond the store', [
      SCONTROL_OFF,
      write('SINT2', 0x100f3),
      write('SIMP', 0x1000),
      write('SIEFP', 0x2000),
      SCONTROL_OFF,
      reads('SINT2', 0x100f3),
      reads('SIMP', 0x1000),
    ]),
  ),
  row(
    18,
    on(KVM, 'a guest write exits to the VMM, the same value too', [
      write('SCONTROL', 1, SCONTROL_EXIT),
      write('SCONTROL', 1, SCONTROL_EXIT),
      hostWrite('SCONTROL', 0, { exits: undefined }),
    ]),
    on([O, T], 'no exit', [write('SCONTROL', 1, { exits: undefined })]),
  ),
]

/** One-shots of timers 0 and 1 wait behind full slots of SINT2 and of SINT4, which is masked. */
const busyTwice: readonly Step[] = [
  ...UP,
  write('SINT4', 0x100f4),
  setSlot(2, 9),
  setSlot(4, 9),
  ...startTimer(ONE_SHOT, 100),
  ...startTimer(0x40001, 100, {}, 1),
  advance(100),
  empties(2),
  empties(4),
]
const versionAndEom: readonly Row[] = [
  row(
    19,
    on(ALL, 'SVERSION refuses a guest write, the value it has too', [
      write('SVERSION', 1, GP),
      write('SVERSION', 2, GP),
      reads('SVERSION', 1),
    ]),
  ),
  row(
    20,
    on([K1, K2], 'a host write is stored and the guest reads it', [
      hostWrite('SVERSION', '0x500000007'),
      reads('SVERSION', '0x500000007'),
    ]),
    on(Q, 'the VMM writes 1', [hostWrite('SVERSION', 1), reads('SVERSION', 1)]),
    on(O, 'there is no host write', [hostWrite('SVERSION', 7, fails(-22)), reads('SVERSION', 1)]),
  ),
  row(21, on(ALL, 'EOM reads 0', [eom(), reads('EOM', 0), hostReads('EOM', 0)])),
  row(
    22,
    on(ALL, 'any value will do', [write('EOM', '0xffffffffffffffff'), reads('EOM', 0)]),
    on([...KVM, T], 'any value acknowledges', [
      ...UP,
      setSlot(2, 9),
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      empties(2),
      write('EOM', '0x123456789', irq()),
    ]),
  ),
  row(
    23,
    on([K1, K2], 'with nothing pending every mapped GSI is notified', [...UP, ROUTES, eom(acks(40, 41))]),
    on(Q, 'with nothing pending the completion is spurious and ignored', [
      ...UP,
      post(2, 'delivered', irq()),
      completes(2),
      eom(acks(24)),
      slotHas(2, 0),
      post(2, 'delivered', irq()),
    ]),
    on([O, T], 'with nothing pending it does nothing', [...UP, eom(NO_ACKS), slotHas(2, 0)]),
  ),
  row(
    24,
    on(KVM, 'SINTs ascending, masked ones too', [
      ...UP,
      route([
        [50, 0, 9],
        [51, 0, 3],
        [52, 0, 2],
      ]),
      eom(acks(52, 51, 50)),
    ]),
    on(KVM, 'a timer on a masked SINT is retried', [...busyTwice, eom(irq()), slotHas(4, HVMSG_TIMER)]),
    on(T, 'all queues are scanned, a masked SINT drains without interrupt', [
      ...busyTwice,
      eom(irq()),
      slotHas(2, HVMSG_TIMER),
      slotHas(4, HVMSG_TIMER),
    ]),
  ),
  row(
    25,
    on([...KVM, T], 'emptying the slot is not enough', [
      ...UP,
      setSlot(2, 9),
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      slotFlags(2, '01'),
      empties(2),
      advance(50),
      slotHas(2, 0),
      eom(irq()),
      slotHas(2, HVMSG_TIMER),
    ]),
    on(O, 'emptying the slot is enough', [
      ...UP,
      setSlot(2, 9),
      ...startTimer(ONE_SHOT, 100),
      advance(100),
      slotFlags(2, '01'),
      empties(2, irq()),
      slotHas(2, HVMSG_TIMER),
    ]),
  ),
  row(
    26,
    on(KVM, 'the host acknowledges as the guest does', [...UP, ROUTES, hostWrite('EOM', 0, acks(40, 41))]),
  ),
]

export const presenceRows: readonly Row[] = [...presence, ...scontrol, ...versionAndEom]
