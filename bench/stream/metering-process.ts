// A partition host in a process of its own, as it ships: with its meter, or with one that is off.
import { encodeOp } from '../../src/api/op-encode.js'
import { tuneV8 } from '../../src/cli/tune-v8.js'
import { DEFAULT_LIMITS } from '../../src/engine/limits.js'
import { Meter } from '../../src/engine/meter.js'
import { PartitionHost, type RecordBatch } from '../../src/engine/partition-host.js'
import { Effects } from '../../src/synic/effects.js'
import { Machine, type PartitionConfig } from '../../src/synic/machine.js'
import { OpWriter } from '../../src/synic/op.js'
import { Partition } from '../../src/synic/partition.js'
import { resolveOptions } from '../../src/synic/profile.js'
import { WordBuffer } from '../../src/synic/word-buffer.js'

const VCPUS = 64
/** Message cycles in a batch. */
const CYCLES = 64
const BATCHES = 3000
const GPA_PAGES = 0x10_0000

function hostWith(meter: Meter): PartitionHost {
  const limits = DEFAULT_LIMITS
  const options = resolveOptions('kvm-synic2', 'guest', {})
  const { memoryPagesMax } = limits
  const config: PartitionConfig = {
    kind: 'guest',
    profile: 'kvm-synic2',
    gpaPages: GPA_PAGES,
    memoryPagesMax,
    options,
  }
  const effects = new Effects()
  const scratch = { batch: new OpWriter(), clock: new OpWriter(), effects }
  const env = {
    limits,
    meter,
    now: () => performance.now(),
    scratch,
    vcpusLeft: () => VCPUS,
    vcpusCreated() {},
  }
  const host = new PartitionHost(
    'bench',
    1,
    new Partition(config, new Machine(config, effects)),
    'virtual',
    env,
    'off',
  )
  for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
    const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu, msr, value })
    const simp = write('SIMP', 0x10_0001 + vcpu * 0x2000)
    host.applyBatch([{ op: 'vcpu.create', vcpu }, simp, write('SINT2', 0xf3), write('SCONTROL', 1)])
  }
  return host
}

/** Messages posted, taken, completed and ended, on each vCPU in turn. */
function batchFor(host: PartitionHost): RecordBatch {
  const writer = new OpWriter()
  for (let i = 0; i < CYCLES; i++) {
    const vcpu = i % VCPUS
    const post = { op: 'message.post', vcpu, sint: 2, type: 1, hex: '5a'.repeat(32) }
    const complete = { op: 'message.complete', vcpu, sint: 2 }
    for (const op of [post, { op: 'apic.ack', vcpu }, complete, { op: 'apic.eoi', vcpu }]) {
      encodeOp(op, writer, host.partition.names, 0)
    }
  }
  const nameOf = () => undefined
  return { words: writer.words, from: 0, end: writer.length, count: CYCLES * 4, nameOf }
}

tuneV8()
const meter = new Meter()
meter.isOn = process.argv[2] === 'metered'
const host = hostWith(meter)
const batch = batchFor(host)
const out = new WordBuffer(16 * 1024)

/** Nanoseconds a message cycle. */
function round(): number {
  const startMs = performance.now()
  for (let i = 0; i < BATCHES; i++) {
    out.clear()
    host.applyRecords(batch, {}, out)
  }
  return ((performance.now() - startMs) * 1e6) / BATCHES / CYCLES
}

process.on('message', () => process.send?.(round()))
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
