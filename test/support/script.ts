/** Scripts for a test machine: ops with the results they must have, as plain data that a table can hold. */
import { expect, it } from 'vitest'
import type { Result } from '../../src/api/result.js'
import type { SynicDump } from '../../src/synic/dump.js'
import type { ProfileName } from '../../src/synic/profile.js'
import { type MachineSetup, machine, type TestMachine, type WireInput } from './machine.js'

export type Expected = { readonly [K in keyof Result]?: unknown }

export interface Step {
  readonly op: WireInput
  readonly expected: Expected
}

/** Part of a result that a step must name in full, or not have; the rest counts only where it is named. */
const ALWAYS = new Set(['ok', 'fault', 'errno', 'vector', 'hex', 'irqs', 'halted'])

/** Runs a script to its end; the first step with another result fails the test, with its place and op. */
export function play(test: TestMachine, steps: readonly Step[]): TestMachine {
  steps.forEach(({ op, expected }, step) => {
    const ok = expected.fault === undefined && expected.errno === undefined
    const result = Object.entries(test.do(op)).filter(([key]) => ALWAYS.has(key) || key in expected)
    expect({ step, op, result: Object.fromEntries(result) }).toEqual({
      step,
      op,
      result: { ok, ...expected },
    })
  })
  return test
}

/** A new machine that plays a script. */
export function run(setup: MachineSetup, steps: readonly Step[]): TestMachine {
  return play(machine(setup), steps)
}

/** A rule with its reason, the machine it holds on (or several, by profile), and a script that shows it. */
export type Scenario = readonly [
  why: string,
  on: ProfileName | readonly ProfileName[] | MachineSetup,
  steps: readonly Step[],
]

/** One test for each scenario and profile. */
export function scenarios(table: readonly Scenario[]): void {
  const cases = table.flatMap(([why, on, steps]) => {
    const setups =
      typeof on === 'object' && 'profile' in on ? [on] : [on].flat().map((profile) => ({ profile }))
    return setups.map((setup) => [`${setup.profile}: ${why}`, setup, steps] as const)
  })
  it.each(cases)('%s', (_name, setup, steps) => {
    run(setup, steps)
  })
}

export const KVM_PROFILES = ['kvm-synic', 'kvm-synic2', 'qemu'] as const
export const EVERY_PROFILE = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const

// What may become of an op.
export const GP: Expected = { fault: 'gp' }
export const UD: Expected = { fault: 'ud' }
export const fails = (errno: number): Expected => ({ errno })
export const status = (code: number): Expected => ({ status: code })
/** One interrupt, of vCPU 0 unless said. */
export const irq = (vector = 0xf3, vcpu = 0): Expected => ({ irqs: [{ vcpu, vector }] })
export const irqs = (...vectors: number[]): Expected => ({
  irqs: vectors.map((vector) => ({ vcpu: 0, vector })),
})
export const acks = (...gsis: number[]): Expected => ({ acks: gsis.map((gsi) => ({ gsi })) })
export const NO_ACKS: Expected = { acks: undefined }
export const HYPERCALL_EXIT: Expected = { hcall_exit: expect.anything() }

export function op(input: WireInput, expected: Expected = {}): Step {
  return { op: input, expected }
}

/** The same step on another vCPU. */
export const at = (vcpu: number, step: Step): Step => ({ ...step, op: { ...step.op, vcpu } })

// Registers.
export const write = (msr: string, value: string | number, expected: Expected = {}): Step =>
  op({ op: 'msr.write', vcpu: 0, msr, value }, expected)
export const hostWrite = (msr: string, value: string | number, expected: Expected = {}): Step =>
  op({ op: 'msr.write', vcpu: 0, msr, value, by: 'host' }, expected)

const readable = (value: string | number | Expected): Expected => {
  if (typeof value === 'object') return value
  return { value: typeof value === 'number' ? `0x${value.toString(16)}` : value }
}
/** What a guest reads, or how it fails. */
export const reads = (msr: string, value: string | number | Expected): Step =>
  op({ op: 'msr.read', vcpu: 0, msr }, readable(value))
export const hostReads = (msr: string, value: string | number | Expected): Step =>
  op({ op: 'msr.read', vcpu: 0, msr, by: 'host' }, readable(value))

// Memory.
export const stores = (gpa: number | string, hex: string, expected: Expected = {}): Step =>
  op({ op: 'mem.write', gpa, hex }, expected)
export const sees = (gpa: number | string, hex: string): Step =>
  op({ op: 'mem.read', gpa, len: hex.length / 2 }, { hex })

// The SynIC's two pages lie here unless a script says otherwise.
export const SIMP_GPA = 0x1000
export const SIEFP_GPA = 0x2000
const slotGpa = (sint: number, page = SIMP_GPA) => page + 256 * sint
const littleEndian = (value: number) => Buffer.from(Uint32Array.of(value).buffer).toString('hex')

/** What stands in a slot's type field. */
export const slotHas = (sint: number, type: number, page = SIMP_GPA): Step =>
  sees(slotGpa(sint, page), littleEndian(type))
/** The slot's flags byte; bit 0 says that something waits. */
export const slotFlags = (sint: number, flags: string, page = SIMP_GPA): Step =>
  sees(slotGpa(sint, page) + 5, flags)
export const payload = (sint: number, hex: string, page = SIMP_GPA): Step =>
  sees(slotGpa(sint, page) + 16, hex)
/** The guest fills or frees a slot by its type alone, without a word to the SynIC. */
export const setSlot = (sint: number, type: number, page = SIMP_GPA): Step =>
  stores(slotGpa(sint, page), littleEndian(type))
export const empties = (sint: number, expected: Expected = {}, page = SIMP_GPA): Step =>
  stores(slotGpa(sint, page), '00000000', expected)
export const flagByte = (sint: number, flag: number, hex: string, page = SIEFP_GPA): Step =>
  sees(page + 256 * sint + (flag >> 3), hex)

export const completes = (sint: number, expected: Expected = {}): Step =>
  op({ op: 'message.complete', vcpu: 0, sint }, expected)
export const eom = (expected: Expected = {}): Step => write('EOM', 0, expected)
export const eoi = (expected: Expected = {}): Step => op({ op: 'apic.eoi', vcpu: 0 }, expected)
export const takes = (vector: number): Step => op({ op: 'apic.ack', vcpu: 0 }, { vector })
export const apic = (on: boolean): Step => op({ op: 'apic.enable', vcpu: 0, on })

// The host's side.
export const post = (sint: number, delivery: string, expected: Expected = {}, type = 1, hex = ''): Step =>
  op({ op: 'message.post', vcpu: 0, sint, type, hex }, { delivery, ...expected })
export const signal = (sint: number, flag: number, expected: Expected = {}): Step =>
  op({ op: 'event.signal', vcpu: 0, sint, flag }, expected)
export const route = (
  entries: readonly (readonly [number, number, number])[],
  expected: Expected = {},
): Step =>
  op({ op: 'gsi.route', entries: entries.map(([gsi, vcpu, sint]) => ({ gsi, vcpu, sint })) }, expected)
export const raise = (gsi: number, expected: Expected = {}): Step => op({ op: 'gsi.assert', gsi }, expected)
export const advance = (ticks: number, expected: Expected = {}): Step =>
  op({ op: 'clock.advance', ticks }, expected)
export const pause: Step = op({ op: 'partition.pause' })
export const resume = (expected: Expected = {}): Step => op({ op: 'partition.resume' }, expected)
export const capability = (cap: string, expected: Expected = {}): Step =>
  op({ op: 'cap.enable', vcpu: 0, cap }, expected)

// Hypercalls.
export const POST_MESSAGE = 0x5c
export const SIGNAL_EVENT = 0x5d
export const FAST = 0x1_0000
export const hypercall = (control: number | string, input: number | string, expected: Expected = {}): Step =>
  op({ op: 'hypercall', vcpu: 0, control, input }, expected)
/** With its input in RDX and R8. */
export const fastHypercall = (code: number, input: string, second: number, expected: Expected): Step =>
  op({ op: 'hypercall', vcpu: 0, control: code + FAST, input, output: second }, expected)
export const hvPost = (connection: number, expected: Expected = {}, type = 1, hex = ''): Step =>
  op({ op: 'hv.post_message', vcpu: 0, connection, type, hex }, expected)
export const hvSignal = (connection: number, expected: Expected = {}, flag = 0): Step =>
  op({ op: 'hv.signal_event', vcpu: 0, connection, flag }, expected)
/** A guest that has identified itself, with a hypercall page at 0x5000. */
export const IDENTIFIED: readonly Step[] = [write('GUEST_OS_ID', 1), write('HYPERCALL', '0x5001')]
/** HvPostMessage's input block: connection, reserved, type, size, the rest zero. */
export const postInput = (connection: number, type: number, size: number): string =>
  littleEndian(connection) + littleEndian(0) + littleEndian(type) + littleEndian(size)
export const u32s = (...words: number[]): string => words.map((word) => littleEndian(word >>> 0)).join('')

export const port = (
  port: number,
  type: string,
  more: Record<string, number> = {},
  expected?: Expected,
): Step => op({ op: 'port.create', port, type, vcpu: 0, sint: 2, ...more }, expected ?? { status: 0 })
export const connect = (connection: number, port: number, expected?: Expected): Step =>
  op({ op: 'connection.create', connection, port }, expected ?? { status: 0 })

// Timers.
export const HVMSG_TIMER = 0x8000_0010
/** Config of a message-mode timer on SINT2. */
export const ONE_SHOT = 0x20001
export const PERIODIC = 0x20003
/** Config of a direct one-shot with vector 0xed. */
export const DIRECT = 0x1ed1
export const startTimer = (
  config: number,
  count: number | string,
  expected: Expected = {},
  n = 0,
): Step[] => [write(`STIMER${n}_COUNT`, count), write(`STIMER${n}_CONFIG`, config, expected)]

/** SynIC enabled, pages at 0x1000 and 0x2000, SINT2 unmasked with vector 0xf3. */
export const UP: readonly Step[] = [
  write('SCONTROL', 1),
  write('SIEFP', SIEFP_GPA + 1),
  write('SIMP', SIMP_GPA + 1),
  write('SINT2', 0xf3),
]
export const MASK_SINT2: Step = write('SINT2', 0x100f3)
export const UNMASK_SINT2: Step = write('SINT2', 0xf3)

/** Some of what `synic.dump` says. */
export const dumps = (part: Partial<SynicDump>): Step =>
  op({ op: 'synic.dump', vcpu: 0 }, { dump: expect.objectContaining(part) })
