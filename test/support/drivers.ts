/** Runs driver strands on a partition, step by step, and keeps each step with its result. */
import { type Result, resultText } from '../../src/api/result.js'
import { Kernel, type KernelConfig } from '../../src/drivers/kernel.js'
import { type Step, type Strand, writeStep } from '../../src/drivers/step.js'
import { MSR_NAMES } from '../../src/hv/msrs.js'
import * as o from '../../src/synic/op.js'
import { type MachineSetup, machine, type TestMachine } from './machine.js'

export interface Recorded {
  readonly step: Step
  readonly result: Result
}

export interface Run<T> {
  readonly value: T
  readonly records: Recorded[]
}

/** A hypervisor or VMM that answers steps: what it does comes right behind the step. */
export type Host = (step: Step, test: TestMachine) => void

/** Bounds a strand that never ends. */
const STEPS_MAX = 100_000

/** Drives a strand to its end. */
export function drive<T>(test: TestMachine, strand: Strand<T>, host: Host = () => {}): Run<T> {
  const { partition } = test
  const writer = new o.OpWriter()
  const records: Recorded[] = []
  let turn = strand.next(partition.effects)
  while (turn.done !== true) {
    if (records.length >= STEPS_MAX) throw new Error('the strand does not end')
    const step = turn.value
    writer.clear()
    writeStep(step, writer, partition.names)
    partition.apply(writer.words, 0)
    records.push({ step, result: JSON.parse(resultText(partition.effects)) as Result })
    // The host's ops use the partition's effects too; the strand sees its own.
    const effects = partition.effects.copy()
    host(step, test)
    turn = strand.next(effects)
  }
  return { value: turn.value, records }
}

export function kernelOf(config: Partial<KernelConfig> = {}): Kernel {
  return new Kernel({
    kind: 'guest',
    vcpus: [0],
    deprecatesAutoEoi: true,
    hasDirectTimers: true,
    firstGpn: 0x10,
    ...config,
  })
}

/** A partition of the published specification, with its kernel. */
export function pair(
  config: Partial<KernelConfig> = {},
  options: MachineSetup['options'] = {},
): { test: TestMachine; kernel: Kernel } {
  const kernel = kernelOf(config)
  const vcpus = kernel.config.vcpus.length
  return { test: machine({ profile: 'tlfs', kind: kernel.config.kind, vcpus, options }), kernel }
}

const nameOf = (step: Step): string => MSR_NAMES.get(step.args[0]) ?? `0x${step.args[0].toString(16)}`

/** A step in one word or two: `read SIMP`, `write SIMP 0x10001`, or the op's name. */
export function told({ step, result }: Recorded): string {
  if (step.code === o.OP_MSR_READ) return `read ${nameOf(step)} → ${result.value}`
  if (step.code !== o.OP_MSR_WRITE) return o.OP_NAMES[step.code]
  const value = (BigInt(step.args[2] >>> 0) << 32n) | BigInt(step.args[1] >>> 0)
  const exit = result.exits === undefined ? '' : ' (exit)'
  return `write ${nameOf(step)} 0x${value.toString(16)}${exit}`
}

/** Who wrote which register, in order. */
export function writes(records: readonly Recorded[]): string[] {
  return records
    .filter(({ step }) => step.code === o.OP_MSR_WRITE)
    .map(({ step }) => `${step.actor} ${nameOf(step)}`)
}

/** Registers whose writes faulted, in order. */
export function faulted(records: readonly Recorded[]): string[] {
  return records.filter(({ result }) => result.fault === 'gp').map(({ step }) => nameOf(step))
}

/** What some registers of a vCPU hold, as the VMM reads them. */
export function registers(test: TestMachine, names: string, vcpu = 0): string {
  return names
    .split(' ')
    .map((name) => `${name}=${test.read(name, vcpu, 'host')}`)
    .join(' ')
}

/** A VMBus host behind HvPostMessage: accepts a contact with this answer, and lets the guest go. */
export function vmbusHost(answers: { readonly unload?: boolean; readonly vcpu?: number } = {}): Host {
  const { unload = true, vcpu = 0 } = answers
  return (step, test) => {
    if (step.code !== o.OP_HV_POST_MESSAGE) return
    const type = step.bytes?.[0]
    // CHANNELMSG_VERSION_RESPONSE: supported, state 0, connection 1; then CHANNELMSG_UNLOAD_RESPONSE.
    const hex = type === 14 ? '0f000000000000000100000001000000' : type === 16 ? '1100000000000000' : ''
    if (hex === '' || (type === 16 && !unload)) return
    test.do({ op: 'message.post', vcpu, sint: 2, type: 1, hex })
  }
}

/** Under the published specification a guest can only post through a port: to the connections VMBus uses. */
export function openVmbusPorts(test: TestMachine): void {
  test.do({ op: 'port.create', port: 1, type: 'message', vcpu: 0, sint: 9 })
  for (const connection of [1, 4]) test.do({ op: 'connection.create', connection, port: 1 })
}
