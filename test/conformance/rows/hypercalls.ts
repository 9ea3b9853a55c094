/** Rows 71 to 81: HvPostMessage and HvSignalEvent. */
import {
  connect,
  FAST,
  HYPERCALL_EXIT,
  hvPost,
  hvSignal,
  hypercall,
  IDENTIFIED,
  irq,
  POST_MESSAGE,
  port,
  postInput,
  SIGNAL_EVENT,
  type Step,
  status,
  stores,
  UD,
  UP,
  write,
} from '../../support/script.js'
import { K1, K2, KVM, O, on, Q, type Row, row, T } from './row.js'

const INPUT = 0x8000
const SIGNAL_FAST = SIGNAL_EVENT + FAST
const POST_FAST = POST_MESSAGE + FAST
const NO_POST_NO_SIGNAL = { enforce_cpuid: true, cpuid: { ebx: 0 } }
/** A guest that may call: identified, its hypercall page laid. */
const ready: readonly Step[] = [...IDENTIFIED, ...UP]
const PORTS: readonly Step[] = [
  port(3, 'message'),
  connect(7, 3),
  port(4, 'event', { flag_base: 64, flag_count: 32 }),
  connect(8, 4),
]
const input = (hex: string, gpa = INPUT) => stores(gpa, hex.padEnd(512, '0'))
const accepted = { ...status(0), ...irq() }

export const hypercallRows: readonly Row[] = [
  row(
    71,
    on([K1, K2], 'a signal to an unknown connection goes to the VMM', [
      ...ready,
      hypercall(SIGNAL_FAST, 9, {
        hcall_exit: { vcpu: 0, input: '0x1005d', params: ['0x9', '0x0'] },
        status: undefined,
      }),
    ]),
    on([Q, O, T], 'a signal to an unknown connection is 18', [
      ...ready,
      hypercall(SIGNAL_FAST, 9, status(18)),
    ]),
  ),
  row(
    72,
    on([K1, K2], 'a post to an unknown connection goes to the VMM', [
      ...ready,
      hypercall(POST_MESSAGE, INPUT, HYPERCALL_EXIT),
    ]),
    on([Q, O, T], 'a post to an unknown connection is 18', [
      ...ready,
      input(postInput(9, 1, 0)),
      hypercall(POST_MESSAGE, INPUT, status(18)),
    ]),
  ),
  row(
    73,
    on([Q, O], 'the wrong type of port is 18', [
      ...ready,
      ...PORTS,
      hvSignal(7, status(18)),
      hvPost(8, status(18)),
    ]),
    on(T, 'the wrong type of port is 17', [
      ...ready,
      ...PORTS,
      hvSignal(7, status(17)),
      hvPost(8, status(17)),
    ]),
  ),
  row(
    74,
    on([K1, K2], 'id bits 31:24: a signal is 3, a post goes to the VMM', [
      ...ready,
      hypercall(SIGNAL_FAST, 0x1000008, status(3)),
      input(postInput(0x1000007, 1, 0)),
      hypercall(POST_MESSAGE, INPUT, HYPERCALL_EXIT),
    ]),
    on(Q, 'id bits 31:24: a signal is 3, a post ignores them', [
      ...ready,
      ...PORTS,
      hypercall(SIGNAL_FAST, 0x1000008, status(3)),
      input(postInput(0x1000007, 1, 0)),
      hypercall(POST_MESSAGE, INPUT, accepted),
    ]),
    on([O, T], 'id bits 31:24 name another connection', [
      ...ready,
      ...PORTS,
      hypercall(SIGNAL_FAST, 0x1000008, status(18)),
      input(postInput(0x1000007, 1, 0)),
      hypercall(POST_MESSAGE, INPUT, status(18)),
    ]),
  ),
  row(
    75,
    on([K1, K2], 'a payload above 240 bytes goes to the VMM', [
      ...ready,
      input(postInput(7, 1, 241)),
      hypercall(POST_MESSAGE, INPUT, HYPERCALL_EXIT),
    ]),
    on(Q, 'a payload above 240 bytes is 3', [
      ...ready,
      ...PORTS,
      input(postInput(7, 1, 241)),
      hypercall(POST_MESSAGE, INPUT, status(3)),
    ]),
    on([O, T], 'a payload above 240 bytes is 5', [
      ...ready,
      ...PORTS,
      input(postInput(7, 1, 241)),
      hypercall(POST_MESSAGE, INPUT, status(5)),
      input(postInput(7, 1, 240)),
      hypercall(POST_MESSAGE, INPUT, accepted),
    ]),
  ),
  row(
    76,
    on([K1, K2], 'a fast post goes to the VMM', [...ready, hypercall(POST_FAST, 7, HYPERCALL_EXIT)]),
    on(Q, 'a fast post is 2', [...ready, ...PORTS, hypercall(POST_FAST, 7, status(2))]),
    on([O, T], 'a fast post is no valid input', [...ready, ...PORTS, hypercall(POST_FAST, 7, status(3))]),
  ),
  row(
    77,
    on(Q, 'a staging area in use is 19', [
      ...ready,
      ...PORTS,
      hvPost(7, accepted),
      hvPost(7, status(0)),
      hvPost(7, status(19)),
    ]),
    on(O, 'a full queue is 19', [
      ...ready,
      ...PORTS,
      hvPost(7, accepted),
      ...Array.from({ length: 4096 }, () => hvPost(7, status(0))),
      hvPost(7, status(19)),
    ]),
    on(T, 'the seventeenth message that waits is 19', [
      ...ready,
      ...PORTS,
      hvPost(7, accepted),
      ...Array.from({ length: 16 }, () => hvPost(7, status(0))),
      hvPost(7, status(19)),
    ]),
  ),
  row(
    78,
    on([K1, K2], 'misaligned input: a signal is 4, a post goes to the VMM', [
      ...ready,
      hypercall(SIGNAL_EVENT, INPUT + 4, status(4)),
      hypercall(POST_MESSAGE, INPUT + 1, HYPERCALL_EXIT),
    ]),
    on(Q, 'misaligned input: a signal is 4, a post is unless 4-aligned', [
      ...ready,
      ...PORTS,
      hypercall(SIGNAL_EVENT, INPUT + 4, status(4)),
      hypercall(POST_MESSAGE, INPUT + 2, status(4)),
      input(postInput(7, 1, 0), INPUT + 4),
      hypercall(POST_MESSAGE, INPUT + 4, accepted),
    ]),
    on([O, T], 'misaligned input is 4', [
      ...ready,
      ...PORTS,
      hypercall(SIGNAL_EVENT, INPUT + 4, status(4)),
      hypercall(POST_MESSAGE, INPUT + 4, status(4)),
    ]),
  ),
  row(
    79,
    on(
      [...KVM, O],
      'a missing privilege is 6 with enforce_cpuid',
      [...ready, hypercall(POST_MESSAGE, INPUT, status(6)), hypercall(SIGNAL_FAST, 8, status(6))],
      { options: NO_POST_NO_SIGNAL },
    ),
    on(
      [K1, K2],
      'and is not looked at without it',
      [...ready, hypercall(POST_MESSAGE, INPUT, HYPERCALL_EXIT)],
      {
        options: { cpuid: { ebx: 0 } },
      },
    ),
    on(Q, 'and is not looked at without it', [...ready, hypercall(SIGNAL_FAST, 8, status(18))], {
      options: { cpuid: { ebx: 0 } },
    }),
    on(T, 'a missing privilege is 6', [...ready, hvPost(7, status(6)), hvSignal(8, status(6))], {
      options: { cpuid: { ebx: 0 } },
    }),
  ),
  row(
    80,
    on(
      [K1, K2],
      'while the SynIC is inactive a post is 3',
      [
        hypercall(POST_MESSAGE, INPUT, status(3)),
        hvPost(7, status(3)),
        hypercall(SIGNAL_FAST, 9, status(3)),
        hypercall(SIGNAL_FAST, '0x100000009', status(3)),
      ],
      { profile: 'kvm' },
    ),
  ),
  row(
    81,
    on([K1, K2], 'the hypercall page need not be enabled', [
      write('GUEST_OS_ID', 1),
      hypercall(POST_MESSAGE, INPUT, HYPERCALL_EXIT),
    ]),
    on([Q, O], 'the hypercall page need not be enabled', [
      write('GUEST_OS_ID', 1),
      hypercall(SIGNAL_FAST, 9, status(18)),
    ]),
    on(T, 'without the page there is nothing to call', [
      write('GUEST_OS_ID', 1),
      hypercall(SIGNAL_FAST, 9, { ...UD, status: undefined }),
      write('HYPERCALL', 0x5001),
      hypercall(SIGNAL_FAST, 9, status(18)),
    ]),
  ),
]
