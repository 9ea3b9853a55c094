// The core alone, one thread: nanoseconds for the cycles that guests and VMMs spend their time in.
import { encodeOp } from '../src/api/op-encode.js'
import type { Auditor } from '../src/audit/auditor.js'
import { OpWriter } from '../src/synic/op.js'
import type { Partition } from '../src/synic/partition.js'
import type { ProfileName } from '../src/synic/profile.js'
import { machine } from '../test/support/machine.js'
import { type Row, rounds, summary } from './measure.js'

export const VCPUS = 64
const ITERATIONS = 400_000

type WireOp = { op: string } & Record<string, unknown>

/** Op records of one cycle on each vCPU, encoded once: the codec is measured with REST. */
export class Cycles {
  readonly #writer = new OpWriter()
  readonly #starts: number[][]

  constructor(
    private readonly partition: Partition,
    cycle: (vcpu: number) => WireOp[],
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

/** The least a store of a 64-bit register can cost here: two words in a slab, after a range check. */
function slabStore(count: number): void {
  const slab = new Uint32Array(VCPUS * 128)
  for (let i = 0; i < count; i++) {
    const at = (i % VCPUS) * 128 + 2 * (i & 15)
    if (at < 0 || at + 1 >= slab.length) throw new RangeError('out of range')
    slab[at] = i
    slab[at + 1] = 0
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

export function prepared(profile: ProfileName) {
  const test = machine({ profile, vcpus: VCPUS })
  for (const op of enlighten()) test.do(op)
  return test
}

export const hex = '5a'.repeat(32)

function measure(
  profile: ProfileName,
  what: string,
  cycle: (vcpu: number) => WireOp[],
  goalNs?: number,
): Row {
  const cycles = new Cycles(prepared(profile).partition, cycle)
  const each = summary(rounds(ITERATIONS, (count) => cycles.run(count)))
  const goal = goalNs === undefined ? {} : { goal: `<= ${goalNs} ns`, met: each.median <= goalNs }
  return { what: `${profile}: ${what}`, unit: 'ns', ...each, ...goal }
}

/** A periodic timer in direct mode: its time comes, the vector is taken and ended. */
function timerExpiry(profile: ProfileName): Row {
  const test = machine({ profile })
  test.write('STIMER0_CONFIG', 0x1ed3)
  test.write('STIMER0_COUNT', 100)
  const ops = [
    { op: 'clock.advance', ticks: 100 },
    { op: 'apic.ack', vcpu: 0 },
    { op: 'apic.eoi', vcpu: 0 },
  ]
  const cycles = new Cycles(test.partition, () => ops)
  return {
    what: `${profile}: timer expiry cycle (direct)`,
    unit: 'ns',
    ...summary(rounds(ITERATIONS, (n) => cycles.run(n))),
  }
}

/** A one-shot in message mode: armed, due, taken, completed, ended. */
function timerMessage(profile: ProfileName): Row {
  const test = prepared(profile)
  test.write('STIMER0_CONFIG', 0x2000b)
  test.write('STIMER0_COUNT', 100)
  const ops = [
    { op: 'clock.advance', ticks: 100 },
    { op: 'apic.ack', vcpu: 0 },
    { op: 'message.complete', vcpu: 0, sint: 2 },
    { op: 'apic.eoi', vcpu: 0 },
  ]
  const cycles = new Cycles(test.partition, () => ops)
  const each = summary(rounds(ITERATIONS, (count) => cycles.run(count)))
  return { what: `${profile}: timer expiry cycle (message)`, unit: 'ns', ...each }
}

/**
 * Every cycle of one profile. Profiles run in processes of their own, so that none warms up another's code.
 */
export function coreRows(profile: ProfileName): Row[] {
  const store = summary(rounds(ITERATIONS, slabStore))
  const rows: Row[] = [
    { what: `${profile}: floor: checked store of two words`, unit: 'ns', ...store },
    measure(profile, 'SINT write', (vcpu) => [{ op: 'msr.write', vcpu, msr: 'SINT3', value: 0x100f4 }], 60),
    // Two SINTs in turn and a new vector each time: the vector bitmaps are computed anew.
    measure(profile, 'SINT write pair that changes the vector', (vcpu) => [
      { op: 'msr.write', vcpu, msr: 'SINT3', value: 0xf4 },
      { op: 'msr.write', vcpu, msr: 'SINT3', value: 0xf5 },
    ]),
    measure(
      profile,
      'message cycle (post, take, complete, EOI)',
      (vcpu) => [
        { op: 'message.post', vcpu, sint: 2, type: 1, hex },
        { op: 'apic.ack', vcpu },
        { op: 'message.complete', vcpu, sint: 2 },
        { op: 'apic.eoi', vcpu },
      ],
      250,
    ),
  ]
  if (profile.startsWith('kvm') || profile === 'qemu') {
    rows.push(
      measure(
        profile,
        'GSI cycle (edge, take, EOI, resample)',
        (vcpu) => [
          { op: 'gsi.assert', gsi: 100 + vcpu },
          { op: 'apic.ack', vcpu },
          { op: 'apic.eoi', vcpu },
        ],
        120,
      ),
    )
  }
  return [...rows, timerExpiry(profile), timerMessage(profile)]
}
