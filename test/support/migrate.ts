/** Live migration: KVM and QEMU by host writes, the others with their whole state. */
import { restorePartition, savePartition } from '../../src/synic/save-state.js'
import { type MachineSetup, machine, TestMachine } from './machine.js'

const numbered = (first: number, count: number, name: (n: number) => string) =>
  Array.from({ length: count }, (_, n) => name(first + n))

/** QEMU's order (kvm_put_msrs): partition-wide first, SINTs before timers, each CONFIG before any COUNT. */
const RESTORE_ORDER: readonly string[] = [
  ...['GUEST_OS_ID', 'HYPERCALL', 'REFERENCE_TSC', 'VP_ASSIST_PAGE', 'VP_RUNTIME', 'VP_INDEX'],
  ...['SVERSION', 'SCONTROL', 'SIEFP', 'SIMP'],
  ...numbered(0, 16, (n) => `SINT${n}`),
  ...numbered(0, 4, (n) => `STIMER${n}_CONFIG`),
  ...numbered(0, 4, (n) => `STIMER${n}_COUNT`),
]

/** Another machine that holds what migration carries over, running, at the same reference time. */
export function migrate(from: TestMachine, setup: MachineSetup): TestMachine {
  const { machine: m, now } = from.partition
  if (!m.profile.kvm) return restored(from)
  const to = machine(setup)
  to.do({ op: 'clock.advance', ticks: now })
  to.do({ op: 'partition.pause' })
  for (const msr of RESTORE_ORDER) to.write(msr, String(from.read(msr, 0, 'host')), 0, 'host')
  const pages = [...new Set([...m.memory.gpns(), ...m.synicPages.keys()])]
  for (const gpn of pages) {
    const gpa = gpn * 4096
    to.do({ op: 'mem.write', gpa, hex: from.memory(gpa, 4096), by: 'host' })
  }
  to.do({ op: 'partition.resume' })
  return to
}

/** The same machine out of its saved document, as a file would hold it. */
export function restored(from: TestMachine): TestMachine {
  return new TestMachine(restorePartition(JSON.parse(JSON.stringify(savePartition(from.partition)))))
}
