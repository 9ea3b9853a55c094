/** OpenVMM's scan: who is looked at, in which order, and what the cached readiness means. */

import { describe } from 'vitest'
import type { MachineSetup } from '../support/machine.js'
import {
  advance,
  at,
  DIRECT,
  type Expected,
  empties,
  HVMSG_TIMER,
  irq,
  irqs,
  MASK_SINT2,
  ONE_SHOT,
  op,
  post,
  type Step,
  scenarios,
  setSlot,
  slotFlags,
  slotHas,
  startTimer,
  stores,
  UNMASK_SINT2,
  UP,
  write,
} from '../support/script.js'

const upAt = (vcpu: number, page: number): Step[] =>
  [write('SCONTROL', 1), write('SIMP', page + 1), write('SINT2', 0xf3)].map((step) => at(vcpu, step))
const TWO: MachineSetup = { profile: 'openvmm', vcpus: 2 }
const both: Expected = {
  irqs: [
    { vcpu: 0, vector: 0xf3 },
    { vcpu: 1, vector: 0xf3 },
  ],
}

describe('the scan', () =>
  scenarios([
    [
      'two vCPUs that both wait are scanned in order of their ids',
      TWO,
      [
        ...upAt(0, 0x1000),
        ...upAt(1, 0x2000),
        at(1, post(2, 'delivered', irq(0xf3, 1))),
        at(1, post(2, 'queued', {}, 5)),
        post(2, 'delivered', irq()),
        post(2, 'queued', {}, 6),
        stores(0x1200, '00'.repeat(0x1004), both),
        slotHas(2, 6, 0x1000),
        slotHas(2, 5, 0x2000),
      ],
    ],
    [
      'SINTs of one vCPU ascending',
      'openvmm',
      [
        ...UP,
        write('SINT1', 0xf1),
        post(2, 'delivered', irq()),
        post(2, 'queued', {}, 5),
        post(1, 'delivered', irq(0xf1)),
        post(1, 'queued', {}, 6),
        stores(0x1100, '00'.repeat(260), irqs(0xf1, 0xf3)),
      ],
    ],
    [
      'a queue behind a SINT that is masked meanwhile is dropped once its slot is empty',
      'openvmm',
      [
        ...UP,
        post(2, 'delivered', irq()),
        post(2, 'queued', {}, 5),
        post(2, 'queued', {}, 6),
        MASK_SINT2,
        slotHas(2, 1),
        empties(2, { dropped: [5, 6].map(() => ({ vcpu: 0, sint: 2, reason: -24 })) }),
        UNMASK_SINT2,
        slotHas(2, 0),
      ],
    ],
    [
      'a slot once seen empty is written without another look',
      'openvmm',
      [...UP, post(2, 'delivered', irq()), empties(2), setSlot(2, 7), post(2, 'queued'), slotFlags(2, '01')],
    ],
    [
      'a timer that is due waits while its vCPU is offline; a host message does not',
      'openvmm',
      [
        ...UP,
        setSlot(2, 9),
        ...startTimer(ONE_SHOT, 100),
        advance(100),
        op({ op: 'vcpu.offline', vcpu: 0 }),
        empties(2),
        slotHas(2, 0),
        post(2, 'delivered', irq(), 5),
        empties(2),
        slotHas(2, 0),
        op({ op: 'vcpu.online', vcpu: 0 }, irq()),
        slotHas(2, HVMSG_TIMER),
      ],
    ],
    [
      'timers that are due together fire in order of index, direct or not',
      'openvmm',
      [
        ...UP,
        ...startTimer(ONE_SHOT, 100),
        ...startTimer(DIRECT, 100, {}, 1),
        ...startTimer(DIRECT + 16, 100, {}, 3),
        ...startTimer(ONE_SHOT + 0x10000, 100, {}, 2),
        write('SINT3', 0xe3),
        advance(100, irqs(0xf3, 0xed, 0xe3, 0xee)),
      ],
    ],
  ]))
