/** Rows 67 to 70: event flags. */
import {
  connect,
  eoi,
  eom,
  fails,
  flagByte,
  HYPERCALL_EXIT,
  hvSignal,
  irq,
  op,
  port,
  SIEFP_GPA,
  type Step,
  signal,
  status,
  stores,
  takes,
  UP,
} from '../../support/script.js'
import { ALL, K1, K2, O, on, Q, type Row, row, T } from './row.js'

/** A message port with connection 7 to SINT2 of vCPU 0; an event port with connection 8. */
const PORTS: readonly Step[] = [
  port(3, 'message'),
  connect(7, 3),
  port(4, 'event', { flag_base: 64, flag_count: 32 }),
  connect(8, 4),
]

export const eventRows: readonly Row[] = [
  row(
    67,
    on([K1, K2, Q], 'a flag already set: success, no interrupt', [
      ...UP,
      signal(2, 9, { value: '0x1', ...irq() }),
      signal(2, 9, { value: '0x0' }),
      stores(SIEFP_GPA + 513, '00'),
      signal(2, 9, { value: '0x1', ...irq() }),
    ]),
    on([O, T], 'a flag already set: no interrupt', [
      ...UP,
      signal(2, 9, { value: '0x1', ...status(0), ...irq() }),
      signal(2, 9, { value: '0x0', ...status(0) }),
    ]),
  ),
  row(
    68,
    on(ALL, 'neither EOI nor EOM signals a flag again', [
      ...UP,
      signal(2, 9, irq()),
      takes(0xf3),
      eoi(),
      eom(),
      flagByte(2, 9, '02'),
      takes(-1),
    ]),
  ),
  row(
    69,
    on([K1, K2, Q], 'flag 2047 is the last', [
      ...UP,
      signal(2, 2047, irq()),
      flagByte(2, 2047, '80'),
      signal(2, 2048, fails(-22)),
    ]),
    on(
      Q,
      'with compat_bugs flag 2048 lands in the next area',
      [...UP, signal(2, 2048, irq()), flagByte(3, 0, '01'), signal(15, 2048), signal(2, 2049, fails(-22))],
      { options: { compat_bugs: true } },
    ),
    on([O, T], 'flag 2047 is the last', [...UP, signal(2, 2047, irq()), signal(2, 2048, status(5))]),
    on(T, "a port's flags end where its count says", [
      ...UP,
      ...PORTS,
      hvSignal(8, { ...status(0), ...irq() }, 31),
      hvSignal(8, status(5), 32),
    ]),
  ),
  row(
    70,
    on([K1, K2], 'a flag number goes to the VMM', [
      op({ op: 'eventfd.assign', conn: 8 }),
      hvSignal(8, { ...status(0), signals: [{ conn: 8 }] }),
      hvSignal(8, HYPERCALL_EXIT, 1),
    ]),
    on(Q, 'a flag number is INVALID_PORT_ID', [
      ...UP,
      ...PORTS,
      hvSignal(8, { ...status(0), ...irq() }),
      hvSignal(8, status(17), 1),
    ]),
    on([O, T], 'base and flag number are added', [
      ...UP,
      ...PORTS,
      hvSignal(8, { ...status(0), ...irq() }, 3),
      flagByte(2, 67, '08'),
    ]),
    on(O, 'the flag number is not checked', [
      ...UP,
      ...PORTS,
      hvSignal(8, { ...status(0), ...irq() }, 40),
      hvSignal(8, status(0), 9999),
    ]),
  ),
]
