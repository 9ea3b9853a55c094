/** Both subprotocols are one stream: the same batches give the same frames and leave the same state. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { traceText } from '../../routes/log.js'
import { streamPartition } from '../../routes/stream-partition.js'
import { BinCodec } from '../../src/api/bin-codec.js'
import type { Filter } from '../../src/api/frames.js'
import { NOTIFICATION_KINDS } from '../../src/api/frames.js'
import { PartitionHub } from '../../src/streams/hub.js'
import type { MachineSetup, WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'
import { rethrow, TestClient, TestTurn } from '../support/stream.js'
import { listenedHost, stateOf } from '../support/stream-host.js'

type Step =
  | { readonly ops: readonly WireInput[]; readonly stop_on_fault: boolean }
  | { readonly subscribe: Filter }

const name = fc.constantFrom('vmbus', 'mshv', 'firmware', 'linux-6.1')

/** What random ops have too little of: named kernels, and vCPUs that are not there. */
const rareOp: fc.Arbitrary<WireInput> = fc.oneof(
  fc.record({
    op: fc.constant('kernel.boot'),
    kernel: name,
    cause: fc.constantFrom('kexec', 'crash', 'reset'),
  }),
  fc.record({ op: fc.constant('apic.ack'), vcpu: fc.constantFrom(3, 0xffff_ffff) }),
  fc.record({ op: fc.constant('vcpu.kick'), vcpu: fc.nat(3), sticky: fc.boolean() }),
  fc.record({ op: fc.constant('vcpu.create'), vcpu: fc.constantFrom(3, 3, 4096) }),
)
const op = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: randomOps(1).map(([one]) => one) }, { weight: 1, arbitrary: rareOp }),
    fc.option(name),
  )
  .map(([one, actor]): WireInput => (actor === null || 'actor' in one ? one : { ...one, actor }))

const filter: fc.Arbitrary<Filter> = fc.record(
  { kinds: fc.uniqueArray(fc.constantFrom(...NOTIFICATION_KINDS)), vcpus: fc.uniqueArray(fc.nat(3)) },
  { requiredKeys: [] },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({ ops: fc.array(op, { maxLength: 12 }), stop_on_fault: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ subscribe: filter }) },
)

/** A client that acts on a partition of its own while another listens. */
function stream(setup: MachineSetup, protocol: 'json' | 'bin', listens: Filter) {
  const host = listenedHost(setup)
  const turn = new TestTurn()
  const parts = { turn, protocol }
  const actor = new TestClient({ ...parts, partition: streamPartition(host, 'tester') })
  const listener = new TestClient({ ...parts, partition: streamPartition(host, undefined), filter: listens })
  const hub = new PartitionHub(streamPartition(host, undefined), turn)
  for (const { session } of [actor, listener]) {
    hub.add(session, rethrow)
    session.begin(0)
  }
  host.notifications.listen(hub.news)
  const codec = new BinCodec()
  const send = (id: number, what: Step): void => {
    const isBatch = 'ops' in what
    if (protocol === 'json') actor.receive(Buffer.from(JSON.stringify({ id, ...what })), false)
    else if (isBatch) actor.receive(Buffer.from(codec.encodeOps(id, what.ops, what.stop_on_fault)), true)
    else actor.receive(Buffer.from(codec.encodeSubscribe(id, what.subscribe)), true)
  }
  return { host, turn, actor, listener, send }
}

/** All that a stream told and left behind. `steps` of one turn arrive before its end. */
function runOf(setup: MachineSetup, protocol: 'json' | 'bin', turns: readonly Step[][], listens: Filter) {
  const { host, turn, actor, listener, send } = stream(setup, protocol, listens)
  for (const [i, steps] of turns.entries()) {
    for (const [j, one] of steps.entries()) send(100 * i + j, one)
    turn.end()
  }
  // Each protocol has a partition of its own.
  const ownHello = { created_at: '', protocol: '' }
  const frames = [actor, listener].map((client) =>
    client.frames().map((frame) => ('hello' in frame ? { ...frame.hello, ...ownHello } : frame)),
  )
  const log = [...traceText(host, host.journal.firstSeq, host.partition.seq)].join('')
  return { frames, log, state: stateOf(host), closed: [...actor.closed, ...listener.closed] }
}

describe('synic.v1.json and synic.v1.bin', () => {
  it('agree on every frame, on the log and on the state they leave', () => {
    const turns = fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 })
    holds(
      fc.property(randomSetup, turns, filter, (setup, all, listens) => {
        const [json, bin] = (['json', 'bin'] as const).map((protocol) => runOf(setup, protocol, all, listens))
        expect(bin).toEqual(json)
        expect(json.closed).toEqual([])
      }),
      300,
    )
  })

  it.each([
    ['an op with an actor of its own', [{ op: 'page.claim', gpa: 0x5000, actor: 'mshv' }], 'results'],
    ['an op of the connection’s actor', [{ op: 'msr.write', vcpu: 0, msr: 'SINT2', value: 1 }], 'results'],
    [
      'a kernel and who boots it',
      [{ op: 'kernel.boot', kernel: 'b', cause: 'kexec', actor: 'a' }],
      'results',
    ],
    ['a vCPU that does not exist', [{ op: 'apic.ack', vcpu: 9 }], 'problem'],
    ['too many ops', Array.from({ length: 10_001 }, () => ({ op: 'apic.ack', vcpu: 0 })), 'problem'],
    [
      'results too long',
      Array.from({ length: 300 }, () => ({ op: 'mem.read', gpa: 0, len: 65_536 })),
      'problem',
    ],
  ])('agree on %s', (_what, ops, outcome) => {
    const setup: MachineSetup = { profile: 'tlfs' }
    const turns: Step[][] = [
      [{ ops, stop_on_fault: false }],
      [{ ops: [{ op: 'synic.dump', vcpu: 0 }], stop_on_fault: true }],
    ]
    const [json, bin] = (['json', 'bin'] as const).map((protocol) => runOf(setup, protocol, turns, {}))
    expect(bin).toEqual(json)
    expect(json.frames[0].some((frame) => outcome in frame && 'id' in frame && frame.id === 0)).toBe(true)
  })
})
