/** Doorbells, and the event rings that they fill. */

import { describe } from 'vitest'
import type { MachineSetup } from '../support/machine.js'
import {
  at,
  type Expected,
  FAST,
  hostWrite,
  hypercall,
  IDENTIFIED,
  irq,
  irqs,
  op,
  payload,
  type Step,
  scenarios,
  sees,
  slotHas,
  status,
  stores,
  UP,
  u32s,
  write,
} from '../support/script.js'

const ROOT: MachineSetup = { profile: 'tlfs', kind: 'l1vh' }
const RING = 0x3000 + 5 * 256
const bell = (more: Record<string, number | string> = {}, expected: Expected = status(0)) =>
  op({ op: 'connection.create', connection: 7, port: 9, gpa: 0x9000, ...more }, expected)
const ringing: readonly Step[] = [
  ...UP,
  write('SIRBP', 0x3001),
  write('SINT5', 0xf5),
  op({ op: 'port.create', port: 9, type: 'doorbell', sint: 5 }, status(0)),
]
const rung = { doorbells: [{ port: 9 }] }
const silent = { doorbells: undefined }
const ring = (expected: Expected) => stores(0x9000, '01', expected)
const notified = { ...irq(0xf5), ...rung }
const header = (hex: string) => sees(RING, hex)
/** 63 doorbells fill a ring. */
const filledRing: readonly Step[] = [...ringing, bell(), ...Array.from({ length: 63 }, () => ring(notified))]

describe('doorbells', () =>
  scenarios([
    [
      'the port id enters the ring and SINT5 is asserted',
      ROOT,
      [
        ...ringing,
        bell(),
        ring(notified),
        sees(RING, '000000000900000000000000'),
        ring(notified),
        sees(RING, `00000000${u32s(9, 9, 0)}`),
      ],
    ],
    [
      'memory is written too, and the place must match',
      ROOT,
      [...ringing, bell(), stores(0x9001, 'aa', silent), ring(notified), sees(0x9000, '01aa')],
    ],
    [
      'atomic steps of the guest ring, nothing that the host writes does',
      ROOT,
      [
        ...ringing,
        bell(),
        ...(['mem.xchg', 'mem.cas'] as const).flatMap((name) => {
          const step = { op: name, gpa: 0x9000, len: 1, value: 1 }
          const input = name === 'mem.cas' ? { ...step, expect: 1 } : step
          return [ring(notified), op(input, notified), op({ ...input, by: 'host' }, silent)]
        }),
        op({ op: 'mem.write', gpa: 0x9000, hex: '01', by: 'host' }, silent),
      ],
    ],
    [
      'one value alone, or any',
      ROOT,
      [
        ...ringing,
        bell({ value: 3 }),
        ring(silent),
        stores(0x9000, '03', notified),
        stores(0x9000, '0300000000000000', notified),
        stores(0x9000, '0300000001000000', silent),
      ],
    ],
    [
      'one width alone',
      ROOT,
      [
        ...ringing,
        bell({ len: 2 }),
        stores(0x9000, '01', silent),
        stores(0x9000, '0101', notified),
        stores(0x9000, '01010101', silent),
      ],
    ],
    [
      'a store of another width than 1, 2, 4, 8 rings nothing',
      ROOT,
      [...ringing, bell(), stores(0x9000, '010203', silent)],
    ],
    [
      'an atomic exchange rings',
      ROOT,
      [...ringing, bell(), op({ op: 'mem.xchg', gpa: 0x9000, len: 4, value: 7 }, notified)],
    ],
    [
      'two doorbells at one place',
      ROOT,
      [
        ...ringing,
        bell(),
        bell({ connection: 8 }),
        ring({ ...irqs(0xf5, 0xf5), doorbells: [{ port: 9 }, { port: 9 }] }),
        op({ op: 'connection.delete', connection: 8 }, status(0)),
        ring(notified),
        op({ op: 'connection.delete', connection: 7 }, status(0)),
        ring(silent),
      ],
    ],
    [
      'a deleted port is not rung',
      ROOT,
      [...ringing, bell(), op({ op: 'port.delete', port: 9 }, status(0)), ring(silent)],
    ],
    [
      'a doorbell port rings SINT5 of a vCPU with a ring, or nobody',
      { ...ROOT, vcpus: 2 },
      [
        ...ringing,
        op({ op: 'port.create', port: 10, type: 'doorbell', vcpu: 1, sint: 5 }, status(0)),
        bell({ port: 10 }),
        ring(silent),
        at(1, write('SIRBP', 0x4001)),
        at(1, write('SINT5', 0xf6)),
        ring({ ...irq(0xf6, 1), doorbells: [{ port: 10 }] }),
      ],
    ],
    [
      'nor one on another SINT, nor of a VP that went away',
      ROOT,
      [
        ...ringing,
        op({ op: 'port.create', port: 10, type: 'doorbell', sint: 4 }, status(0)),
        bell({ port: 10 }),
        ring(silent),
        op({ op: 'port.create', port: 11, type: 'doorbell', vcpu: 0, sint: 5 }, status(0)),
        bell({ port: 11, connection: 8 }),
        hostWrite('VP_INDEX', 4),
        ring(silent),
      ],
    ],
    ['VP any without any ring', ROOT, [...ringing, bell(), write('SIRBP', 0x3000), ring(silent)]],
    [
      'a ring without memory',
      { ...ROOT, gpaPages: 16 },
      [...ringing, bell(), write('SIRBP', 0x10001), ring(silent)],
    ],
    [
      'while the consumer drains nobody is notified',
      ROOT,
      [...ringing, bell(), stores(RING, '01'), ring(rung), sees(RING, '010000000900')],
    ],
    [
      'with as-intercept SINT0 gets a message that names SINT5',
      ROOT,
      [
        ...ringing,
        write('SINT0', 0xf0),
        write('SINT5', 0x800f5),
        bell(),
        ring({ ...irq(0xf0), ...rung }),
        slotHas(0, 0x8000_0061),
        payload(0, '05000000'),
      ],
    ],
    [
      'a full ring says so, and what waits is appended on notice',
      ROOT,
      [
        ...filledRing,
        ring(notified),
        header('00010000'),
        stores(RING, '0000'),
        stores(RING + 4, '00000000'),
        ...IDENTIFIED,
        hypercall(0x8b + FAST, 5, status(0)),
        sees(RING + 4, u32s(9)),
        hypercall(0x8b + FAST, 5, status(0)),
        ring(notified),
        header('00010000'),
      ],
    ],
    [
      'behind a full ring only so many wait, and all others are implied',
      ROOT,
      [
        ...filledRing,
        ...Array.from({ length: 4100 }, () => ring(notified)),
        stores(RING, '00'.repeat(256)),
        ...IDENTIFIED,
        hypercall(0x8b + FAST, 5, status(0)),
        sees(RING, `00010000${u32s(9)}`),
        sees(RING + 252, u32s(9)),
      ],
    ],
    [
      'what a drained ring has no room for goes on waiting, and the ring says so',
      ROOT,
      [
        ...filledRing,
        ...Array.from({ length: 64 }, () => ring(notified)),
        ...IDENTIFIED,
        stores(RING, '00'.repeat(256)),
        hypercall(0x8b + FAST, 5, status(0)),
        header('00010000'),
        stores(RING, '00'.repeat(256)),
        hypercall(0x8b + FAST, 5, status(0)),
        sees(RING, `00000000${u32s(9, 0)}`),
      ],
    ],
    [
      'reset forgets the ring',
      ROOT,
      [
        ...ringing,
        bell(),
        ring(notified),
        op({ op: 'vcpu.reset', vcpu: 0 }),
        ...ringing.slice(0, -1),
        stores(RING + 4, '00000000'),
        ring(notified),
        sees(RING + 4, u32s(9, 0)),
      ],
    ],
    [
      'another driver that switches SIRBP on again finds the rings at their beginning',
      ROOT,
      [
        ...ringing,
        bell(),
        ring(notified),
        write('SIRBP', 0x3000),
        stores(RING + 4, '00000000'),
        write('SIRBP', 0x3001),
        ring(notified),
        sees(RING + 4, u32s(9, 0)),
      ],
    ],
    ['SIRBP disabled takes no notice', ROOT, [...IDENTIFIED, hypercall(0x8b + FAST, 5, status(0))]],
  ]))
