/** Kernel events as a KVM host prints them, by what happened. */
import type { FtraceSummary } from '../../src/replay/ftrace-report.js'

export const SIMP = '40000083'
export const SINT2 = '40000092'
export const EOM = '40000084'

/** A guest's write as the kernel prints it: from inside, and at its end. */
export const wrmsr = (msr: string, value: string, gp = '') => [
  `kvm_hv_synic_set_msr: vcpu_id 0 msr 0x${msr} data 0x${value} host 0`,
  `kvm_msr: msr_write ${msr} = 0x${value}${gp}`,
]
export const hostWrite = (msr: string, value: string) =>
  `kvm_hv_synic_set_msr: vcpu_id 0 msr 0x${msr} data 0x${value} host 1`
export const rdmsr = (msr: string, value: string, gp = '') => `kvm_msr: msr_read ${msr} = 0x${value}${gp}`
export const timer = (i: number, config: string, count: number) => [
  `kvm_hv_stimer_set_config: vcpu_id 0 timer ${i} config 0x${config} host 0`,
  `kvm_hv_stimer_cleanup: vcpu_id 0 timer ${i}`,
  `kvm_msr: msr_write ${(0x4000_00b0 + 2 * i).toString(16)} = 0x${config}`,
  `kvm_hv_stimer_set_count: vcpu_id 0 timer ${i} count ${count} host 0`,
  `kvm_hv_stimer_cleanup: vcpu_id 0 timer ${i}`,
  `kvm_msr: msr_write ${(0x4000_00b1 + 2 * i).toString(16)} = 0x${count.toString(16)}`,
]
export const oneShot = (now: number, count: number) =>
  `kvm_hv_stimer_start_one_shot: vcpu_id 0 timer 0 time_now ${now} count ${count}`
export const periodic = (now: number, exp: number) =>
  `kvm_hv_stimer_start_periodic: vcpu_id 0 timer 0 time_now ${now} exp_time ${exp}`
export const CALLBACK = 'kvm_hv_stimer_callback: vcpu_id 0 timer 0'
export const expiry = (result: number, direct = 0) =>
  `kvm_hv_stimer_expiration: vcpu_id 0 timer 0 direct ${direct} send result ${result}`
export const accept = (vector: number) => `kvm_apic_accept_irq: apicid 0 vec ${vector} (Fixed|edge)`
export const setIrq = (vector: number, ret: number, sint = 2) =>
  `kvm_hv_synic_set_irq: vcpu_id 0 sint ${sint} vector ${vector} ret ${ret}`
export const inject = (vector: number) => `kvm_inj_virq: IRQ 0x${vector.toString(16)}`
export const eoi = (vector: number) => `kvm_eoi: apicid 0 vector ${vector}`
export const sendEoi = (vector: number) => `kvm_hv_synic_send_eoi: vcpu_id 0 vector ${vector}`
export const acked = (sint: number) => `kvm_hv_notify_acked_sint: vcpu_id 0 sint ${sint}`
export const ENABLED = [...wrmsr('40000080', '1'), ...wrmsr(SIMP, 'fa1001'), ...wrmsr(SINT2, 'f3')]
export const ONE_SHOT = [...ENABLED, ...timer(0, '20009', 5_001_000), oneShot(5_000_000, 5_001_000)]
export const PERIODIC = [...ENABLED, ...timer(0, '2000b', 1000), periodic(5_000_000, 5_001_000)]
export const ASSERTED = [...ENABLED, accept(243), setIrq(243, 1)]

/** Checks that were made, without the zeros. */
export const checked = (report: FtraceSummary) =>
  Object.fromEntries(Object.entries(report.checked).filter(([, count]) => count > 0))
