/** Memory that is written over only when nobody needs what it holds: no reader sees another's bytes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { streamPartition } from '../../routes/stream-partition.js'
import { Arena, Shared } from '../../src/streams/arena.js'
import { PartitionHub } from '../../src/streams/hub.js'
import { Outbox, Spare } from '../../src/streams/outbox.js'
import { holds } from '../support/property.js'
import { rethrow, TestClient, TestTurn } from '../support/stream.js'
import { listenedHost } from '../support/stream-host.js'

const SLAB_BYTES = 256 * 1024

/** A socket whose kernel takes only some bytes at once: the rest is looked at when it takes them. */
class SlowPipe {
  writableLength = 0
  isFull = false
  readonly #waiting: { bytes: Uint8Array; meant: Buffer }[] = []
  #corked: Uint8Array[] | null = null
  taken = 0

  write(bytes: Uint8Array): void {
    if (this.#corked !== null) this.#corked.push(bytes)
    else this.#pass([bytes])
    this.writableLength = this.#waiting.reduce((sum, each) => sum + each.bytes.length, 0)
  }

  cork(): void {
    this.#corked = []
  }

  uncork(): void {
    const corked = this.#corked ?? []
    this.#corked = null
    for (const bytes of corked) this.write(bytes)
  }

  /** The kernel takes all that waits: it must be what it was when it was written. */
  drain(): void {
    for (const { bytes, meant } of this.#waiting.splice(0)) {
      expect(meant.equals(bytes)).toBe(true)
      this.taken += bytes.length
    }
    this.writableLength = 0
    this.isFull = false
  }

  #pass(all: readonly Uint8Array[]): void {
    for (const bytes of all) {
      if (this.isFull || this.#waiting.length > 0) this.#waiting.push({ bytes, meant: Buffer.from(bytes) })
      else this.taken += bytes.length
    }
  }
}

type Step =
  | { what: 'text'; who: number; length: number }
  | { what: 'shared'; length: number }
  | { what: 'fill' | 'drain'; who: number }
  | { what: 'turn' }

const who = fc.nat(3)
const length = fc.oneof(
  fc.nat(300),
  fc.constantFrom(20_000, 100_000, SLAB_BYTES - 4, SLAB_BYTES, SLAB_BYTES + 1),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('text'), who, length }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('shared'), length }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constantFrom('fill', 'drain'), who }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('turn') }) },
)

const OWNER = { close() {}, written() {}, fail: rethrow }

function world() {
  const turn = new TestTurn()
  const spare = new Spare()
  const pipes = Array.from({ length: 4 }, () => new SlowPipe())
  const outboxes = pipes.map((pipe) => new Outbox(pipe, turn, spare, OWNER))
  return { turn, pipes, outboxes }
}

it('what cannot be written ends its own stream, and no other', () => {
  const turn = new TestTurn()
  const failed: unknown[] = []
  const taken: string[] = []
  const pipeOf = (write: (bytes: Uint8Array) => void) => ({
    write,
    cork() {},
    uncork() {},
    writableLength: 0,
  })
  const spare = new Spare()
  const outOfMemory = new RangeError('Array buffer allocation failed')
  const broken = pipeOf(() => {
    throw outOfMemory
  })
  const fine = pipeOf((bytes) => taken.push(Buffer.from(bytes).toString('latin1', 2)))
  const owner = { close() {}, written() {}, fail: (error: unknown) => failed.push(error) }
  const [first, second] = [broken, fine].map((pipe) => new Outbox(pipe, turn, spare, owner))
  for (let i = 0; i < 2; i++) {
    first.text('lost')
    second.text('told')
    turn.end()
  }
  expect([failed, taken, first.buffered()]).toEqual([[outOfMemory], ['told', 'told'], 0])
})

describe('what is written', () => {
  it('is what the socket gets, however late it takes it', () => {
    const run = fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { turn, pipes, outboxes } = world()
      steps.forEach((each, i) => {
        if (each.what === 'text') {
          outboxes[each.who].text(String.fromCharCode(65 + (i % 26)).repeat(each.length))
        } else if (each.what === 'shared') {
          turn.arena.hold()
          const frames = new Shared(turn.arena.carve(each.length).fill(i))
          for (const outbox of outboxes) outbox.frames(frames)
          turn.arena.release()
        } else if (each.what === 'fill') pipes[each.who].isFull = true
        else if (each.what === 'drain') pipes[each.who].drain()
        else turn.end()
      })
      turn.end()
      for (const pipe of pipes) pipe.drain()
    })
    holds(run, 300)
  })

  it('costs no memory where sockets take it at once', () => {
    const { turn, outboxes } = world()
    const slabs = new Set<ArrayBufferLike>()
    for (let i = 0; i < 100; i++) {
      turn.arena.hold()
      const frames = new Shared(turn.arena.carve(10_000))
      slabs.add(frames.bytes.buffer)
      for (const outbox of outboxes) outbox.frames(frames)
      turn.arena.release()
      turn.end()
    }
    expect(slabs.size).toBe(1)
  })

  it('is copied once for all sockets that are behind', () => {
    const { turn, pipes, outboxes } = world()
    const seen: Uint8Array[] = []
    for (const pipe of pipes) {
      pipe.writableLength = 1
      pipe.write = (bytes) => seen.push(bytes)
    }
    const frames = new Shared(turn.arena.carve(100))
    for (const outbox of outboxes) outbox.frames(frames)
    turn.end()
    expect(new Set(seen).size).toBe(1)
    expect(seen[0]).not.toBe(frames.bytes)
  })
})

it('gives clients alike the same, however much there is to tell in one turn', () => {
  const host = listenedHost({ profile: 'kvm-synic2', vcpus: 1 })
  const turn = new TestTurn()
  const partition = streamPartition(host, undefined)
  const hub = new PartitionHub(partition, turn)
  const clients = Array.from({ length: 3 }, () => new TestClient({ partition, turn, protocol: 'bin' }))
  for (const { session } of clients) hub.add(session, rethrow)
  const write = (msr: string, value: number) => ({ op: 'msr.write', vcpu: 0, msr, value })
  host.applyBatch([write('SIMP', 0x10001), write('SINT2', 0xf3), write('SCONTROL', 1)])
  for (let i = 0; i < 1500; i++) {
    const hex = (i % 251).toString(16).padStart(2, '0').repeat(240)
    host.applyBatch([
      { op: 'message.post', vcpu: 0, sint: 2, type: 1 + i, hex },
      { op: 'message.complete', vcpu: 0, sint: 2 },
    ])
  }
  hub.news()
  turn.end()
  const [first, ...others] = clients.map((client) => client.frames())
  expect(first.filter((frame) => 'hex' in frame)).toHaveLength(1500)
  for (const frames of others) expect(frames).toEqual(first)
})

it('carves no bytes twice while somebody holds it', () => {
  const arena = new Arena()
  arena.hold()
  const pieces = Array.from({ length: 60 }, (_, i) => arena.carve(10_000).fill(i))
  pieces.forEach((piece, i) => {
    expect(piece.every((byte) => byte === i)).toBe(true)
  })
  arena.release()
})
