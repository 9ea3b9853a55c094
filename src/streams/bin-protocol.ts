/** `synic.v1.bin`: records of 32-bit words, many to a message, for load. Layouts: docs/streams.md. */
import { BIN_PROTOCOL, FILTER_VCPUS_MAX, type Filter, NOTIFICATION_KINDS } from '../api/frames.js'
import * as r from '../api/records.js'
import { NAME_PATTERN } from '../api/wire.js'
import type { Incoming } from './incoming.js'
import type { Outlet } from './outbox.js'
import type { Answered, Batch, Protocol, Requests, Run, StreamPartition } from './protocol.js'
import type { FrameBuffer } from './websocket-frames.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Where answers are put together. */
export class BinScratch {
  readonly results = new r.RecordBuffer(16 * 1024)
  readonly record = new r.RecordBuffer()
}

const NOBODY: readonly number[] = []

/** The batch at hand of one client, and its answer: one object, used again for the next. */
class RecordBatch implements Batch, Answered {
  id = 0
  stops = false
  words: Int32Array = new Int32Array(0)
  from = 0
  end = 0
  count = 0
  halted = NOBODY
  bytes = 0

  constructor(
    private readonly results: r.RecordBuffer,
    readonly nameOf: (number: number) => string | undefined,
  ) {}

  applyTo(partition: StreamPartition): Answered {
    const { results } = this
    results.clear()
    results.put(r.RECORD_ANSWER).put(r.ANSWER_WORDS).put(this.id).put(0).put(0).put(0)
    const { seq, applied, halted } = partition.applyRecords(this, this.stops, results)
    const { length } = results
    results.length = 3
    results.putNumber(seq).put(applied)
    results.length = length
    if (halted.length === 0) return this
    // An answer that waits needs words of its own.
    const words = results.words.slice(0, length)
    return { halted, bytes: 4 * length, write: (outlet) => outlet.record(words, 0, length) }
  }

  write(outlet: Outlet): void {
    outlet.record(this.results.words, 0, this.results.length)
  }
}

export class BinProtocol implements Protocol {
  readonly name = BIN_PROTOCOL
  /** Names that this client told, by number. */
  readonly #names: string[] = []
  private readonly batch: RecordBatch

  /** @param scratch may serve many clients: nothing in it outlives a call */
  constructor(private readonly scratch: BinScratch) {
    this.batch = new RecordBatch(scratch.results, (number) => this.#names[number])
  }

  read(message: Incoming, requests: Requests): string | Incoming | undefined {
    const { words, length } = message
    if (!message.isBinary) return 'this protocol has binary frames'
    if (length % 4 !== 0) return 'a frame is records of 32-bit words'
    const end = length / 4
    for (let at = 0; at < end; ) {
      if (at > 0 && !requests.mayAsk()) return message.restFrom(4 * at)
      const next = this.#readRecord(words, at, end, requests)
      if (typeof next === 'string') return next
      at = next
    }
    return undefined
  }

  /** Returns where the next record begins, or what is wrong. */
  #readRecord(words: Int32Array, at: number, end: number, requests: Requests): number | string {
    const length = words[at + 1]
    if (at + 2 > end || length < 2 || length > end - at) return `word ${at + 1} must be the record's length`
    switch (words[at] & r.RECORD_TAG) {
      case r.RECORD_BATCH:
        return this.#readBatch(words, at, end, requests)
      case r.RECORD_SUBSCRIBE: {
        const filter = filterOf(words, at)
        if (filter === undefined) return `word ${at} must begin a subscription`
        requests.subscribe(words[at + 2] >>> 0, filter)
        return at + length
      }
      case r.RECORD_NAME:
        return this.#learnName(words, at) ? at + length : `word ${at} must begin a name`
      default:
        return `word ${at} must begin a batch, a subscription or a name`
    }
  }

  #readBatch(words: Int32Array, at: number, end: number, requests: Requests): number | string {
    if (words[at + 1] !== r.BATCH_WORDS || (words[at] & ~(r.RECORD_TAG | r.BATCH_STOPS_ON_FAULT)) !== 0) {
      return `word ${at} must begin a batch`
    }
    const count = words[at + 3] >>> 0
    const from = at + r.BATCH_WORDS
    const next = skip(words, from, end, count)
    if (next < 0) return `word ${at + 3} must be the number of ops that follow`
    const { batch } = this
    batch.id = words[at + 2] >>> 0
    batch.stops = (words[at] & r.BATCH_STOPS_ON_FAULT) !== 0
    batch.words = words
    batch.from = from
    batch.end = next
    batch.count = count
    requests.apply(batch.id, batch)
    return next
  }

  #learnName(words: Int32Array, at: number): boolean {
    const number = words[at + 2]
    const text = words[at + 1] < r.NAME_WORDS ? undefined : textAt(words, at, at + 3)
    if (text === undefined || number < 1 || number > r.NAME_NUMBER_MAX || !NAME_PATTERN.test(text))
      return false
    this.#names[number] = text
    return true
  }

  hello(outlet: Outlet, { id, lastN, createdAt }: StreamPartition): void {
    const record = this.#begin(r.RECORD_HELLO).putNumber(lastN).put(r.BIN_VERSION)
    send(outlet, record.putNumber(createdAt.getTime()).putBytes(encoder.encode(id)))
  }

  refused(outlet: Outlet, id: number, problem: object): void {
    const text = encoder.encode(JSON.stringify(problem))
    send(outlet, this.#begin(r.RECORD_REFUSAL).put(id).putBytes(text))
  }

  subscribed(outlet: Outlet, id: number, n: number): void {
    send(outlet, this.#begin(r.RECORD_SUBSCRIBED).put(id).putNumber(n))
  }

  gap(outlet: Outlet, from: number, to: number): void {
    send(outlet, this.#begin(r.RECORD_GAP).putNumber(from).putNumber(to))
  }

  notification(outlet: Outlet, words: Int32Array, at: number): void {
    outlet.record(words, at, at + words[at + 1])
  }

  /** One message of them all. */
  share(run: Run, wanted: readonly number[], frames: FrameBuffer): void {
    const { record } = this.scratch
    record.clear()
    for (const i of wanted) {
      const at = run.starts[i]
      record.putWords(run.words, at, at + run.words[at + 1])
    }
    if (record.length > 0) frames.binary(record.words, 0, record.length)
  }

  #begin(tag: number): r.RecordBuffer {
    const { record } = this.scratch
    record.clear()
    return record.begin(tag)
  }
}

function send(outlet: Outlet, record: r.RecordBuffer): void {
  record.end()
  outlet.record(record.words, 0, record.length)
}

/** Where the record behind the next `count` ones begins; -1 if they do not fit in. */
function skip(words: Int32Array, from: number, end: number, count: number): number {
  let at = from
  for (let i = 0; i < count; i++) {
    const length = words[at + 1]
    if (at + 2 > end || length < 2 || length > end - at) return -1
    at += length
  }
  return at
}

/** Text whose count of bytes stands at `count`; undefined if it is not all inside the record. */
function textAt(words: Int32Array, at: number, count: number): string | undefined {
  const bytes = words[count]
  if (bytes < 0 || count + 1 + ((bytes + 3) >> 2) !== at + words[at + 1]) return undefined
  return decoder.decode(new Uint8Array(words.buffer, words.byteOffset + (count + 1) * 4, bytes))
}

function filterOf(words: Int32Array, at: number): Filter | undefined {
  const mask = words[at + 3]
  const count = words[at + 4]
  const listed = count === -1 ? 0 : count
  if (
    listed < 0 ||
    listed > FILTER_VCPUS_MAX ||
    words[at + 1] !== r.SUBSCRIBE_WORDS + listed ||
    (mask & ~r.ALL_KINDS) !== 0
  )
    return undefined
  const kinds = NOTIFICATION_KINDS.filter((_, kind) => (mask & (1 << kind)) !== 0)
  if (count === -1) return { kinds }
  const from = at + r.SUBSCRIBE_WORDS
  return { kinds, vcpus: Array.from(words.subarray(from, from + count), (vcpu) => vcpu >>> 0) }
}
