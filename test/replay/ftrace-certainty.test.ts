/** What a kernel trace cannot tell, what is left out, and whole recordings. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventLine, replayEvents, replayLines } from '../support/ftrace.js'
import {
  ASSERTED,
  accept,
  acked,
  CALLBACK,
  checked,
  ENABLED,
  eoi,
  expiry,
  hostWrite,
  inject,
  ONE_SHOT,
  oneShot,
  rdmsr,
  SIMP,
  SINT2,
  setIrq,
  timer,
  wrmsr,
} from '../support/kvm-events.js'

describe('what a trace cannot tell lowers certainty, and is no mismatch', () => {
  it.each<[string, readonly string[], string]>([
    ['a register set before', [rdmsr(SIMP, 'fa1001'), ...ENABLED], 'set before the recording'],
    ['a SINT set before', [setIrq(243, 1), inject(243), ...ENABLED], 'set before the recording'],
    ['an interrupt requested before', [...ENABLED, inject(243), eoi(243)], 'requested before the recording'],
    ['an interrupt taken before', [...ENABLED, eoi(243)], 'taken before the recording'],
    ['interrupts taken without a line', [...ASSERTED, eoi(243)], 'without a kvm_inj_virq line'],
    [
      'an EOI without a line',
      [...ASSERTED, inject(243), accept(243), setIrq(243, 1), inject(243)],
      'an EOI, or a change of TPR',
    ],
    ['an acknowledgement alone', [...ENABLED, acked(2)], 'whose EOI or EOM is not in the trace'],
    ['a SINT raised without a line', [...ENABLED, accept(243), inject(243)], 'no kvm_hv_synic_set_irq line'],
    ['an APIC that is off', [...ENABLED, setIrq(243, 0)], 'whether the local APIC was enabled'],
    ['a SynIC not yet active', [rdmsr(SIMP, '0', ' (#GP)'), ...ENABLED], 'whether the SynIC was active'],
    [
      'SCONTROL at activation',
      [hostWrite('40000080', '0'), rdmsr('40000080', '1')],
      'when the SynIC became active',
    ],
    [
      'a register the partition has not',
      [...ENABLED, rdmsr('40000010', '0', ' (#GP)')],
      'which registers the partition offers',
    ],
    [
      'an address without memory',
      [...ENABLED, ...wrmsr(SIMP, 'fffffff001', ' (#GP)')],
      'which addresses have memory',
    ],
    [
      'a reset by the VMM',
      [...ENABLED, 'kvm_msr: msr_write 40000000 = 0x1', rdmsr('40000000', '0')],
      'what the VMM writes',
    ],
    ['a timer programmed before', [...ENABLED, oneShot(10, 20)], 'what a timer was programmed with'],
    [
      'a timer that does not run',
      [...ENABLED, ...timer(0, '20000', 5), expiry(0)],
      'does not run as far as the trace tells',
    ],
    [
      'expiries without a line',
      [...ENABLED, ...timer(0, '20009', 5000), rdmsr('400000b0', '20008')],
      'whether a timer expired',
    ],
    [
      'a slot emptied unseen',
      [
        ...ONE_SHOT,
        expiry(0),
        ...timer(0, '20009', 5_002_000),
        oneShot(5_001_010, 5_002_000),
        CALLBACK,
        expiry(0),
      ],
      'emptied a slot without EOM or EOI',
    ],
    ['threads that nothing names', ['kvm_msr: msr_write 40000083 = 0x1'], 'numbered in order of appearance'],
    ['a body it cannot read', [...ENABLED, 'kvm_eoi: something new'], 'could not be read'],
    ['two machines', [...ENABLED, 'write_msr: 40000083, value 1'], 'of two machines'],
  ])('%s', async (_what, events, why) => {
    const report = await replayEvents(events)
    expect(report.mismatches).toEqual([])
    expect(report.certainty).toBe('lowered')
    expect(report.uncertain.map(({ what }) => what).join('\n')).toContain(why)
  })

  it('two threads at once', async () => {
    const lines = [...ENABLED, ...wrmsr(SINT2, 'f4')].map((event, i) => eventLine(i, event))
    const report = await replayLines([...lines, eventLine(8, setIrq(243, 1), 600)])
    expect(report.uncertain[0].what).toContain('two threads at once')
  })

  it.each<[string, readonly number[], number | undefined]>([
    ['in order, equal ones in that of the file', [0, 10, 10, 20, 20, 20], undefined],
    ['one that goes back', [0, 10, 20, 15, 30, 40], 4],
    ['files of two CPUs one behind the other', [0, 40, 50, 10, 20, 60], 4],
    ['an overlap in the middle of the first file', [10, 20, 5, 30, 25, 40], 3],
  ])('stamps: %s', async (_what, stamps, line) => {
    const report = await replayLines(stamps.map((stamp, i) => eventLine(stamp, ENABLED[i])))
    expect(report).toMatchObject({ mismatch_count: 0, certainty: line === undefined ? 'exact' : 'lowered' })
    const told = report.uncertain.map(({ what, first_line }) => [what.slice(0, 24), first_line])
    const expected = line === undefined ? [] : [['a stamp is before that o', line]]
    expect(told).toEqual(expected)
  })

  it('lost events, behind which nothing is known', async () => {
    const before = ENABLED.map((event, i) => eventLine(i, event))
    const after = [rdmsr(SIMP, 'aa1001'), rdmsr(SIMP, 'aa1001')].map((event, i) => eventLine(20 + i, event))
    const report = await replayLines([...before, 'CPU:1 [LOST 9 EVENTS]', ...after])
    expect(report).toMatchObject({ mismatch_count: 0, adopted: 1 })
    expect(report.uncertain[0]).toEqual({
      what: 'the kernel lost events while recording',
      count: 1,
      first_line: 7,
    })
  })
})

describe('what is left out is counted', () => {
  it.each<[string, readonly string[], string, string]>([
    [
      'an MSR that is none of Hyper-V',
      ['kvm_msr: msr_read c0000080 = 0xd01'],
      'kvm_msr',
      'no MSR of Hyper-V',
    ],
    ['an MSR that is not simulated', ['kvm_msr: msr_read 400000f0 = 0x0'], 'kvm_msr', 'not simulated'],
    ['a vector of no SINT, accepted', [accept(48)], 'kvm_apic_accept_irq', 'outside the SynIC'],
    ['a vector of no SINT, taken', [inject(48)], 'kvm_inj_virq', 'outside the SynIC'],
    ['a vector of no SINT, ended', [eoi(48)], 'kvm_eoi', 'outside the SynIC'],
    ['an EOI of nothing', [eoi(-1)], 'kvm_eoi', 'nothing was in service'],
    [
      'an NMI',
      ['kvm_apic_accept_irq: apicid 0 vec 2 (NMI|edge)'],
      'kvm_apic_accept_irq',
      'outside the SynIC',
    ],
    ['a software interrupt', ['kvm_inj_virq: Soft/INTn 0x80'], 'kvm_inj_virq', 'software'],
    ['a second injection', ['kvm_inj_virq: IRQ 0xf3 [reinjected]'], 'kvm_inj_virq', 'injected again'],
    [
      'a second injection, not marked',
      [accept(243), setIrq(243, 1), inject(243), inject(243)],
      'kvm_inj_virq',
      'injected again',
    ],
    [
      'another hypercall',
      ['kvm_hv_hypercall: code 0x2 fast var_cnt 0x0 rep_cnt 0x0 idx 0x0 in 0x0 out 0x0'],
      'kvm_hv_hypercall',
      'neither HvPostMessage',
    ],
    ['an event of no use', ['kvm_fpu: load'], 'kvm_fpu', 'of no use'],
    ['a vCPU number too high', ['kvm_eoi: apicid fffff vector 48'], 'kvm_eoi', 'beyond what is simulated'],
  ])('%s', async (_what, events, name, why) => {
    const report = await replayEvents([...ENABLED, ...events])
    expect(report.mismatches).toEqual([])
    expect(report.certainty).toBe('exact')
    expect(report.events_skipped).toEqual([{ event: name, why: expect.stringContaining(why), count: 1 }])
  })

  it.each<[string, readonly string[], string]>([
    [
      'a slow hypercall',
      [
        'kvm_hv_hypercall: code 0x5c slow var_cnt 0x0 rep_cnt 0x0 idx 0x0 in 0x1000 out 0x0',
        'kvm_hv_hypercall_done: result 0x0',
      ],
      'slow hypercall',
    ],
    [
      'a hypercall user space answers',
      [
        'kvm_hv_hypercall: code 0x5d fast var_cnt 0x0 rep_cnt 0x0 idx 0x0 in 0x1 out 0x0',
        'kvm_hv_hypercall_done: result 0x0',
      ],
      'answered by user space',
    ],
    ['a reading of the time', [rdmsr('40000020', '123456')], 'TIME_REF_COUNT'],
    ['a register that changes by itself', [rdmsr('40000010', '123456')], 'VP_RUNTIME'],
  ])('%s is not checked', async (_what, events, why) => {
    const report = await replayEvents([...ENABLED, ...events])
    expect(report.not_checked).toEqual([
      {
        what: expect.stringContaining(why),
        count: 1,
        first_line: 7 + (events.length === 2 && why.includes('user') ? 1 : 0),
      },
    ])
    expect(report.mismatches).toEqual([])
  })
})

describe("a guest kernel's own accesses", () => {
  it('are replayed on the Microsoft hypervisor, one vCPU a CPU', async () => {
    const lines = [
      eventLine(0, 'write_msr: 40000083, value fa1001', 900, 0),
      eventLine(1, 'read_msr: 40000083, value 0', 900, 1),
      eventLine(2, 'read_msr: 40000083, value fa1001', 901, 0),
      eventLine(3, 'write_msr: 40000092, value 5 #GP', 901, 0),
      eventLine(4, 'write_msr: 40000084, value 0', 901, 0),
    ]
    const report = await replayLines(lines)
    expect(report).toMatchObject({
      source: 'guest',
      profile: 'tlfs',
      kind: 'guest',
      vcpus: 2,
      certainty: 'exact',
    })
    expect(checked(report)).toEqual({ writes: 2, reads: 2, faults: 1 })
  })

  it('may be of a kernel that is a parent partition', async () => {
    const events = ['write_msr: 40000085, value 5001', 'read_msr: 40000085, value 5001']
    expect((await replayEvents(events)).mismatches[0].explanation).toContain('--kind')
    expect(checked(await replayEvents(events, { kind: 'l1vh' }))).toEqual({ writes: 1, reads: 1 })
  })
})

describe('a recording', () => {
  it('from the field has nothing that deviates', async () => {
    const path = join(import.meta.dirname, '../samples/qemu-seabios-kdnet.kvm-ftrace.txt')
    const report = await replayLines(readFileSync(path, 'utf8').split('\n'))
    expect(report).toMatchObject({ mismatch_count: 0, certainty: 'exact', adopted: 0, profile: 'kvm-synic2' })
    expect(checked(report)).toEqual({ reads: 2, writes: 2 })
    expect(report.events_used).toEqual({ kvm_hv_synic_set_msr: 6, kvm_msr: 4 })
  })

  it('counts its lines', async () => {
    const report = await replayLines([
      '# tracer: nop',
      '',
      'nonsense',
      eventLine(0, rdmsr(SIMP, '0')),
      'CPU 1 is empty',
    ])
    expect(report.lines).toEqual({ total: 5, events: 1, comments: 3, unknown: 1 })
  })

  it('without an event of use is refused', async () => {
    await expect(replayLines(['nonsense'])).rejects.toThrow('test: no kvm:* or msr:* event')
    const counted = 'qemu-613 [001] .... 98765: kvm_msr: msr_read 40000083 = 0x0'
    await expect(replayLines([counted])).rejects.toThrow('test: stamps that are no seconds')
    await expect(replayEvents(['kvm_entry: vcpu 0, rip 0x1'])).rejects.toThrow('no kvm:*')
  })

  it('may be replayed under another profile', async () => {
    const report = await replayEvents([...ENABLED, rdmsr(SIMP, 'fa1001')], { profile: 'kvm' })
    expect(report).toMatchObject({ profile: 'kvm', mismatch_count: 0 })
  })
})
