/** Kernel events, each replayed: what is checked, and what deviates. */
import { describe, expect, it } from 'vitest'
import type { Check } from '../../src/replay/ftrace-report.js'
import { replayEvents } from '../support/ftrace.js'
import {
  ASSERTED,
  accept,
  acked,
  CALLBACK,
  checked,
  ENABLED,
  EOM,
  eoi,
  expiry,
  hostWrite,
  inject,
  ONE_SHOT,
  oneShot,
  PERIODIC,
  periodic,
  rdmsr,
  SIMP,
  SINT2,
  sendEoi,
  setIrq,
  timer,
  wrmsr,
} from '../support/kvm-events.js'

interface Row {
  readonly events: readonly string[]
  readonly checks: Partial<Record<Check, number>>
  /** What is less than certain, from the words of the report. */
  readonly unsure?: readonly string[]
}

const WRITES = { writes: 3 }
const WITH_TIMER = { writes: 5, timer_starts: 1 }

describe('what agrees', () => {
  it.each<[string, Row]>([
    [
      'a read of what was written',
      { events: [...ENABLED, rdmsr(SIMP, 'fa1001')], checks: { ...WRITES, reads: 1 } },
    ],
    [
      'a host write, then a read',
      { events: [hostWrite(SIMP, 'fa1001'), rdmsr(SIMP, 'fa1001')], checks: { reads: 1 } },
    ],
    [
      'an access that faults',
      { events: [...ENABLED, ...wrmsr(SINT2, '5', ' (#GP)')], checks: { ...WRITES, faults: 1 } },
    ],
    [
      'a register KVM has not',
      { events: [...ENABLED, rdmsr('40000085', '0', ' (#GP)')], checks: { ...WRITES, faults: 1 } },
    ],
    ['an edge from outside', { events: ASSERTED, checks: { ...WRITES, interrupts: 2 } }],
    [
      'the same, told the other way round',
      { events: [...ENABLED, setIrq(243, 1), accept(243)], checks: { ...WRITES, interrupts: 2 } },
    ],
    [
      'a masked SINT that refuses',
      {
        events: [...ENABLED, ...wrmsr(SINT2, '100f3'), setIrq(243, -2)],
        checks: { writes: 4, interrupts: 1 },
      },
    ],
    [
      'a whole interrupt',
      {
        events: [
          ...ASSERTED,
          inject(243),
          eoi(243),
          sendEoi(243),
          acked(2),
          'kvm_msr: msr_write 40000070 = 0x0',
        ],
        checks: { writes: 4, interrupts: 2, injections: 1, eois: 2, acknowledgements: 1 },
      },
    ],
    [
      'the EOI told by the SynIC alone',
      {
        events: [...ASSERTED, inject(243), sendEoi(243), acked(2)],
        checks: { ...WRITES, interrupts: 2, injections: 1, eois: 2, acknowledgements: 1 },
      },
    ],
    [
      'the EOI told by the register alone',
      {
        events: [
          ...ASSERTED,
          inject(243),
          'kvm_msr: msr_write 40000070 = 0x0',
          accept(243),
          setIrq(243, 1),
          inject(243),
        ],
        checks: { writes: 4, interrupts: 4, injections: 2 },
      },
    ],
    [
      'EOM, which acknowledges every SINT',
      {
        events: [...ENABLED, wrmsr(EOM, '0')[0], acked(0), acked(15), wrmsr(EOM, '0')[1]],
        checks: { writes: 4, acknowledgements: 2 },
      },
    ],
    ['a start', { events: ONE_SHOT, checks: WITH_TIMER }],
    [
      'a delivered expiry, in the order of the kernel',
      {
        events: [...ONE_SHOT, CALLBACK, accept(243), setIrq(243, 1), expiry(0), inject(243)],
        checks: { ...WITH_TIMER, interrupts: 2, timer_expirations: 1, injections: 1 },
      },
    ],
    [
      'a delivered expiry, told first',
      {
        events: [...ONE_SHOT, CALLBACK, expiry(0), setIrq(243, 1), accept(243)],
        checks: { ...WITH_TIMER, interrupts: 2, timer_expirations: 1 },
      },
    ],
    [
      'an expiry without a callback',
      {
        events: [...ONE_SHOT, expiry(0), rdmsr('400000b0', '20008')],
        checks: { ...WITH_TIMER, timer_expirations: 1, reads: 1 },
      },
    ],
    [
      'a direct expiry',
      {
        events: [
          ...ENABLED,
          ...timer(0, '1f09', 5_001_000),
          oneShot(5_000_000, 5_001_000),
          CALLBACK,
          accept(240),
          expiry(0, 1),
          inject(240),
        ],
        checks: { ...WITH_TIMER, interrupts: 1, timer_expirations: 1, injections: 1 },
      },
    ],
    [
      'periods, with one dropped at a full slot and one that came late',
      {
        events: [
          ...PERIODIC,
          CALLBACK,
          accept(243),
          setIrq(243, 1),
          expiry(0),
          periodic(5_001_010, 5_002_000),
          CALLBACK,
          expiry(0),
          periodic(5_004_010, 5_005_000),
        ],
        checks: { writes: 5, timer_starts: 3, interrupts: 2, timer_expirations: 2 },
      },
    ],
    [
      'a page that is not enabled',
      {
        events: [
          ...ENABLED,
          ...wrmsr(SIMP, '0'),
          ...timer(0, '20009', 5_001_000),
          oneShot(5_000_000, 5_001_000),
          CALLBACK,
          expiry(-2),
        ],
        checks: { ...WITH_TIMER, writes: 6, timer_expirations: 1 },
      },
    ],
    [
      'an IPI by the Hyper-V register',
      {
        events: [...ENABLED, accept(80), 'kvm_msr: msr_write 40000071 = 0x40050', inject(80), eoi(80)],
        checks: { writes: 4, interrupts: 1, injections: 1, eois: 1 },
      },
    ],
    [
      'a fast hypercall',
      {
        events: [
          ...ENABLED,
          'kvm_hv_hypercall: code 0x5d fast var_cnt 0x0 rep_cnt 0x0 idx 0x0 in 0x1000001 out 0x0',
          'kvm_hv_hypercall_done: result 0x3',
        ],
        checks: { ...WRITES, hypercalls: 1 },
      },
    ],
    [
      'a message behind a full slot, sent again at EOM',
      {
        events: [
          ...ONE_SHOT,
          CALLBACK,
          expiry(-11),
          ...wrmsr(EOM, '0'),
          accept(243),
          setIrq(243, 1),
          expiry(0),
        ],
        checks: { writes: 6, timer_starts: 1, timer_expirations: 2, interrupts: 2 },
        unsure: ['a slot was taken by a message', 'a message is assumed freed at the next EOM or EOI'],
      },
    ],
  ])('%s', async (_what, { events, checks, unsure = [] }) => {
    const report = await replayEvents(events)
    expect(report.mismatches).toEqual([])
    expect(checked(report)).toEqual(checks)
    expect(report.uncertain.map(({ what }) => what)).toEqual(
      unsure.map((why) => expect.stringContaining(why)),
    )
    expect(report.certainty).toBe(unsure.length === 0 ? 'exact' : 'lowered')
  })
})

describe('what deviates', () => {
  it.each<[string, readonly string[], string, string]>([
    ['a read', [...ENABLED, rdmsr(SIMP, 'fa1000')], '0xfa1000', '0xfa1001'],
    ['a fault', [...ENABLED, ...wrmsr(SINT2, 'f4', ' (#GP)')], '#GP', 'no fault'],
    ['no fault', [...ENABLED, ...wrmsr(SINT2, '5')], 'no fault', '#GP'],
    ['the vector of a SINT', [...ENABLED, setIrq(242, 1)], 'vector 242, ret 1', 'vector 243, accepted'],
    [
      'a masked SINT that answers',
      [...ENABLED, ...wrmsr(SINT2, '100f3'), setIrq(243, 1)],
      'vector 243, ret 1',
      'refused (-2), the SINT is masked',
    ],
    [
      'an open SINT that refuses',
      [...ENABLED, setIrq(243, -2)],
      'vector 243, ret -2',
      'vector 243, accepted',
    ],
    ['a SINT there is not', [...ENABLED, setIrq(243, 1, 16)], 'ret 1', 'ret -22'],
    [
      'a lower vector taken first',
      [...ASSERTED, ...wrmsr('40000093', '60'), accept(96), setIrq(96, 1, 3), ...ENABLED, inject(96)],
      'vector 96',
      'vector 243',
    ],
    [
      'a SINT acknowledged',
      [...ASSERTED, ...wrmsr('40000093', '60'), inject(243), eoi(243), acked(3)],
      'SINT3 acknowledged',
      'not acknowledged',
    ],
    [
      'the count of a timer',
      [...ENABLED, ...timer(0, '20009', 5_001_000), oneShot(5_000_000, 5_001_001)],
      'count 5001001',
      'count 5001000',
    ],
    [
      'the mode of a timer',
      [...ENABLED, ...timer(0, '20009', 1000), periodic(5_000_000, 5_001_000)],
      'periodic',
      'one-shot',
    ],
    [
      'the phase of a timer',
      [...PERIODIC, CALLBACK, expiry(0), periodic(5_001_010, 5_092_345)],
      'exp_time 5092345',
      'exp_time 5002000',
    ],
    ['the kind of an expiry', [...ONE_SHOT, CALLBACK, expiry(0, 1)], 'direct 1', 'direct 0'],
    [
      'an expiry before its time',
      [...ENABLED, ...timer(0, '20009', 6_000_000), oneShot(5_000_000, 6_000_000), expiry(0)],
      'an expiry',
      expect.stringContaining('due in '),
    ],
    [
      'an expiry without a page',
      [
        ...ENABLED,
        ...wrmsr(SIMP, '0'),
        ...timer(0, '20009', 5_001_000),
        oneShot(5_000_000, 5_001_000),
        expiry(0),
      ],
      'result 0',
      'result -2',
    ],
    ['an expiry that finds no page', [...ONE_SHOT, expiry(-2)], 'result -2', 'result 0'],
    [
      'the status of a hypercall',
      [
        'kvm_hv_hypercall: code 0x5d fast var_cnt 0x0 rep_cnt 0x1 idx 0x0 in 0x1 out 0x0',
        'kvm_hv_hypercall_done: result 0x0',
      ],
      'status 0x0',
      'status 0x3',
    ],
  ])('%s', async (_what, events, expected, actual) => {
    const report = await replayEvents(events)
    expect(report.mismatches).toEqual([expect.objectContaining({ expected, actual })])
    expect(report.mismatch_count).toBe(1)
  })

  it('does not make what follows deviate too', async () => {
    const events = [
      ...ENABLED,
      rdmsr(SIMP, 'aa1001'),
      rdmsr(SIMP, 'aa1001'),
      setIrq(242, 1),
      setIrq(242, 1),
      inject(242),
    ]
    const report = await replayEvents(events)
    expect(report.mismatches.map(({ line }) => line)).toEqual([7, 9])
    expect(checked(report)).toMatchObject({ injections: 1 })
  })
})
