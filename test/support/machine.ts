/** A partition driven by wire ops: what most core tests stand on. */

import { encodeOp } from '../../src/api/op-encode.js'
import type { Result } from '../../src/api/result.js'
import { resultText } from '../../src/api/result.js'
import type { PartitionKind } from '../../src/hv/cpuid.js'
import { GPA_LIMIT_DEFAULT_PAGES, MEMORY_PAGES_DEFAULT } from '../../src/hv/limits.js'
import { OpWriter } from '../../src/synic/op.js'
import { Partition } from '../../src/synic/partition.js'
import { type OptionOverrides, type ProfileName, resolveOptions } from '../../src/synic/profile.js'

export interface MachineSetup {
  profile: ProfileName
  kind?: PartitionKind
  /** vCPUs 0..n-1 created at once (default 1). */
  vcpus?: number
  gpaPages?: number
  memoryPagesMax?: number
  options?: OptionOverrides
}

export type WireInput = { op: string } & Record<string, unknown>

export class TestMachine {
  readonly partition: Partition
  readonly #writer = new OpWriter()

  constructor(partition: Partition) {
    this.partition = partition
  }

  /** Applies one op and returns its result. */
  do(op: WireInput): Result {
    this.#writer.clear()
    encodeOp(op, this.#writer, this.partition.names, 0)
    this.partition.apply(this.#writer.words, 0)
    return JSON.parse(resultText(this.partition.effects)) as Result
  }

  /** RDMSR as text; the fault or errno if it is refused. */
  read(msr: string, vcpu = 0, by = 'guest'): string | number | undefined {
    const result = this.do({ op: 'msr.read', vcpu, msr, by })
    return result.value ?? result.fault ?? result.errno
  }

  write(msr: string, value: string | number, vcpu = 0, by = 'guest'): Result {
    return this.do({ op: 'msr.write', vcpu, msr, value, by })
  }

  /** Bytes of guest memory as hex. */
  memory(gpa: string | number, len: number): string | undefined {
    return this.do({ op: 'mem.read', gpa, len }).hex
  }
}

export function machine(setup: MachineSetup): TestMachine {
  const kind = setup.kind ?? 'guest'
  const partition = new Partition({
    kind,
    profile: setup.profile,
    gpaPages: setup.gpaPages ?? GPA_LIMIT_DEFAULT_PAGES,
    memoryPagesMax: setup.memoryPagesMax ?? MEMORY_PAGES_DEFAULT,
    options: resolveOptions(setup.profile, kind, setup.options ?? {}),
  })
  const test = new TestMachine(partition)
  for (let vcpu = 0; vcpu < (setup.vcpus ?? 1); vcpu++) test.do({ op: 'vcpu.create', vcpu })
  return test
}
