/** `synic.v1.bin` met by records that lie: refused by field or the end, and nothing changes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { streamPartition } from '../../routes/stream-partition.js'
import { BinCodec } from '../../src/api/bin-codec.js'
import { ALL_KINDS, RECORD_BATCH, RECORD_NAME, RECORD_SUBSCRIBE } from '../../src/api/records.js'
import { NAME_RULE } from '../../src/api/wire.js'
import { PORT_EVENT, PORT_MESSAGE } from '../../src/hv/hypercalls.js'
import { CLAIMS_MAX, MEMORY_OP_BYTES_MAX, ROUTE_ENTRIES_WIRE_MAX } from '../../src/hv/limits.js'
import { PAYLOAD_BYTES_MAX } from '../../src/hv/messages.js'
import { HV_X64_MSR_SINT0 } from '../../src/hv/msrs.js'
import type { Incoming } from '../../src/streams/incoming.js'
import { FROM_EVENT } from '../../src/synic/effects.js'
import * as o from '../../src/synic/op.js'
import { holds } from '../support/property.js'
import { TestClient, TestTurn } from '../support/stream.js'
import { listenedHost, stateOf } from '../support/stream-host.js'
import { batch, name, type OpRecord, opRecord, packed } from '../support/stream-records.js'
import { anyGoodOp } from '../support/wire-arbitraries.js'

/** A client of a partition with two vCPUs, which has told one name. */
function client(profile: 'tlfs' | 'kvm' = 'tlfs') {
  const host = listenedHost({ profile, vcpus: 2 })
  const turn = new TestTurn()
  const made = new TestClient({ partition: streamPartition(host, undefined), turn, protocol: 'bin' })
  made.send(Int32Array.from(name(1, 'vmbus')))
  return {
    host,
    client: made,
    send: (words: readonly number[]) => made.send(Int32Array.from(words)),
    frames: () => {
      turn.end()
      return made.frames()
    },
    messages: () => {
      turn.end()
      return made.messages()
    },
  }
}

/** The records of a message, each as its words. */
function recordsIn(payload: Uint8Array): number[][] {
  const words = Array.from(new Int32Array(new Uint8Array(payload).buffer))
  const records: number[][] = []
  for (let at = 0; at < words.length; at += words[at + 1]) records.push(words.slice(at, at + words[at + 1]))
  return records
}

const GOOD: OpRecord = { first: o.OP_MSR_WRITE, args: [HV_X64_MSR_SINT0 + 2, 0xf3, 0] }
const MOST = 0x7fff_ffff

const BAD_OPS: readonly [why: string, op: OpRecord, field: string][] = [
  ['code 0', { first: 0 }, 'op'],
  ['the code after the last', { first: o.OP_HOST_STEP + 1, args: [0, 0, 0] }, 'op'],
  ['the highest code', { first: o.OP_CODE }, 'op'],
  ['a bit that no op has', { first: o.OP_APIC_ACK | (1 << 9) }, 'op'],
  ['the sign bit', { first: o.OP_APIC_ACK | (1 << 31) }, 'op'],
  ['a flag of another op', { first: o.OP_APIC_ACK | o.FLAG_NESTED }, 'op'],
  ['an argument missing', { first: o.OP_MSR_WRITE, args: [1, 2] }, 'length'],
  ['an argument too many', { first: o.OP_MSR_READ, args: [1, 2] }, 'length'],
  ['arguments where none belong', { first: o.OP_APIC_EOI, args: [0] }, 'length'],
  ['capability 0', { first: o.OP_CAP_ENABLE, args: [0] }, 'cap'],
  ['capability 3', { first: o.OP_CAP_ENABLE, args: [3] }, 'cap'],
  ['a read too long', { first: o.OP_MEM_READ, args: [0, 0, MEMORY_OP_BYTES_MAX + 1] }, 'len'],
  ['a read of less than nothing', { first: o.OP_MEM_READ, args: [0, 0, -1] }, 'len'],
  ['a write too long', { first: o.OP_MEM_WRITE, args: [0, 0, MEMORY_OP_BYTES_MAX + 1] }, 'hex'],
  ['a write of less than nothing', { first: o.OP_MEM_WRITE, args: [0, 0, -1] }, 'hex'],
  ['fewer bytes than counted', { first: o.OP_MEM_WRITE, args: [0, 0, 9, 1, 2] }, 'length'],
  ['more bytes than counted', { first: o.OP_MEM_WRITE, args: [0, 0, 4, 1, 2] }, 'length'],
  ['a payload too long', { first: o.OP_MESSAGE_POST, args: [2, 1, 0, 0, PAYLOAD_BYTES_MAX + 1] }, 'hex'],
  ['a payload of 2^31-1 bytes', { first: o.OP_MESSAGE_POST, args: [2, 1, 0, 0, MOST] }, 'hex'],
  ['a payload shorter than counted', { first: o.OP_MESSAGE_POST, args: [2, 1, 0, 0, 5, 1] }, 'length'],
  ['a guest payload too long', { first: o.OP_HV_POST_MESSAGE, args: [1, 1, PAYLOAD_BYTES_MAX + 1] }, 'hex'],
  ['a flag above 16 bits', { first: o.OP_HV_SIGNAL_EVENT, args: [1, 0x1_0000] }, 'flag'],
  ['a TPR above 8 bits', { first: o.OP_APIC_TPR, args: [256] }, 'value'],
  ['a switch between on and off', { first: o.OP_APIC_ENABLE, args: [2] }, 'on'],
  ['too many routes', { first: o.OP_GSI_ROUTE, args: [ROUTE_ENTRIES_WIRE_MAX + 1] }, 'entries'],
  ['fewer than no routes', { first: o.OP_GSI_ROUTE, args: [-1] }, 'entries'],
  ['fewer routes than counted', { first: o.OP_GSI_ROUTE, args: [2, 24, 0, 2] }, 'length'],
  ['too many claims', { first: o.OP_ACTOR_ATTACH, actor: 1, args: [CLAIMS_MAX + 1] }, 'claims'],
  ['claims of vCPU -2', { first: o.OP_ACTOR_ATTACH, actor: 1, args: [1, -2, 0] }, 'claims/0'],
  ['a claim of too high a vCPU', { first: o.OP_ACTOR_ATTACH, actor: 1, args: [1, 10_000, 0] }, 'claims/0'],
  ['fewer claims than counted', { first: o.OP_ACTOR_ATTACH, actor: 1, args: [2, 0, 0] }, 'length'],
  ['ticks beyond 2^53-1', { first: o.OP_CLOCK_ADVANCE, args: [0, 1 << 21] }, 'ticks'],
  ['ticks below 0', { first: o.OP_CLOCK_ADVANCE, args: [-1, -1] }, 'ticks'],
  ['port type 0', { first: o.OP_PORT_CREATE, args: [1, 0, 0, 2, 0, 0] }, 'type'],
  ['a monitor port', { first: o.OP_PORT_CREATE, args: [1, 3, 0, 2, 0, 0] }, 'type'],
  ['a high base flag', { first: o.OP_PORT_CREATE, args: [1, PORT_EVENT, 0, 2, 0x1_0000, 0] }, 'flag_base'],
  ['many flags', { first: o.OP_PORT_CREATE, args: [1, PORT_EVENT, 0, 2, 0, 0x1_0000] }, 'flag_count'],
  ['a doorbell of 16 bytes', { first: o.OP_CONNECTION_CREATE, args: [1, 1, 0, 0, 0, 0, 5] }, 'len'],
  ['an exchange of 2 bytes', { first: o.OP_MEM_CAS, args: [0, 0, 2, 0, 0, 0, 0] }, 'len'],
  ['an exchange of no bytes', { first: o.OP_MEM_XCHG, args: [0, 0, 0, 0, 0] }, 'len'],
  ['a kernel without a name', { first: o.OP_KERNEL_BOOT, args: [0, 0] }, 'kernel'],
  ['a kernel nobody named', { first: o.OP_KERNEL_BOOT, args: [2, 0] }, 'kernel'],
  ['a cause of no boot', { first: o.OP_KERNEL_BOOT, args: [1, 3] }, 'cause'],
  ['a part of no delivery', { first: o.OP_HOST_STEP, args: [3, -1, -1] }, 'part'],
  ['an actor nobody named', { ...GOOD, actor: 2 }, 'actor'],
  ['an actor beyond all numbers', { ...GOOD, actor: MOST }, 'actor'],
  ['a negative actor', { ...GOOD, actor: -1 }, 'actor'],
  ['a claimed page without an actor', { first: o.OP_PAGE_CLAIM, args: [0x5000, 0] }, 'actor'],
  ['a driver without a name', { first: o.OP_ACTOR_DETACH }, 'actor'],
  ['a vCPU that does not exist', { ...GOOD, vcpu: 2 }, 'vcpu'],
  ['a vCPU below 0', { ...GOOD, vcpu: -1 }, 'vcpu'],
]

describe('an op that breaks a rule', () => {
  it.each(BAD_OPS)('%s: refused by field, and nothing before it applied', (_why, op, field) => {
    const { host, send, frames, client: c } = client()
    const before = stateOf(host)
    send(batch(GOOD, op))
    const [frame] = frames()
    expect(frame).toMatchObject({ id: 7, problem: { errors: [{ path: `ops/1/${field}` }] } })
    expect([stateOf(host), c.closed]).toEqual([before, []])
    send(batch(GOOD))
    expect(frames()).toMatchObject([{ id: 7, results: [{ ok: true }] }])
  })

  it('a header cut short: refused, for its length does not fit', () => {
    const { send, frames, client: c } = client()
    send([RECORD_BATCH, 4, 7, 1, o.OP_APIC_ACK, 2])
    expect(frames()).toMatchObject([{ id: 7, problem: { errors: [{ path: 'ops/0/length' }] } }])
    expect(c.closed).toEqual([])
  })

  it('a notification of an event flag says that an event is its source', () => {
    const { host, client: c, messages } = client()
    host.applyBatch([
      { op: 'msr.write', vcpu: 1, msr: 'SIEFP', value: 0x11001 },
      { op: 'msr.write', vcpu: 1, msr: 'SINT5', value: 0x55 },
      { op: 'msr.write', vcpu: 1, msr: 'SCONTROL', value: 1 },
      { op: 'event.signal', vcpu: 1, sint: 5, flag: 3 },
    ])
    c.session.catchUp()
    const records = messages().flatMap(({ payload }) => recordsIn(payload))
    const event = records.find(([first]) => (first & 0xff) === 0xd1)
    expect(event?.slice(9)).toEqual([(5 << 8) | FROM_EVENT, 3])
  })

  it('is looked for in every op of a batch: each good form passes', () => {
    const { send, frames } = client('kvm')
    const forms: OpRecord[] = [
      GOOD,
      { ...GOOD, actor: 1 },
      { first: o.OP_CAP_ENABLE, args: [o.CAP_SYNIC2] },
      { first: o.OP_MEM_WRITE, args: [0x5000, 0, 5, 1, 2] },
      { first: o.OP_ACTOR_ATTACH, actor: 1, args: [1, -1, HV_X64_MSR_SINT0] },
      { first: o.OP_PORT_CREATE, args: [1, PORT_MESSAGE, 0, 2, 0, 0] },
      { first: o.OP_KERNEL_BOOT, args: [1, 0] },
      { first: o.OP_VCPU_KICK | o.FLAG_TRANSIENT },
      { first: o.OP_APIC_ACK | o.OP_BY_HOST },
    ]
    send(batch(...forms))
    const [answer] = frames().slice(-1)
    expect('results' in answer && answer.results).toHaveLength(forms.length)
  })

  it.each([
    ['of a message', { first: o.OP_MESSAGE_POST, args: [2, 1, 0, 0] }],
    ['of a store', { first: o.OP_MEM_WRITE, args: [0x10000, 0] }],
  ])('what fills up the last word %s is nobody’s', (_what, { first, args }) => {
    const [clean, dirty] = [0, 0xff].map((filling) => {
      const { host, send, frames } = client()
      const simp = { first: o.OP_MSR_WRITE, args: [0x4000_0083, 0x1_0001, 0] }
      const scontrol = { first: o.OP_MSR_WRITE, args: [0x4000_0080, 1, 0] }
      send(batch(simp, scontrol, { first, args: [...args, 1, ...packed(Uint8Array.of(7), filling)] }))
      return [stateOf(host), frames()]
    })
    expect(dirty).toEqual(clean)
  })
})

type BadFrame = [why: string, words: readonly number[], reason: string]

const lengthUpTo = (words: number) =>
  `word 1 must be the record’s length in words, from 2 to the ${words} that there are`
const opsBefore = (word: number) => `word 3 must be the number of ops that follow: word ${word} begins none`
const NO_RECORD = 'word 0 must begin a batch, a subscription or a name: 0x80, 0x81 or 0x82 in bits 7:0'
const NO_VCPUS = 'word 4 must be -1, or the count of vCPUs to the record’s end: 4096 at most'
const NO_BYTES = 'word 3 must be the count of bytes to the record’s end'
const NO_NAME = `word 4 must begin ${NAME_RULE}`

const BAD_FRAMES: readonly BadFrame[] = [
  [
    'a word alone',
    [RECORD_BATCH],
    'word 1 must be the record’s length in words, and the message ends before it',
  ],
  ['length 0', [RECORD_BATCH, 0, 7, 0], lengthUpTo(4)],
  ['length 1', [RECORD_NAME, 1, 7, 0], lengthUpTo(4)],
  ['a negative length', [RECORD_BATCH, -4, 7, 0], lengthUpTo(4)],
  ['a length beyond the frame', [RECORD_SUBSCRIBE, 6, 7, ALL_KINDS, -1], lengthUpTo(5)],
  ['length 2^31-1', [RECORD_BATCH, MOST, 7, 0], lengthUpTo(4)],
  ['an unknown tag', [0x7f, 2], NO_RECORD],
  ['an op outside a batch', opRecord(GOOD), NO_RECORD],
  ['a record of the server', [0xc0, 2], NO_RECORD],
  [
    'a bit that no batch has',
    [RECORD_BATCH | 0x200, 4, 7, 0],
    'word 0 has a flag that no batch has: bit 8 is the only one',
  ],
  [
    'a batch of five words',
    [RECORD_BATCH, 5, 7, 0, 0],
    'word 1 must be 4: the ops are not in the length of their batch',
  ],
  [
    'a batch without a count',
    [RECORD_BATCH, 3, 7],
    'word 1 must be 4: the ops are not in the length of their batch',
  ],
  ['ops that are not there', [RECORD_BATCH, 4, 7, 1], opsBefore(4)],
  ['2^31-1 ops', [RECORD_BATCH, 4, 7, MOST, ...opRecord(GOOD)], opsBefore(11)],
  ['-1 ops', [RECORD_BATCH, 4, 7, -1, ...opRecord(GOOD)], opsBefore(11)],
  ...[0, 1, -1, MOST, 8].map((length): BadFrame => {
    const words = [RECORD_BATCH, 4, 7, 1, ...opRecord({ ...GOOD, length })]
    return [`an op of length ${length}`, words, opsBefore(4)]
  }),
  ['a subscription without vCPUs', [RECORD_SUBSCRIBE, 4, 7, 0], 'word 1 must be 5 or more'],
  [
    'kinds that do not exist',
    [RECORD_SUBSCRIBE, 5, 7, 1 << 10, -1],
    'word 3 must be a mask of kinds, in bits 0 to 9',
  ],
  ['all 32 kinds', [RECORD_SUBSCRIBE, 5, 7, -1, -1], 'word 3 must be a mask of kinds, in bits 0 to 9'],
  ['fewer vCPUs than counted', [RECORD_SUBSCRIBE, 6, 7, 0, 2, 0], NO_VCPUS],
  ['-2 vCPUs', [RECORD_SUBSCRIBE, 5, 7, 0, -2], NO_VCPUS],
  ['2^31-1 vCPUs', [RECORD_SUBSCRIBE, 5, 7, 0, MOST], NO_VCPUS],
  [
    'a subscription with a flag',
    [RECORD_SUBSCRIBE | 0x100, 5, 7, 0, -1],
    'word 0 has a flag, and a subscription has none',
  ],
  [
    'a name with a flag',
    [RECORD_NAME | 0x100, ...name(1, 'mshv').slice(1)],
    'word 0 has a flag, and a name has none',
  ],
  ['a name behind a mark of byte order', name(2, '\ufeffvmbus'), NO_NAME],
  ['name 0', name(0, 'mshv'), 'word 2 must be the number of a name, from 1 to 4095'],
  ['name -1', name(-1, 'mshv'), 'word 2 must be the number of a name, from 1 to 4095'],
  ['name 4096', name(4096, 'mshv'), 'word 2 must be the number of a name, from 1 to 4095'],
  ['a name without letters', name(2, ''), NO_NAME],
  ['a name of 65 letters', name(2, 'x'.repeat(65)), NO_NAME],
  ['a name with a blank', name(2, 'a b'), NO_NAME],
  ['a name that is no UTF-8', [RECORD_NAME, 5, 2, 1, 0xff], NO_NAME],
  ['a name without a text', [RECORD_NAME, 3, 2], 'word 1 must be 4 or more'],
  ['a name longer than its record', [RECORD_NAME, 5, 2, 5, 0x6161_6161], NO_BYTES],
  ['a name shorter than its record', [RECORD_NAME, 6, 2, 4, 0x6161_6161, 0], NO_BYTES],
  ['a name of -1 bytes', [RECORD_NAME, 4, 2, -1], NO_BYTES],
  ['a name of 2^31-1 bytes', [RECORD_NAME, 5, 2, MOST, 0], NO_BYTES],
]

describe('a frame that is none', () => {
  it.each(BAD_FRAMES)('%s: the stream ends, and nothing is applied', (_why, words, reason) => {
    const { host, send, client: c, frames } = client()
    const before = stateOf(host)
    send(words)
    expect(c.closed).toEqual([[4000, reason.replace('’', "'")]])
    // As much as a close frame has room for (RFC 6455, section 5.5).
    expect(reason.length).toBeLessThanOrEqual(123)
    expect([stateOf(host), frames()]).toEqual([before, []])
  })

  it.each([1, 2, 3, 5, 4 * 4 + 1])('%i bytes are no words', (bytes) => {
    const { client: c } = client()
    c.receive(Buffer.alloc(bytes), true)
    expect(c.closed).toEqual([[4000, 'a frame is records of 32-bit words']])
  })

  it('text is none', () => {
    const { client: c } = client()
    c.send('{"id":1,"ops":[]}')
    expect(c.closed).toEqual([[4000, 'this protocol has binary frames']])
  })

  it.each([
    ['an unknown tag', [...batch(GOOD), 0x7f, 2], [{ ok: true }]],
    ['an op that its batch does not count', [RECORD_BATCH, 4, 7, 0, ...opRecord(GOOD)], []],
  ])('is read and answered up to the record that is wrong: %s', (_why, words, results) => {
    const { send, client: c, frames } = client()
    send(words)
    expect(frames()).toEqual([{ id: 7, seq: 3, results }])
    expect(c.closed).toEqual([
      [4000, expect.stringContaining('must begin a batch, a subscription or a name')],
    ])
  })

  it('of no words asks for nothing', () => {
    const { send, client: c, frames } = client()
    send([])
    expect([frames(), c.closed]).toEqual([[], []])
  })

  it('a batch of more ops than the server takes is refused, not the end', () => {
    const { host, send, frames, client: c } = client()
    const before = stateOf(host)
    send(batch(...Array.from({ length: 10_001 }, () => ({ first: o.OP_APIC_ACK }))))
    expect(frames()).toMatchObject([{ id: 7, problem: { errors: [{ path: 'ops' }] } }])
    expect([stateOf(host), c.closed]).toEqual([before, []])
  })
})

it('a hello has its words where docs/streams.md says', () => {
  const host = listenedHost({ profile: 'tlfs' })
  const turn = new TestTurn()
  const partition = { ...streamPartition(host, undefined), lastN: 5, createdAt: new Date(0x1_0000_0002) }
  const made = new TestClient({ partition, turn, protocol: 'bin' })
  made.session.begin(undefined)
  turn.end()
  const [{ payload }] = made.messages()
  const words = new Int32Array(new Uint8Array(payload).buffer)
  expect([...words]).toEqual([0xc0, 9, 5, 0, 1, 2, 1, 2, Buffer.from('p1\0\0').readInt32LE()])
})

/** Words that are tags, lengths and counts more often than chance would have it. */
const word = fc.oneof(
  fc.constantFrom(RECORD_BATCH, RECORD_SUBSCRIBE, RECORD_NAME, RECORD_BATCH | 0x100),
  fc.nat(50),
  fc.constantFrom(-1, MOST, -MOST - 1, 0x1_0000, 0xff),
  fc.integer(),
)

function changesOnlyIfAnswered(words: Int32Array): void {
  const { host, client: c, frames } = client()
  const before = stateOf(host)
  c.send(words)
  const answered = frames().some((frame) => 'results' in frame && frame.results.length > 0)
  // Who blocks a vCPU is answered once it wakes.
  const willBe = host.partition.vcpuIds().some((vcpu) => host.partition.isHalted(vcpu))
  if (!answered && !willBe) expect(stateOf(host)).toBe(before)
}

describe('whatever a client sends', () => {
  it('any words change the partition only if they are answered', () => {
    holds(
      fc.property(fc.array(word, { maxLength: 40 }), (words) =>
        changesOnlyIfAnswered(Int32Array.from(words)),
      ),
      2000,
    )
  })

  it('nor does a good batch with one word changed', () => {
    const ops = fc.array(anyGoodOp, { minLength: 1, maxLength: 4 })
    holds(
      fc.property(ops, fc.nat(), word, (good, place, wrong) => {
        const words = new Int32Array(new BinCodec().encodeOps(7, good, false).slice().buffer)
        words[place % words.length] = wrong
        changesOnlyIfAnswered(words)
      }),
      3000,
    )
  })
})

describe('a message of many batches', () => {
  it('waits in its middle for a client that leaves its answers unread', () => {
    const { send, client: c, frames } = client()
    c.unread = 5 * 1024 * 1024
    send([...batch(GOOD), ...batch(GOOD), ...batch(GOOD)])
    expect(frames()).toMatchObject([{ seq: 3 }])
    for (const seq of [4, 5]) {
      // As it would lie there once more has been read.
      c.rest = c.session.receive(c.rest as Incoming)
      expect(frames()).toMatchObject([{ seq }])
    }
    expect(c.rest).toBeUndefined()
  })

  it('goes on at once for one that reads', () => {
    const { send, client: c, frames } = client()
    send([...batch(GOOD), ...batch(GOOD)])
    expect([frames(), c.rest]).toMatchObject([[{ seq: 3 }, { seq: 4 }], undefined])
  })

  it('ends where the stream does', () => {
    const { send, client: c, host } = client()
    c.unread = 5 * 1024 * 1024
    send([...batch(GOOD), 0x7f, 2, ...batch(GOOD)])
    c.rest = c.session.receive(c.rest as Incoming)
    expect([c.rest, host.partition.seq]).toEqual([undefined, 3])
    const words = batch(GOOD).length
    expect(c.closed).toEqual([[4000, NO_RECORD.replace('word 0', `word ${words}`)]])
  })
})
