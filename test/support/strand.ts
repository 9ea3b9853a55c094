/** Runs a driver's strand on a test machine, and tells what it did in short words. */

import { u32 } from '../../src/drivers/memory.js'
import type { Step, Strand } from '../../src/drivers/step.js'
import { writeStep } from '../../src/drivers/step.js'
import { CHANNELMSG } from '../../src/drivers/vmbus-post.js'
import { toBigInt } from '../../src/hv/bits.js'
import { MSR_NAMES } from '../../src/hv/msrs.js'
import { Effects } from '../../src/synic/effects.js'
import * as o from '../../src/synic/op.js'
import { type MachineSetup, machine, type TestMachine } from './machine.js'
import { u32s } from './script.js'

export interface Ran<T> {
  readonly result: T
  /** Each step, such as `SIMP?`, `SIMP=0x10001` or `actor.attach`. */
  readonly steps: readonly string[]
  /** Steps that were refused. */
  readonly refused: readonly string[]
  readonly actors: ReadonlySet<string>
}

const ANSWERS = new Map<number, string>([
  [CHANNELMSG.INITIATE_CONTACT, u32s(CHANNELMSG.VERSION_RESPONSE, 0, 1, 0)],
  [CHANNELMSG.UNLOAD, u32s(CHANNELMSG.UNLOAD_RESPONSE, 0)],
])

export class Stage {
  readonly test: TestMachine
  readonly #writer = new o.OpWriter()

  /** @param host vCPU on which a VMBus host answers what guests post; null: the partition's own ports do */
  constructor(
    setup: MachineSetup,
    readonly host: number | null = 0,
  ) {
    this.test = machine(setup)
  }

  run<T>(strand: Strand<T>): Ran<T> {
    const steps: string[] = []
    const refused: string[] = []
    const actors = new Set<string>()
    let next = strand.next(new Effects())
    while (next.done !== true) {
      const step = next.value
      steps.push(textOf(step))
      actors.add(step.actor)
      const effects = this.#apply(step)
      if (!effects.ok) refused.push(textOf(step))
      next = strand.next(effects)
    }
    return { result: next.value, steps, refused, actors }
  }

  /** Some registers of a vCPU, as they are. */
  registers(vcpu: number, ...names: string[]): unknown[] {
    return names.map((name) => this.test.read(name, vcpu, 'host'))
  }

  #apply(step: Step): Effects {
    const { partition } = this.test
    if (step.code === o.OP_HV_POST_MESSAGE && this.host !== null) return this.#answer(step, this.host)
    this.#writer.clear()
    writeStep(step, this.#writer, partition.names)
    partition.apply(this.#writer.words, 0)
    return partition.effects
  }

  #answer(step: Step, vcpu: number): Effects {
    const hex = ANSWERS.get(u32(step.bytes ?? new Uint8Array(), 0))
    if (hex !== undefined) this.test.do({ op: 'message.post', vcpu, sint: 2, type: 1, hex })
    const effects = new Effects()
    effects.setStatus(0)
    return effects
  }
}

function textOf({ code, args, bytes, byHost, vcpu }: Step): string {
  const [first, second, third] = args
  const name = MSR_NAMES.get(first) ?? hex(first)
  const who = `${byHost === true ? 'host ' : ''}${vcpu > 0 ? `v${vcpu} ` : ''}`
  switch (code) {
    case o.OP_MSR_READ:
      return `${who}${name}?`
    case o.OP_MSR_WRITE:
      return `${who}${name}=0x${toBigInt(second, third).toString(16)}`
    case o.OP_MEM_READ:
      return `${who}[${hex(first)}]?`
    case o.OP_MEM_WRITE:
      return `${who}[${hex(first)}]=${bytes?.length ?? 0} bytes`
    case o.OP_PAGE_CLAIM:
    case o.OP_PAGE_FREE:
      return `${who}${o.OP_NAMES[code]} ${hex(first)}`
    default:
      return `${who}${o.OP_NAMES[code]}`
  }
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`
}
