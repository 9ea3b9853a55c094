/** Calls on connections of the TLFS and OpenVMM: each status that they list, reached. */

import { describe } from 'vitest'
import {
  at,
  completes,
  connect,
  FAST,
  flagByte,
  hostWrite,
  hvPost,
  hvSignal,
  hypercall,
  IDENTIFIED,
  irq,
  MASK_SINT2,
  op,
  POST_MESSAGE,
  port,
  postInput,
  type Scenario,
  SIGNAL_EVENT,
  SIMP_GPA,
  type Step,
  scenarios,
  sees,
  status,
  stores,
  UNMASK_SINT2,
  UP,
  u32s,
  write,
} from '../support/script.js'

const INPUT = 0x8000
const input = (hex: string, gpa: number | string = INPUT) => stores(gpa, hex)
const PORTS: readonly Step[] = [
  port(3, 'message'),
  connect(7, 3),
  port(4, 'event', { flag_base: 64, flag_count: 32 }),
  connect(8, 4),
]
const ready: readonly Step[] = [...IDENTIFIED, ...UP]
const delivered = { ...status(0), ...irq() }
/** HvPostMessage's 256 bytes. */
const message = (connection: number, type: number, size: number) =>
  postInput(connection, type, size).padEnd(512, '0')

describe('TLFS', () =>
  scenarios([
    [
      'HvPostMessage in the order of its checks',
      'tlfs',
      [
        ...ready,
        ...PORTS,
        port(6, 'message', { sint: 3 }),
        connect(16, 6),
        hvPost(9, status(18), 0),
        hvPost(8, status(17), 0),
        write('SIMP', 0x1000),
        hvPost(7, status(5), 0),
        hvPost(7, status(24)),
        write('SIMP', 0x1001),
        write('SCONTROL', 0),
        hvPost(7, status(24)),
        write('SCONTROL', 1),
        hvPost(7, delivered),
        ...Array.from({ length: 16 }, () => hvPost(7, status(0))),
        hvPost(7, status(19)),
        hvPost(16, status(0)),
        completes(2, irq()),
        hvPost(7, status(0)),
      ],
    ],
    [
      'a port of an absent VP',
      { profile: 'tlfs' },
      [...ready, ...PORTS, hostWrite('VP_INDEX', 3), hvPost(7, status(14)), hvSignal(8, status(14))],
    ],
    [
      'HvSignalEvent in the order of its checks',
      'tlfs',
      [
        ...ready,
        ...PORTS,
        hvSignal(9, status(18)),
        hvSignal(7, status(17)),
        write('SIEFP', 0x2000),
        hvSignal(8, status(5), 32),
        hvSignal(8, status(24)),
        write('SIEFP', 0x2001),
        write('SCONTROL', 0),
        hvSignal(8, status(24)),
        write('SCONTROL', 1),
        MASK_SINT2,
        hvSignal(8, status(24)),
        UNMASK_SINT2,
        hvSignal(8, delivered, 1),
        flagByte(2, 65, '02'),
        hvSignal(8, status(0), 1),
      ],
    ],
    [
      'HvPostMessage within one page, 8-aligned, in memory',
      { profile: 'tlfs', gpaPages: 16 },
      [
        ...ready,
        ...PORTS,
        hypercall(POST_MESSAGE, 0x8f80, status(4)),
        hypercall(POST_MESSAGE, 0x10000, status(4)),
        hypercall(SIGNAL_EVENT, 0x10000, status(4)),
        input(message(7, 1, 8)),
        hypercall(POST_MESSAGE, INPUT, { ...delivered, value: '0x0', delivery: undefined }),
        input(u32s(8, 0), 0x9000),
        hypercall(SIGNAL_EVENT, 0x9000, { ...delivered, value: '0x0' }),
      ],
    ],
    [
      'the sender of a message is its port',
      'tlfs',
      [
        ...ready,
        ...PORTS,
        hvPost(7, delivered, 1, 'aabb'),
        sees(SIMP_GPA + 512 + 4, `02000000${u32s(3, 0)}aabb`),
      ],
    ],
    [
      'VP any goes to the lowest VP that takes messages',
      { profile: 'tlfs', vcpus: 3 },
      [
        op({ op: 'port.create', port: 5, type: 'message', sint: 2 }, status(0)),
        connect(7, 5),
        op({ op: 'port.create', port: 6, type: 'event', sint: 2 }, status(0)),
        connect(8, 6),
        hvPost(7, status(24)),
        hvSignal(8, status(24)),
        ...UP.map((step) => at(2, step)),
        hvPost(7, { ...status(0), ...irq(0xf3, 2) }),
        hvSignal(8, { ...status(0), ...irq(0xf3, 2) }, 9),
      ],
    ],
    [
      'HvNotifyPortRingEmpty names a SINT',
      'tlfs',
      [
        ...ready,
        hypercall(0x8b + FAST, 5, status(0)),
        hypercall(0x8b + FAST, 16, status(5)),
        input(u32s(5)),
        hypercall(0x8b, INPUT, status(0)),
      ],
    ],
    [
      'HvNotifyPortRingEmpty at no memory, as any input that cannot be read',
      { profile: 'tlfs', gpaPages: 16 },
      [...ready, hypercall(0x8b, 0x10000, status(4)), hypercall(0x8b, 0x8004, status(4))],
    ],
  ]))

const self = u32s(0xffff_ffff, 0xffff_ffff)
/** Partition, VP, VTL, SINT, flag. */
const direct = (sint: number, partition = self) => `${partition}${u32s(0, sint << 8)}`
describe('OpenVMM', () =>
  scenarios([
    [
      'unknown id or other type 18, size 5, accepted 0, queue full 19',
      'openvmm',
      [
        ...ready,
        ...PORTS,
        hvPost(9, status(18)),
        hvPost(8, status(18)),
        hvSignal(9, status(18)),
        hvSignal(7, status(18)),
        input(message(7, 1, 241)),
        hypercall(POST_MESSAGE, INPUT, status(5)),
        hvPost(7, delivered),
        hvSignal(8, delivered),
        hvPost(7, status(0)),
      ],
    ],
    [
      'no target for its handler',
      'openvmm',
      [...ready, ...PORTS, hostWrite('VP_INDEX', 3), hvPost(7, status(19)), hvSignal(8, status(0))],
    ],
    [
      'VP any',
      { profile: 'openvmm', vcpus: 2 },
      [
        op({ op: 'port.create', port: 5, type: 'message', sint: 2 }, status(0)),
        connect(7, 5),
        ...UP,
        hvPost(7, delivered),
      ],
    ],
    ['port management is not its business', 'openvmm', [...ready, hypercall(0x95, INPUT, status(2))]],
    [
      'the direct calls: SINT and partition 5, not VTL 2 8, fast 3',
      ['openvmm', 'tlfs'],
      [
        ...ready,
        input(direct(16)),
        hypercall(0xc0, INPUT, status(5)),
        hypercall(0xc1, INPUT, status(5)),
        input(direct(0)),
        hypercall(0xc0, INPUT, status(5)),
        hypercall(0xc1, INPUT, status(8)),
        input(direct(2, u32s(77, 0))),
        hypercall(0xc0, INPUT, status(5)),
        hypercall(0xc1, INPUT, status(5)),
        input(direct(2)),
        hypercall(0xc0, INPUT, status(8)),
        hypercall(0xc0 + FAST, INPUT, status(3)),
        hypercall(0xc1 + FAST, INPUT, status(3)),
      ],
    ],
  ]))

describe('privileges', () =>
  scenarios(
    [
      ['HvCreatePort and HvDeletePort need EBX 6', 0x80, [0x95, 0x58]] as const,
      ['HvConnectPort and HvDisconnectPort need EBX 7', 0x40, [0x96, 0x5b]] as const,
    ].map(
      ([why, ebx, codes]): Scenario => [
        why,
        { profile: 'tlfs', kind: 'root', options: { cpuid: { ebx } } },
        [
          ...ready,
          ...codes.map((code) => hypercall(code, INPUT, status(6))),
          hypercall(0x8b + FAST, 5, status(0)),
        ],
      ],
    ),
  ))
