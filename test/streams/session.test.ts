/** The stream protocol without a socket: filters, gaps, answers, blocked vCPUs, and the end of patience. */
import { describe, expect, it } from 'vitest'
import { beginNotification, endNotification, KIND_EOM, KIND_FAULT } from '../../src/api/notification.js'
import { RecordBuffer } from '../../src/api/records.js'
import { PartitionHub } from '../../src/streams/hub.js'
import type { StreamPartition } from '../../src/streams/protocol.js'
import { rethrow, TestClient, TestTurn } from '../support/stream.js'

const LIMITS = { budgetBytes: 200, cutBytes: 1000, cutMs: 5000 }
/** Three notifications are more. */
const TIGHT = { ...LIMITS, budgetBytes: 100 }

/** A partition whose notifications are made by hand. */
class FakePartition implements StreamPartition {
  readonly id = 'p1'
  readonly createdAt = new Date('2026-01-31T12:00:00.250Z')
  firstN = 1
  settled = 0
  /** Notifications of a run. */
  runMax = 1000
  readonly waiting: { vcpus: readonly number[]; done: () => void }[] = []
  halted: readonly number[] = []
  readonly #records = new RecordBuffer()
  readonly #starts: number[] = []

  get lastN(): number {
    return this.#starts.length
  }

  /** The next notification: an EOM of a vCPU, or a fault. */
  happens(kind = KIND_EOM, vcpu = 0): void {
    const n = this.#starts.length + 1
    const at = beginNotification(this.#records, kind, n, 7, 0, vcpu)
    if (kind === KIND_FAULT) this.#records.put(1)
    endNotification(this.#records, at)
    this.#starts.push(at)
  }

  run(from: number, to: number) {
    const begin = Math.max(from, this.firstN) - 1
    if (begin >= to) return undefined
    const starts = Int32Array.from(this.#starts)
    const { words } = this.#records
    const timesMs = Float64Array.from(starts, () => 1)
    return { words, starts, timesMs, begin, end: Math.min(to, begin + this.runMax) }
  }

  settle(): void {
    this.settled++
  }

  applyBatch(ops: readonly unknown[]) {
    if (ops.includes('bug')) throw new Error('a bug')
    if (ops.includes('mistake')) throw new RangeError('a mistake')
    for (const op of ops) if (op === 'eom') this.happens()
    return { seq: 7, applied: ops.length, halted: this.halted, results: ops.map(() => '{"ok":true}') }
  }

  applyRecords(): never {
    throw new RangeError('no records here')
  }

  whenAwake(vcpus: readonly number[], done: () => void): () => void {
    const waiter = { vcpus, done }
    this.waiting.push(waiter)
    return () => this.waiting.splice(this.waiting.indexOf(waiter), 1)
  }

  describe(error: unknown) {
    return error instanceof RangeError ? { detail: error.message } : undefined
  }
}

function session(filter = {}, now = () => 0, limits = LIMITS) {
  const partition = new FakePartition()
  const turn = new TestTurn()
  const hub = new PartitionHub(partition, turn)
  const client = new TestClient({ partition, turn, filter, limits, now })
  hub.add(client.session, rethrow)
  /** Ends the turn; what was written in it. */
  const frames = () => {
    turn.end()
    return client.frames()
  }
  return { partition, turn, hub, client, frames, session: client.session }
}

const numbers = (frames: readonly object[]) =>
  frames.map((frame) => ('n' in frame ? frame.n : 'gap' in frame ? frame.gap : frame))

describe('a session', () => {
  it('says hello first, with the number that stands', () => {
    const { session: s, frames, partition } = session()
    partition.happens()
    s.begin(undefined)
    const created_at = '2026-01-31T12:00:00.250Z'
    expect(frames()).toEqual([{ hello: { partition: 'p1', created_at, n: 1, protocol: 'synic.v1.json' } }])
  })

  it('resumes behind the number it is given', () => {
    const { session: s, frames, partition } = session()
    for (let i = 0; i < 5; i++) partition.happens()
    s.begin(3)
    expect(numbers(frames().slice(1))).toEqual([4, 5])
  })

  it('tells what is gone, then what is left', () => {
    const { session: s, frames, partition } = session()
    for (let i = 0; i < 5; i++) partition.happens()
    partition.firstN = 4
    s.begin(1)
    expect(numbers(frames().slice(1))).toEqual([{ from: 2, to: 3 }, 4, 5])
  })

  it('tells a gap once, also where nothing is left and nothing new comes', () => {
    const { session: s, frames, partition } = session()
    for (let i = 0; i < 5; i++) partition.happens()
    partition.firstN = 6
    s.begin(1)
    s.tick()
    s.catchUp()
    expect(numbers(frames().slice(1))).toEqual([{ from: 2, to: 5 }])
    partition.happens()
    s.catchUp()
    expect(numbers(frames())).toEqual([6])
  })

  it.each([
    ['all of it to who knows another partition', 3, 1, -1, [1, 2, 3, 4, 5]],
    ['all to who has seen more of another', 9, 1, 60_000, [1, 2, 3, 4, 5]],
    ['all that is left, and what is gone', 3, 3, -1, [{ from: 1, to: 2 }, 3, 4, 5]],
    ['that all is gone', 3, 6, -1, [{ from: 1, to: 5 }]],
    ['the rest to who knows this one', 3, 1, 0, [4, 5]],
  ])('tells %s', (_what, since, firstN, off, told) => {
    const { session: s, frames, partition } = session()
    for (let i = 0; i < 5; i++) partition.happens()
    partition.firstN = firstN
    s.begin(since, partition.createdAt.getTime() + off)
    expect(numbers(frames().slice(1))).toEqual(told)
  })

  it.each([[5], [9]])('tells nothing twice to who comes back with %i of 5', (since) => {
    const { session: s, frames, partition } = session()
    for (let i = 0; i < 5; i++) partition.happens()
    s.begin(since)
    expect(frames()).toHaveLength(1)
  })

  it.each([
    ['everything', {}, [1, 2, 3, 4]],
    ['kinds', { kinds: ['fault'] as const }, [2]],
    ['vCPUs, and what concerns them all', { vcpus: [1] }, [3, 4]],
    ['no kinds at all', { kinds: [] }, []],
  ])('filters: %s', (_what, filter, expected) => {
    const { hub, frames, partition } = session(filter)
    partition.happens()
    partition.happens(KIND_FAULT)
    partition.happens(KIND_EOM, 1)
    partition.happens(KIND_EOM, -1)
    hub.news()
    expect(numbers(frames())).toEqual(expected)
    expect(partition.settled).toBe(1)
  })

  it('changes its filter on a live socket: what was before goes by the old one', () => {
    const { client, hub, frames, partition } = session()
    partition.happens(KIND_EOM, 1)
    hub.news()
    client.send({ id: 8, subscribe: { kinds: ['eom'], vcpus: [2] } })
    for (const vcpu of [1, 2]) partition.happens(KIND_EOM, vcpu)
    partition.happens(KIND_FAULT, 2)
    hub.news()
    expect(numbers(frames())).toEqual([1, 1, 3])
  })

  it('answers a batch under its id, behind what the batch made known', () => {
    const { client, frames } = session()
    client.send({ id: 3, ops: ['eom', 2] })
    expect(frames()).toEqual([
      { n: 1, seq: 7, t: 0, kind: 'eom', vcpu: 0 },
      { id: 3, seq: 7, results: [{ ok: true }, { ok: true }] },
    ])
  })

  it('answers batches of a turn in their order, each behind its own news', () => {
    const { client, hub, frames } = session()
    for (const id of [1, 2]) client.send({ id, ops: ['eom'] })
    hub.news()
    expect(frames().map((frame) => ('id' in frame ? `answer ${frame.id}` : 'n' in frame && frame.n))).toEqual(
      [1, 'answer 1', 2, 'answer 2'],
    )
  })

  it('answers a mistake with a problem, and does not hide a bug', () => {
    const { client, frames } = session()
    client.send({ id: 3, ops: ['mistake'] })
    expect([frames(), client.closed]).toEqual([[{ id: 3, problem: { detail: 'a mistake' } }], []])
    expect(() => client.send({ id: 3, ops: ['bug'] })).toThrow('a bug')
  })

  it('holds back the answer of a batch that blocked a vCPU until it wakes; others go on', () => {
    const { client, frames, partition } = session()
    partition.halted = [1]
    client.send({ id: 3, ops: ['eom', 'halt'] })
    partition.halted = []
    client.send({ id: 4, ops: [] })
    expect(frames()).toMatchObject([{ n: 1 }, { id: 4 }])
    expect(partition.waiting).toMatchObject([{ vcpus: [1] }])
    partition.happens()
    partition.waiting[0].done()
    expect(frames()).toMatchObject([{ n: 2 }, { id: 3, results: [{ ok: true }, { ok: true }] }])
  })

  it('waits for nothing once its client is gone', () => {
    const { client, partition, session: s } = session()
    partition.halted = [1]
    client.send({ id: 3, ops: [] })
    s.end()
    expect(partition.waiting).toEqual([])
  })

  it.each([
    '',
    '{',
    '7',
    '[]',
    '{"id":1}',
    '{"ops":[]}',
    '{"id":-1,"ops":[]}',
    '{"id":1.5,"ops":[]}',
    '{"id":1,"ops":{}}',
    '{"id":1,"ops":[],"more":1}',
    '{"id":1,"subscribe":{"kinds":["gossip"]}}',
  ])('closes on the bad frame %j', (text) => {
    const { client } = session()
    client.send(text)
    expect(client.closed.map(([code]) => code)).toEqual([4000])
  })

  it('closes on a binary frame', () => {
    const { client } = session()
    client.send(Int32Array.of(1, 2))
    expect(client.closed).toEqual([[4000, 'this protocol has text frames']])
  })

  it('leaves a slow reader out, and tells the gap once it has caught up', () => {
    const { client, hub, frames, partition, session: s } = session()
    client.unread = 201
    for (let i = 0; i < 2; i++) {
      partition.happens()
      hub.news()
      expect(frames()).toEqual([])
    }
    s.tick()
    expect(s.dropped).toBe(2)
    client.unread = 50
    s.tick()
    partition.happens()
    hub.news()
    expect(numbers(frames())).toEqual([{ from: 1, to: 2 }, 3])
    expect(client.closed).toEqual([])
  })

  it('gives a reader the rest of too long a turn as it reads: nothing is left out', () => {
    const { client, hub, frames, partition, session: s } = session({}, undefined, TIGHT)
    partition.runMax = 3
    for (let i = 0; i < 7; i++) partition.happens()
    hub.news()
    expect(numbers(frames())).toEqual([1, 2, 3])
    s.tick()
    expect(numbers(frames())).toEqual([4, 5, 6])
    s.tick()
    expect([numbers(frames()), s.dropped]).toEqual([[7], 0])
    expect(client.closed).toEqual([])
  })

  it('tells what the ring lost while a reader was at it', () => {
    const { hub, frames, partition, session: s } = session({}, undefined, TIGHT)
    partition.runMax = 3
    for (let i = 0; i < 7; i++) partition.happens()
    hub.news()
    expect(numbers(frames())).toEqual([1, 2, 3])
    partition.firstN = 6
    s.tick()
    expect(numbers(frames())).toEqual([{ from: 4, to: 5 }, 6, 7])
  })

  it('still answers a slow reader: an answer is never left out', () => {
    const { client, frames } = session()
    client.unread = 201
    client.send({ id: 3, ops: ['eom'] })
    expect(frames()).toMatchObject([{ id: 3 }])
  })

  it('leaves who wants to know nothing alone, however long its answer', () => {
    let now = 0
    const { client, hub, frames, partition, session: s } = session({ kinds: [] }, () => now)
    client.unread = 1001
    partition.happens()
    hub.news()
    expect(frames()).toEqual([])
    now = 5001
    s.tick()
    expect(client.closed).toEqual([])
  })

  it('gives who reads a long answer time to read it', () => {
    const { client, hub, frames, partition, session: s } = session()
    client.send({ id: 3, ops: Array(200).fill('nothing') })
    client.unread = 2000
    frames()
    partition.happens()
    hub.news()
    expect(frames()).toEqual([])
    s.tick()
    expect(client.closed).toEqual([])
    client.unread = 0
    s.tick()
    expect(numbers(frames())).toEqual([{ from: 1, to: 1 }])
  })

  it('cuts off who is too far behind, or behind for too long', () => {
    const far = session()
    far.client.unread = 1001
    far.session.tick()
    // Nothing waits behind what it reads: that is a long answer.
    expect(far.client.closed).toEqual([])
    far.partition.happens()
    far.hub.news()
    far.frames()
    far.session.tick()
    expect(far.client.closed).toEqual([[4008, 'the reader is too slow']])
    let now = 0
    const long = session({}, () => now)
    long.client.unread = 201
    long.partition.happens()
    long.hub.news()
    long.frames()
    now = 5001
    long.session.tick()
    expect(long.client.closed).toEqual([[4008, 'the reader is too slow']])
  })
})

describe('clients of one partition', () => {
  const crowd = (filters: readonly object[]) => {
    const partition = new FakePartition()
    const turn = new TestTurn()
    const hub = new PartitionHub(partition, turn)
    const clients = filters.map((filter) => new TestClient({ partition, turn, filter }))
    for (const { session: s } of clients) hub.add(s, rethrow)
    return { partition, turn, hub, clients }
  }

  it('are told the same, each by its filter, once a turn', () => {
    const { partition, turn, hub, clients } = crowd([{}, {}, { kinds: ['fault'] }, { vcpus: [1] }])
    partition.happens()
    hub.news()
    partition.happens(KIND_FAULT, 1)
    hub.news()
    turn.end()
    expect(clients.map((client) => numbers(client.frames()))).toEqual([[1, 2], [1, 2], [2], [2]])
  })

  it('are told although one of them meets a bug, which ends that one alone', () => {
    const { partition, turn, hub, clients } = crowd([{}, { vcpus: [1] }])
    const failed: unknown[] = []
    const bad = new TestClient({ partition, turn, filter: { kinds: ['eom'] } })
    const bug = new Error('a bug')
    bad.session.catchUpShared = () => {
      throw bug
    }
    hub.delete(clients[1].session)
    hub.add(bad.session, (error) => failed.push(error))
    hub.add(clients[1].session, rethrow)
    partition.happens(KIND_EOM, 1)
    hub.news()
    turn.end()
    expect(failed).toEqual([bug])
    expect(clients.map((client) => client.frames().length)).toEqual([1, 1])
    expect(partition.settled).toBe(1)
  })

  it('are told what they missed even if one of them was told some of it before', () => {
    const { partition, turn, hub, clients } = crowd([{}, {}])
    clients[0].send({ id: 1, ops: ['eom'] })
    partition.happens()
    hub.news()
    turn.end()
    expect(clients.map((client) => numbers(client.frames()).filter(Number))).toEqual([
      [1, 2],
      [1, 2],
    ])
  })
})
