/** What guests and VMMs spend their time in, as op records that are encoded once. */
import { encodeOp } from '../api/op-encode.js'
import type { Auditor } from '../audit/auditor.js'
import { OpWriter } from '../synic/op.js'
import type { Partition } from '../synic/partition.js'
import type { ProfileName } from '../synic/profile.js'

export const VCPUS = 64

export type WireOp = { op: string } & Record<string, unknown>

const HEX = '5a'.repeat(32)

/** Op records of one cycle on each vCPU. */
export class Cycles {
  readonly #writer = new OpWriter()
  readonly #starts: number[][]

  constructor(
    private readonly partition: Partition,
    cycle: (vcpu: number) => readonly WireOp[],
  ) {
    this.#starts = Array.from({ length: VCPUS }, (_, vcpu) =>
      cycle(vcpu).map((op) => {
        const at = this.#writer.length
        encodeOp(op, this.#writer, partition.names, 0)
        return at
      }),
    )
  }

  run(count: number): void {
    const { words } = this.#writer
    for (let i = 0; i < count; i++) {
      const starts = this.#starts[i % VCPUS]
      for (let k = 0; k < starts.length; k++) this.partition.apply(words, starts[k])
    }
  }

  /** The same with somebody watching. */
  runAudited(count: number, auditor: Auditor): void {
    const { words } = this.#writer
    for (let i = 0; i < count; i++) {
      const starts = this.#starts[i % VCPUS]
      for (let k = 0; k < starts.length; k++) {
        auditor.before(words, starts[k])
        this.partition.apply(words, starts[k])
        auditor.after()
      }
    }
  }
}

/** Each vCPU with a message page, SINT2 open and a GSI of its own. */
export function enlighten(): WireOp[] {
  const vcpus = Array.from({ length: VCPUS }, (_, vcpu) => vcpu)
  const write = (vcpu: number, msr: string, value: number) => ({ op: 'msr.write', vcpu, msr, value })
  const registers = vcpus.flatMap((vcpu) => [
    write(vcpu, 'SIMP', 0x100001 + vcpu * 0x2000),
    write(vcpu, 'SINT2', 0xf3),
    write(vcpu, 'SCONTROL', 1),
  ])
  return [
    ...registers,
    { op: 'gsi.route', entries: vcpus.map((vcpu) => ({ gsi: 100 + vcpu, vcpu, sint: 2 })) },
  ]
}

export interface Cycle {
  readonly what: string
  /** Before the first: of vCPU 0 alone where a partition has one clock. */
  readonly prepare?: readonly WireOp[]
  ops(vcpu: number): readonly WireOp[]
  /** Has this profile such a thing? */
  suits?(profile: ProfileName): boolean
}

const timer = (config: number): WireOp[] => [
  { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: config },
  { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 100 },
]

/** GSIs reach a SINT through KVM's routes alone. */
const hasGsis = (profile: ProfileName) => profile.startsWith('kvm') || profile === 'qemu'

export const SINT_WRITE: Cycle = {
  what: 'SINT write',
  ops: (vcpu) => [{ op: 'msr.write', vcpu, msr: 'SINT3', value: 0x100f4 }],
}

/** Two SINTs in turn and a new vector each time: the vector bitmaps are computed anew. */
const SINT_WRITE_PAIR: Cycle = {
  what: 'SINT write pair that changes the vector',
  ops: (vcpu) => [
    { op: 'msr.write', vcpu, msr: 'SINT3', value: 0xf4 },
    { op: 'msr.write', vcpu, msr: 'SINT3', value: 0xf5 },
  ],
}

export const MESSAGE_CYCLE: Cycle = {
  what: 'message cycle (post, take, complete, EOI)',
  ops: (vcpu) => [
    { op: 'message.post', vcpu, sint: 2, type: 1, hex: HEX },
    { op: 'apic.ack', vcpu },
    { op: 'message.complete', vcpu, sint: 2 },
    { op: 'apic.eoi', vcpu },
  ],
}

export const GSI_CYCLE: Cycle = {
  what: 'GSI cycle (edge, take, EOI, resample)',
  ops: (vcpu) => [
    { op: 'gsi.assert', gsi: 100 + vcpu },
    { op: 'apic.ack', vcpu },
    { op: 'apic.eoi', vcpu },
  ],
  suits: hasGsis,
}

/** A periodic timer in direct mode: its time comes, the vector is taken and ended. */
const TIMER_DIRECT: Cycle = {
  what: 'timer expiry cycle (direct)',
  prepare: timer(0x1ed3),
  ops: () => [
    { op: 'clock.advance', ticks: 100 },
    { op: 'apic.ack', vcpu: 0 },
    { op: 'apic.eoi', vcpu: 0 },
  ],
}

/** A periodic timer in message mode. */
const TIMER_MESSAGE: Cycle = {
  what: 'timer expiry cycle (message)',
  prepare: timer(0x2000b),
  ops: () => [
    { op: 'clock.advance', ticks: 100 },
    { op: 'apic.ack', vcpu: 0 },
    { op: 'message.complete', vcpu: 0, sint: 2 },
    { op: 'apic.eoi', vcpu: 0 },
  ],
}

/** All of them, cheapest first. */
export const CYCLES: readonly Cycle[] = [
  SINT_WRITE,
  SINT_WRITE_PAIR,
  MESSAGE_CYCLE,
  GSI_CYCLE,
  TIMER_DIRECT,
  TIMER_MESSAGE,
]
