/** Ports and connections: made, used, deleted, by op and by hypercall. */

import { describe } from 'vitest'
import type { MachineSetup } from '../support/machine.js'
import {
  completes,
  connect,
  type Expected,
  eom,
  FAST,
  fails,
  fastHypercall,
  flagByte,
  hvPost,
  hvSignal,
  hypercall,
  IDENTIFIED,
  irq,
  op,
  port,
  type Step,
  scenarios,
  slotHas,
  status,
  stores,
  UP,
  u32s,
  write,
} from '../support/script.js'

const INPUT = 0x8000
const ROOT: MachineSetup = { profile: 'tlfs', kind: 'l1vh' }
const self = u32s(0xffff_ffff, 0xffff_ffff)
const ready: readonly Step[] = [...IDENTIFIED, ...UP]
const message = (more: Record<string, number>, expected: Expected) => port(3, 'message', more, expected)
const event = (more: Record<string, number>, expected: Expected) => port(3, 'event', more, expected)
const doorbell = (expected: Expected) => port(4, 'doorbell', { sint: 5 }, expected)
const anyVp = (expected: Expected) => op({ op: 'port.create', port: 5, type: 'event', sint: 2 }, expected)
const drop = (id: number, code: number) => op({ op: 'port.delete', port: id }, status(code))
const disconnect = (id: number, code: number) => op({ op: 'connection.delete', connection: id }, status(code))

describe('port.create', () =>
  scenarios([
    [
      'checks what it is told',
      ['qemu', 'openvmm', 'tlfs'],
      [
        message({ sint: 16 }, status(5)),
        message({ vcpu: 1 }, status(14)),
        port(0x1000000, 'message', {}, status(5)),
        event({ flag_base: 2048 }, status(5)),
        event({ flag_base: 2000, flag_count: 49 }, status(5)),
        event({ flag_count: 0 }, status(5)),
        event({ flag_base: 2000, flag_count: 48 }, status(0)),
        message({}, status(17)),
      ],
    ],
    ['doorbells and ports of any VP', ['openvmm', 'tlfs'], [doorbell(status(0)), anyVp(status(0))]],
    [
      "QEMU has neither: no rings, and a route is one vCPU's",
      'qemu',
      [doorbell(status(5)), anyVp(status(14))],
    ],
    [
      'ports do not exist on KVM',
      ['kvm-synic', 'kvm-synic2'],
      [
        message({}, fails(-38)),
        op({ op: 'port.delete', port: 3 }, fails(-38)),
        connect(7, 3, fails(-38)),
        op({ op: 'connection.delete', connection: 7 }, fails(-38)),
      ],
    ],
  ]))

describe('connections', () =>
  scenarios([
    [
      'need a port and a free id',
      ['qemu', 'openvmm', 'tlfs'],
      [
        connect(7, 3, status(17)),
        message({}, status(0)),
        connect(0x1000000, 3, status(5)),
        connect(7, 3),
        connect(7, 3, status(18)),
        disconnect(7, 0),
        disconnect(7, 18),
      ],
    ],
    [
      'outlive their port and answer 17',
      'tlfs',
      [
        ...UP,
        message({}, status(0)),
        connect(7, 3),
        port(4, 'message'),
        connect(8, 4),
        hvPost(7, { ...status(0), ...irq() }),
        hvPost(7, status(0), 5),
        hvPost(8, status(0), 6),
        hvPost(7, status(0), 7),
        drop(3, 0),
        drop(3, 17),
        hvPost(7, status(17)),
        hvSignal(7, status(17)),
        completes(2, irq()),
        slotHas(2, 6),
        completes(2),
        slotHas(2, 0),
      ],
    ],
    [
      'an only message goes with its port',
      'tlfs',
      [
        ...UP,
        message({}, status(0)),
        connect(7, 3),
        hvPost(7, { ...status(0), ...irq() }),
        hvPost(7, status(0), 5),
        drop(3, 0),
        completes(2),
        eom(),
        slotHas(2, 0),
      ],
    ],
    [
      'disconnecting leaves what is queued',
      'tlfs',
      [
        ...UP,
        message({}, status(0)),
        connect(7, 3),
        hvPost(7, { ...status(0), ...irq() }),
        hvPost(7, status(0), 5),
        disconnect(7, 0),
        hvPost(7, status(18)),
        completes(2, irq()),
        slotHas(2, 5),
      ],
    ],
    [
      'and ports survive a reset',
      'tlfs',
      [
        message({}, status(0)),
        connect(7, 3),
        op({ op: 'partition.reset' }),
        ...UP,
        hvPost(7, { ...status(0), ...irq() }),
      ],
    ],
    [
      'a deleted port is gone for the other machines too',
      ['qemu', 'openvmm'],
      [...UP, message({}, status(0)), connect(7, 3), drop(3, 0), hvPost(7, status(18))],
    ],
  ]))

/** HvCreatePort: partitions, port id, then the port info. */
const createInput = (id: number, info: string, partition = self) =>
  `${partition}${u32s(id, 0)}${partition}${info.padEnd(48, '0')}${'0'.repeat(16)}`
const connectInput = (id: number, to: number, info: string, partition = self) =>
  `${partition}${u32s(id, 0)}${partition}${u32s(to, 0)}${info.padEnd(64, '0')}${'0'.repeat(16)}`
const idInput = (id: number, partition = self) => `${partition}${u32s(id, 0)}`
const other = u32s(5, 0)
const SELF = '0xffffffffffffffff'
const call = (code: number, hex: string, expected: Expected): Step[] => [
  stores(INPUT, hex),
  hypercall(code, INPUT, expected),
]
const VP_SELF = 0xffff_fffe
const VP_ANY = 0xffff_ffff

describe('the port hypercalls', () =>
  scenarios([
    [
      'create, connect, disconnect and delete',
      ROOT,
      [
        ...ready,
        ...call(0x95, createInput(3, u32s(1, 0, 2, VP_SELF)), status(0)),
        ...call(0x95, createInput(3, u32s(1, 0, 2, VP_SELF)), status(17)),
        ...call(0x96, connectInput(7, 3, u32s(1)), status(0)),
        hvPost(7, { ...status(0), ...irq() }),
        ...call(0x95, createInput(4, u32s(2, 0, 2, 0, 64 + (32 << 16))), status(0)),
        ...call(0x96, connectInput(8, 4, u32s(2)), status(0)),
        hvSignal(8, { ...status(0), ...irq() }),
        flagByte(2, 64, '01'),
        ...call(0x5b, idInput(7), status(0)),
        ...call(0x5b, idInput(7), status(18)),
        ...call(0x58, idInput(3), status(0)),
        ...call(0x58, idInput(3), status(17)),
      ],
    ],
    ['a monitor port is not modelled', ROOT, [...ready, ...call(0x95, createInput(3, u32s(3)), status(5))]],
    [
      'only the own partition is known',
      ROOT,
      [
        ...ready,
        ...call(0x95, createInput(3, u32s(1, 0, 2, 0), other), status(13)),
        ...call(0x96, connectInput(7, 3, u32s(1), other), status(13)),
        ...call(0x58, idInput(3, other), status(13)),
        ...call(0x5b, idInput(7, other), status(13)),
      ],
    ],
    [
      'input in memory is 8-aligned',
      ROOT,
      [
        ...ready,
        ...[0x95, 0x96, 0x58, 0x5b].flatMap((code) => [
          hypercall(code, INPUT + 4, status(4)),
          hypercall(code, 0x1_0000_0000, status(4)),
        ]),
      ],
    ],
    [
      'more than two registers hold comes in memory alone',
      ROOT,
      [...ready, ...[0x95, 0x96].map((code) => hypercall(code + FAST, INPUT, status(3)))],
    ],
    [
      'HvDisconnectPort and HvDeletePort fit RDX and R8, as Linux calls them',
      ROOT,
      [
        ...ready,
        op({ op: 'port.create', port: 3, type: 'message', sint: 2 }, status(0)),
        connect(7, 3),
        fastHypercall(0x5b, '0x5', 7, status(13)),
        fastHypercall(0x5b, SELF, 8, status(18)),
        fastHypercall(0x5b, SELF, 7, status(0)),
        hvPost(7, status(18)),
        fastHypercall(0x58, '0x5', 3, status(13)),
        fastHypercall(0x58, SELF, 3, status(0)),
        fastHypercall(0x58, SELF, 3, status(17)),
      ],
    ],
    [
      'a doorbell connection says where and what',
      ROOT,
      [
        ...ready,
        write('SIRBP', 0x3001),
        write('SINT5', 0xf5),
        ...call(0x95, createInput(9, u32s(4, 0, 5, VP_ANY)), status(0)),
        ...call(0x96, connectInput(7, 9, u32s(1)), status(5)),
        ...call(0x96, connectInput(7, 9, u32s(4, 0, 0x9000, 0, 5, 0, 3)), status(0)),
        stores(0x9000, '05000000', { ...irq(0xf5), doorbells: [{ port: 9 }] }),
        stores(0x9000, '06000000', { doorbells: undefined }),
        stores(0x9000, '0500', { doorbells: undefined }),
      ],
    ],
  ]))
