/** What KVM did in the golden traces, told as its kernel's events: nothing in them may deviate. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { replayLines } from '../support/ftrace.js'
import { KvmTrace } from '../support/kvm-ftrace.js'

const FOLDER = join(import.meta.dirname, '../conformance/kvm')

/** Only host ops that have no event in them, or an activation again in the middle, which has none. */
const UNSUITED = ['f01_unrouted.jsonl', 'fuzz_105_timers.jsonl']
const names = readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl') && !UNSUITED.includes(name))

function eventsOf(name: string): string[] {
  const [header, ...steps] = readFileSync(join(FOLDER, name), 'utf8').trim().split('\n')
  const trace = new KvmTrace('kvm', Number(BigInt(JSON.parse(header).gpa_limit) >> 12n))
  for (const step of steps) trace.do(JSON.parse(step).in)
  return trace.lines
}

describe('golden traces as kernel events', () => {
  it.each(names)('%s', async (name) => {
    const report = await replayLines(eventsOf(name))
    expect(report.mismatches).toEqual([])
    expect(Object.values(report.checked).some((count) => count > 0) || report.certainty === 'lowered').toBe(
      true,
    )
  })
})

describe('without one kind of event, nothing deviates either', () => {
  const some = names.filter((name) => /fuzz_\d\d[05]/.test(name)).map(eventsOf)

  it.each([
    'kvm_msr',
    'kvm_hv_synic_set_irq',
    'kvm_hv_synic_send_eoi',
    'kvm_hv_notify_acked_sint',
    'kvm_hv_stimer_start',
    'kvm_hv_stimer_callback',
    'kvm_hv_stimer_expiration',
    'kvm_apic_accept_irq',
    'kvm_inj_virq',
    'kvm_eoi',
    'kvm_entry',
  ])('%s', async (event) => {
    for (const lines of some) {
      const report = await replayLines(lines.filter((line) => !line.includes(`: ${event}`)))
      expect(report.mismatches).toEqual([])
    }
  })
})

describe('a changed line', () => {
  const lines = eventsOf('d03_periodic.jsonl')

  it.each([
    ['a read', /msr_read (\w+) = 0x(\w+)$/, (text: string) => text.replace(/0x\w+$/, '0x1234')],
    ['a vector', /synic_set_irq/, (text: string) => text.replace(/vector \d+/, 'vector 99')],
    ['a start', /start_periodic/, (text: string) => text.replace(/exp_time (\d+)/, 'exp_time $17')],
  ])('is found: %s', async (_what, pattern, change) => {
    const at = lines.findLastIndex((line) => pattern.test(line))
    expect(at).toBeGreaterThan(0)
    const report = await replayLines(lines.with(at, change(lines[at])))
    expect(report.mismatches[0]).toMatchObject({ line: at + 1 })
  })
})
