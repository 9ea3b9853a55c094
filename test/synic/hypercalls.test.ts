/** Hypercalls: the control word, and what KVM and QEMU answer. */

import { describe } from 'vitest'
import type { MachineSetup } from '../support/machine.js'
import {
  connect,
  EVERY_PROFILE,
  FAST,
  fails,
  flagByte,
  hostWrite,
  hvPost,
  hvSignal,
  hypercall,
  IDENTIFIED,
  irq,
  KVM_PROFILES,
  op,
  POST_MESSAGE,
  port,
  postInput,
  type Scenario,
  SIGNAL_EVENT,
  type Step,
  scenarios,
  status,
  stores,
  UD,
  UP,
  u32s,
  write,
} from '../support/script.js'

const INPUT = 0x8000
const SIGNAL_FAST = SIGNAL_EVENT + FAST
const input = (hex: string, gpa: number | string = INPUT) => stores(gpa, hex)
const PORTS: readonly Step[] = [
  port(3, 'message'),
  connect(7, 3),
  port(4, 'event', { flag_base: 64, flag_count: 32 }),
  connect(8, 4),
]
const ready: readonly Step[] = [...IDENTIFIED, ...UP]
const delivered = { ...status(0), ...irq() }
const exit = (input: string, first: string, second = '0x0') => ({
  hcall_exit: { vcpu: 0, input, params: [first, second] },
  status: undefined,
})
/** HvPostMessage's 256 bytes. */
const message = (connection: number, type: number, size: number) =>
  postInput(connection, type, size).padEnd(512, '0')

const RESERVED: readonly (readonly [string, string])[] = [
  ['bit 27', '0x800005d'],
  ['bit 44', '0x10000000005d'],
  ['bit 60', '0x100000000000005d'],
]
const REPEATED: readonly (readonly [string, string])[] = [
  ['a variable header', '0x3005d'],
  ['a rep count', '0x10000005d'],
  ['a rep start', '0x100000000005d'],
]

describe('control word', () =>
  scenarios([
    ...RESERVED.map(
      ([bit, control]): Scenario => [
        `${bit} is reserved`,
        EVERY_PROFILE,
        [...ready, hypercall(control, 8, status(3))],
      ],
    ),
    ...REPEATED.map(
      ([what, control]): Scenario => [
        `${what} is no valid input`,
        EVERY_PROFILE,
        [...ready, hypercall(control, 8, status(3)), hypercall(control.replace(/5d$/, '5c'), 8, status(3))],
      ],
    ),
    [
      'bit 31 names the hypervisor below and changes nothing here',
      'tlfs',
      [...ready, hypercall('0x8001005d', 9, status(18))],
    ],
    ['bit 31 is reserved on KVM', KVM_PROFILES, [...ready, hypercall('0x8000005d', 8, status(3))]],
    ['an unknown code', EVERY_PROFILE, [...ready, hypercall(0x1234, 0, { ...status(2), value: '0x2' })]],
    ['KVM has no port calls', KVM_PROFILES, [...ready, hypercall(0x95, INPUT, status(2))]],
    ['an unknown code with reps', 'tlfs', [...ready, hypercall('0x100001234', 0, status(2))]],
    [
      'without a guest OS id KVM answers by its own ABI',
      KVM_PROFILES,
      [hypercall(SIGNAL_FAST, 8, { value: '0xfffffffffffffc18', status: undefined })],
    ],
    ['without one there is no page to call', 'tlfs', [hypercall(SIGNAL_FAST, 8, UD)]],
    ['the golden machine asks for none', { profile: 'kvm' }, [hypercall(0x1234, 0, status(2))]],
  ]))

/** All calls with input in memory. */
const CALLS: readonly (readonly [MachineSetup, readonly number[]])[] = [
  [{ profile: 'tlfs', kind: 'l1vh' }, [0x58, 0x5b, 0x5c, 0x5d, 0x8b, 0x95, 0x96, 0xc0, 0xc1]],
  [{ profile: 'openvmm' }, [0x5c, 0x5d, 0xc0, 0xc1]],
]
describe('input in memory', () =>
  scenarios(
    CALLS.flatMap(([setup, codes]) =>
      codes.map((code): Scenario => {
        const why = `0x${code.toString(16)} is not looked at when it is not aligned to 8`
        // HvNotifyPortRingEmpty would find a SINT there, the direct calls what they refuse otherwise.
        return [why, setup, [...ready, ...[1, 4].map((at) => hypercall(code, INPUT + at, status(4)))]]
      }),
    ),
  ))

describe('KVM', () =>
  scenarios([
    [
      'a slow signal reads its input',
      ['kvm-synic', 'qemu'],
      [
        ...ready,
        op({ op: 'eventfd.assign', conn: 9 }),
        input(u32s(9, 0)),
        hypercall(SIGNAL_EVENT, INPUT, { ...status(0), signals: [{ conn: 9 }] }),
      ],
    ],
    [
      'a slow signal at unreadable memory',
      { profile: 'kvm-synic', gpaPages: 16 },
      [...ready, hypercall(SIGNAL_EVENT, 0x10000, status(4))],
    ],
    [
      'bits 63:48 of the input',
      KVM_PROFILES,
      [...ready, hypercall(SIGNAL_FAST, '0x1000000000008', status(3))],
    ],
    [
      'a flag number asks the VMM',
      'kvm-synic',
      [
        ...ready,
        op({ op: 'eventfd.assign', conn: 9 }),
        hypercall(SIGNAL_FAST, '0x100000009', exit('0x1005d', '0x100000009')),
      ],
    ],
    [
      'a slow signal reaches the VMM dereferenced',
      'kvm-synic',
      [...ready, input(u32s(9, 0)), hypercall(SIGNAL_EVENT, INPUT, exit('0x5d', '0x9'))],
    ],
    [
      'a post reaches the VMM as it is',
      'kvm-synic',
      [
        ...ready,
        op(
          { op: 'hypercall', vcpu: 0, control: POST_MESSAGE, input: INPUT, output: 0x9000 },
          exit('0x5c', '0x8000', '0x9000'),
        ),
      ],
    ],
    [
      'the spelled-out calls exit likewise',
      'kvm-synic',
      [
        hvPost(7, exit('0x5c', '0x0')),
        hvSignal(7, exit('0x1005d', '0x7')),
        hvSignal(7, exit('0x1005d', '0x300000007'), 3),
      ],
    ],
    [
      'a fast signal through an eventfd',
      KVM_PROFILES,
      [
        ...ready,
        op({ op: 'eventfd.assign', conn: 9 }),
        hypercall(SIGNAL_FAST, 9, { ...status(0), value: '0x0', signals: [{ conn: 9 }] }),
        op({ op: 'eventfd.deassign', conn: 9 }),
      ],
    ],
  ]))

describe('KVM_HYPERV_EVENTFD', () =>
  scenarios([
    [
      'an id above 24 bits',
      KVM_PROFILES,
      [
        op({ op: 'eventfd.assign', conn: 0x1000000 }, fails(-22)),
        op({ op: 'eventfd.assign', conn: 0xffffff }),
      ],
    ],
    [
      'an id that is taken',
      KVM_PROFILES,
      [
        op({ op: 'eventfd.assign', conn: 9 }),
        op({ op: 'eventfd.assign', conn: 9 }, fails(-17)),
        op({ op: 'eventfd.deassign', conn: 9 }),
        op({ op: 'eventfd.deassign', conn: 9 }, fails(-2)),
      ],
    ],
    ['exists on KVM alone', ['openvmm', 'tlfs'], [op({ op: 'eventfd.assign', conn: 9 }, fails(-38))]],
  ]))

describe('QEMU', () =>
  scenarios([
    [
      'HvPostMessage: fast 2, alignment 4, size 3, connection 18, accepted 0, staging in use 19',
      'qemu',
      [
        ...ready,
        ...PORTS,
        hypercall(POST_MESSAGE + FAST, 7, status(2)),
        hypercall(POST_MESSAGE, INPUT + 2, status(4)),
        input(message(7, 1, 241)),
        hypercall(POST_MESSAGE, INPUT, status(3)),
        input(message(9, 1, 0)),
        hypercall(POST_MESSAGE, INPUT, status(18)),
        input(message(7, 1, 8)),
        hypercall(POST_MESSAGE, INPUT, delivered),
        hypercall(POST_MESSAGE, INPUT, status(0)),
        hypercall(POST_MESSAGE, INPUT, status(19)),
      ],
    ],
    [
      'HvPostMessage at memory that is not there',
      { profile: 'qemu', gpaPages: 16 },
      [...ready, hypercall(POST_MESSAGE, 0xff80, status(11))],
    ],
    [
      'HvPostMessage may cross pages',
      'qemu',
      [...ready, ...PORTS, input(message(7, 1, 8), 0x8f80), hypercall(POST_MESSAGE, 0x8f80, delivered)],
    ],
    [
      'HvPostMessage may not cross into an overlay, which is another piece of memory',
      'qemu',
      [
        ...ready,
        ...PORTS,
        input(message(7, 1, 8), 0x8f80),
        write('SIEFP', 0x9001),
        hypercall(POST_MESSAGE, 0x8f80, status(11)),
        write('SIEFP', 0x8001),
        hypercall(POST_MESSAGE, 0x8f80, status(11)),
        write('SIEFP', 0xa001),
        hypercall(POST_MESSAGE, 0x8f80, delivered),
      ],
    ],
    [
      'a port whose VP went away',
      'qemu',
      [...ready, ...PORTS, hostWrite('VP_INDEX', 5), hvPost(7, status(3)), hvSignal(8, status(0))],
    ],
    [
      'HvSignalEvent: known 0, flag number 17, reserved bits 3, unknown 18',
      'qemu',
      [
        ...ready,
        ...PORTS,
        hypercall(SIGNAL_FAST, 8, { ...delivered, signals: [{ conn: 8 }] }),
        flagByte(2, 64, '01'),
        hypercall(SIGNAL_FAST, '0x100000008', status(17)),
        hypercall(SIGNAL_FAST, 0x1000008, status(3)),
        hypercall(SIGNAL_FAST, 9, status(18)),
      ],
    ],
    [
      'a slow signal to an unknown connection',
      'qemu',
      [...ready, input(u32s(16, 0)), hypercall(SIGNAL_EVENT, INPUT, status(18))],
    ],
    [
      'with compat_bugs it is dereferenced twice',
      { profile: 'qemu', options: { compat_bugs: true } },
      [
        ...ready,
        input(u32s(9, 0)),
        hypercall(SIGNAL_EVENT, INPUT, status(4)),
        input(u32s(0x9000, 0)),
        input(u32s(0x20, 0), 0x9000),
        hypercall(SIGNAL_EVENT, INPUT, status(18)),
        input(u32s(0x20, 1), 0x9000),
        hypercall(SIGNAL_EVENT, INPUT, status(17)),
        input(u32s(0x20, 0x10000), 0x9000),
        hypercall(SIGNAL_EVENT, INPUT, status(3)),
      ],
    ],
  ]))
