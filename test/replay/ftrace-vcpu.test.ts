/** Which vCPU an event belongs to. */
import { expect, it } from 'vitest'
import { parseFtraceLine } from '../../src/replay/ftrace-line.js'
import { LOOKAHEAD_MAX, VcpuResolver } from '../../src/replay/ftrace-vcpu.js'
import { eventLine } from '../support/ftrace.js'

type Row = readonly [pid: number, cpu: number, event: string]

const READ = 'kvm_msr: msr_read 40000083 = 0x0'

function resolve(rows: readonly Row[], end = true) {
  const resolver = new VcpuResolver()
  rows.forEach(([pid, cpu, text], i) => {
    const parsed = parseFtraceLine(eventLine(i, text, pid, cpu), i + 1)
    if (parsed.kind !== 'event') throw new Error(text)
    resolver.push(parsed.event)
  })
  if (end) resolver.end()
  const placed: [number, string][] = []
  for (let next = resolver.next(); next !== undefined; next = resolver.next())
    placed.push([next.vcpu, next.source])
  return placed
}

it.each<[string, readonly Row[], [number, string][]]>([
  ['an event that names it', [[9, 0, 'kvm_eoi: apicid 1f vector 1']], [[31, 'named']]],
  [
    'the entry before it',
    [
      [9, 0, 'kvm_entry: vcpu 3, rip 0x1'],
      [9, 0, READ],
    ],
    [
      [3, 'named'],
      [3, 'thread'],
    ],
  ],
  [
    'the entry behind it, where none is before',
    [
      [9, 0, READ],
      [9, 0, 'kvm_entry: vcpu 3, rip 0x1'],
    ],
    [
      [3, 'thread'],
      [3, 'named'],
    ],
  ],
  [
    'its own work over an interrupt for another vCPU',
    [
      [9, 0, 'kvm_apic_accept_irq: apicid 5 vec 243 (Fixed|edge)'],
      [9, 0, READ],
      [9, 0, 'kvm_hv_synic_set_msr: vcpu_id 2 msr 0x40000083 data 0x1 host 0'],
    ],
    [
      [5, 'named'],
      [2, 'thread'],
      [2, 'named'],
    ],
  ],
  [
    'any event that names one, at the end',
    [
      [9, 0, READ],
      [9, 0, 'kvm_hv_synic_set_msr: vcpu_id 2 msr 0x40000083 data 0x0 host 1'],
    ],
    [
      [2, 'thread'],
      [2, 'named'],
    ],
  ],
  [
    'threads in order of appearance, when nothing names them',
    [
      [9, 0, READ],
      [8, 0, READ],
      [9, 0, READ],
    ],
    [
      [0, 'guessed'],
      [1, 'guessed'],
      [0, 'guessed'],
    ],
  ],
  [
    'not a number that another thread has',
    [
      [7, 0, 'kvm_entry: vcpu 0, rip 0x1'],
      [9, 0, READ],
    ],
    [
      [0, 'named'],
      [1, 'guessed'],
    ],
  ],
  ['the CPU inside a guest', [[9, 6, 'read_msr: 40000083, value 0']], [[6, 'cpu']]],
])('%s', (_what, rows, placed) => {
  expect(resolve(rows)).toEqual(placed)
})

it('waits a bounded number of events for a name', () => {
  const rows = Array.from({ length: LOOKAHEAD_MAX }, (): Row => [9, 0, READ])
  expect(resolve(rows.slice(1), false)).toEqual([])
  expect(resolve(rows, false)[0]).toEqual([0, 'guessed'])
})
