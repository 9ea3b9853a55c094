// A partition host in a process of its own, as it is built: with its meter, or with one that does nothing.
import { encodeOp } from '../../dist/src/api/op-encode.js'
import { tuneCompiler } from '../../dist/src/cli/compiler.js'
import { LatencyTracker } from '../../dist/src/engine/latency.js'
import { DEFAULT_LIMITS } from '../../dist/src/engine/limits.js'
import { Meter } from '../../dist/src/engine/meter.js'
import { PartitionHost } from '../../dist/src/engine/partition-host.js'
import { Effects } from '../../dist/src/synic/effects.js'
import { Machine } from '../../dist/src/synic/machine.js'
import { OpWriter } from '../../dist/src/synic/op.js'
import { Partition } from '../../dist/src/synic/partition.js'
import { resolveOptions } from '../../dist/src/synic/profile.js'
import { WordBuffer } from '../../dist/src/synic/word-buffer.js'

const VCPUS = 64
/** Message cycles in a batch. */
const CYCLES = 64
const BATCHES = 3000
const GPA_PAGES = 0x10_0000

/** Counts and latencies go through the tracker, which the host makes: its class is what can be silenced. */
function silence() {
  LatencyTracker.prototype.follow = () => {}
  for (const method of ['countOps', 'countFailed']) Meter.prototype[method] = () => {}
}

function hostWith(meter) {
  const limits = DEFAULT_LIMITS
  const options = resolveOptions('kvm-synic2', 'guest', {})
  const { memoryPagesMax } = limits
  const config = { kind: 'guest', profile: 'kvm-synic2', gpaPages: GPA_PAGES, memoryPagesMax, options }
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
    const write = (msr, value) => ({ op: 'msr.write', vcpu, msr, value })
    const simp = write('SIMP', 0x10_0001 + vcpu * 0x2000)
    host.applyBatch([{ op: 'vcpu.create', vcpu }, simp, write('SINT2', 0xf3), write('SCONTROL', 1)])
  }
  return host
}

/** Messages posted, taken, completed and ended, on each vCPU in turn. */
function batchFor(host) {
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

tuneCompiler()
const metered = process.argv[2] === 'metered'
if (!metered) silence()
const host = hostWith(new Meter())
const batch = batchFor(host)
const out = new WordBuffer(16 * 1024)

/** Nanoseconds a message cycle. */
function round() {
  const startMs = performance.now()
  for (let i = 0; i < BATCHES; i++) {
    out.clear()
    host.applyRecords(batch, {}, out)
  }
  return ((performance.now() - startMs) * 1e6) / BATCHES / CYCLES
}

process.on('message', () => process.send(round()))
process.on('disconnect', () => process.exit(0))
process.send('ready')
