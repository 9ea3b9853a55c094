/** One line of kernel trace text, in every form that tools print. */
import { describe, expect, it } from 'vitest'
import { parseFtraceLine } from '../../src/replay/ftrace-line.js'

const LINE = (body: string) => ` qemu-system-x86-613   [001] ....  1165.185227: ${body}`

function event(text: string) {
  const parsed = parseFtraceLine(text, 7)
  if (parsed.kind !== 'event') throw new Error(`${parsed.kind}: ${text}`)
  return parsed.event
}

describe('the frame of a line', () => {
  const body = 'kvm_msr: msr_read 40000083 = 0x0'

  it.each([
    ['trace', ` qemu-613   [001] ....  1165.185227: ${body}`, 613, 1, 11_651_852_270],
    ['trace, five flags', `  qemu-613     [001] d.h1.  1165.185227: ${body}`, 613, 1, 11_651_852_270],
    ['trace-cmd report', `        qemu-613   [001]  1165.185227: ${body}`, 613, 1, 11_651_852_270],
    ['nanoseconds', `qemu-613 [001] 1165.185227349: ${body}`, 613, 1, 11_651_852_273],
    ['the system before the event', `qemu-613 [001] .N.. 1165.185227: kvm:${body}`, 613, 1, 11_651_852_270],
    ['thread groups', `qemu-613 (    600) [001] .... 1165.185227: ${body}`, 613, 1, 11_651_852_270],
    ['no thread group', `qemu-613 (-------) [001] .... 1165.185227: ${body}`, 613, 1, 11_651_852_270],
    [
      'a name with blanks and dashes',
      `CPU 0/KVM-x-17-613 [001] .... 1165.185227: ${body}`,
      613,
      1,
      11_651_852_270,
    ],
    ['perf script', `qemu-system-x86   613 [001]  1165.185227:     kvm:${body}`, 613, 1, 11_651_852_270],
    [
      'perf script, a name with blanks',
      ` CPU 0/KVM   613 [001]  1165.185227: kvm:${body}`,
      613,
      1,
      11_651_852_270,
    ],
    ['perf script -F pid,tid', `CPU 0/KVM 600/613 [001]  1165.185227: kvm:${body}`, 613, 1, 11_651_852_270],
    ['perf script --ns', `qemu 613 [001]  1165.185227349: kvm:${body}`, 613, 1, 11_651_852_273],
    ['a forgotten name', `<...>-613 [127] .... 0.000001: ${body}`, 613, 127, 10],
    ['a mail quote', `> > qemu-613 [001] .... 1165.185227: ${body}`, 613, 1, 11_651_852_270],
    ['a tight mail quote', `>>qemu-613 [001] .... 1165.185227: ${body}`, 613, 1, 11_651_852_270],
  ])('%s', (_what, text, pid, cpu, at) => {
    expect(event(text)).toMatchObject({ line: 7, pid, cpu, at, body: { name: 'kvm_msr' } })
  })

  it('keeps the text for reports, without the quote', () => {
    expect(event(`> qemu-613 [001] .... 1165.185227: ${body}`).text).toBe(
      `qemu-613 [001] .... 1165.185227: ${body}`,
    )
  })

  it.each([
    ['', 'blank'],
    ['> ', 'blank'],
    ['# tracer: nop', 'comment'],
    ['> # tracer: nop', 'comment'],
    ['CPU 3 is empty', 'comment'],
    ['cpus=8', 'comment'],
    ['CPU:1 [LOST 123 EVENTS]', 'lost'],
    ['CPU:1 [12 EVENTS DROPPED]', 'lost'],
    ['On Sat, 25 Apr 2020, someone wrote:', 'unknown'],
    ['qemu-613 [001] .... now: kvm_msr: msr_read 1 = 0x0', 'unknown'],
    ['qemu-613 [001] .... 9876543210: kvm_msr: msr_read 1 = 0x0', 'untimed'],
    ['PERF_RECORD_LOST lost 123', 'lost'],
    ['            ffffffff8106d5d4 native_write_msr+0x4 ([kernel.kallsyms])', 'unknown'],
  ])('%o is %s', (text, kind) => {
    expect(parseFtraceLine(text, 1).kind).toBe(kind)
  })

  it('names an event of no use, and one it cannot read', () => {
    expect(parseFtraceLine(LINE('kvm_fpu: unload'), 1)).toEqual({ kind: 'other', name: 'kvm_fpu' })
    expect(parseFtraceLine(LINE('kvm_msr: something new'), 1)).toEqual({
      kind: 'unreadable',
      name: 'kvm_msr',
    })
  })
})

describe('bodies', () => {
  it.each([
    [
      'kvm_msr: msr_write 40000083 = 0xfa1001',
      { write: true, msr: 0x4000_0083, value: 0xfa1001n, gp: false },
    ],
    ['kvm_msr: msr_read 40000083 = 0x0', { write: false, msr: 0x4000_0083, value: 0n, gp: false }],
    ['kvm_msr: msr_read 40000085 = 0x0 (#GP)', { write: false, gp: true }],
    ['write_msr: 40000083, value fa1001', { write: true, msr: 0x4000_0083, value: 0xfa1001n, gp: false }],
    ['msr:read_msr: 40000083, value 0 #GP', { write: false, gp: true }],
    [
      'kvm_hv_synic_set_msr: vcpu_id 3 msr 0x40000083 data 0xfa1001 host 1',
      { vcpu: 3, msr: 0x4000_0083, value: 0xfa1001n, host: true },
    ],
    [
      'kvm_hv_synic_set_irq: vcpu_id 0 sint 2 vector 243 ret -22',
      { vcpu: 0, sint: 2, vector: 243, ret: -22 },
    ],
    ['kvm_hv_synic_send_eoi: vcpu_id 1 vector 243', { vcpu: 1, vector: 243 }],
    ['kvm_hv_notify_acked_sint: vcpu_id 1 sint 2', { vcpu: 1, sint: 2 }],
    [
      'kvm_hv_stimer_set_config: vcpu_id 0 timer 1 config 0x20009 host 0',
      { timer: 1, value: 0x20009n, host: false },
    ],
    [
      'kvm_hv_stimer_set_count: vcpu_id 0 timer 1 count 123456 host 1',
      { timer: 1, value: 123_456n, host: true },
    ],
    ['kvm_hv_stimer_start_periodic: vcpu_id 0 timer 1 time_now 10 exp_time 20', { now: 10n, due: 20n }],
    ['kvm_hv_stimer_start_one_shot: vcpu_id 0 timer 1 time_now 10 count 20', { now: 10n, due: 20n }],
    ['kvm_hv_stimer_callback: vcpu_id 2 timer 3', { vcpu: 2, timer: 3 }],
    ['kvm_hv_stimer_cleanup: vcpu_id 2 timer 3', { vcpu: 2, timer: 3 }],
    [
      'kvm_hv_stimer_expiration: vcpu_id 0 timer 1 direct 1 send result -11',
      { timer: 1, direct: true, result: -11 },
    ],
    [
      'kvm_hv_hypercall: code 0x5c slow var_cnt 0x1 rep_cnt 0x2 idx 0x3 in 0x1000 out 0x0',
      { code: 0x5c, fast: false, variable: 1, reps: 2, first: 3, input: 0x1000n, output: 0n },
    ],
    [
      'kvm_hv_hypercall: code 0x5d fast cnt 0x0 idx 0x0  in 0x10 out 0x0',
      { code: 0x5d, fast: true, variable: 0 },
    ],
    ['kvm_hv_hypercall_done: result 0x12', { result: 0x12n }],
    ['kvm_apic_accept_irq: apicid 1f vec 243 (Fixed|edge)', { vcpu: 31, vector: 243, fixed: true }],
    ['kvm_apic_accept_irq: apicid 0 vec 243 (Fixed|edge) (coalesced)', { fixed: true }],
    ['kvm_apic_accept_irq: apicid 0 vec 2 (NMI|edge)', { fixed: false }],
    ['kvm_apic_accept_irq: apicid 0 vec 80 (Fixed|level)', { fixed: false }],
    ['kvm_inj_virq: IRQ 0xf3', { vector: 0xf3, soft: false, reinjected: false }],
    ['kvm_inj_virq: IRQ 0xf3 [reinjected]', { vector: 0xf3, reinjected: true }],
    ['kvm_inj_virq: Soft/INTn 0x80', { vector: 0x80, soft: true }],
    ['kvm_inj_virq: irq 243', { vector: 243, soft: false }],
    ['kvm_eoi: apicid 1f vector -1', { vcpu: 31, vector: -1 }],
    ['kvm_entry: vcpu 4, rip 0xfffff8000000', { vcpu: 4 }],
    ['kvm_entry: rip 0xfffff8000000', { vcpu: undefined }],
    ['kvm_exit: vcpu 4 reason MSR_WRITE rip 0x1', { vcpu: 4 }],
    ['kvm_exit: reason MSR_WRITE rip 0x1 info 0 0', { vcpu: undefined }],
  ])('%s', (body, fields) => {
    const { name, ...rest } = event(LINE(body)).body
    expect(body.replace(/^msr:/, '').startsWith(`${name}:`)).toBe(true)
    expect(rest).toMatchObject(fields)
  })
})
