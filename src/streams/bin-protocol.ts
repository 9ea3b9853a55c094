/** `synic.v1.bin`: records of 32-bit words, many to a message, for load. Layouts: docs/streams.md. */
import { BIN_PROTOCOL, FILTER_VCPUS_MAX, type Filter, NOTIFICATION_KINDS } from '../api/frames.js'
import * as r from '../api/records.js'
import { NAME_PATTERN, NAME_RULE } from '../api/wire.js'
import type { Incoming } from './incoming.js'
import type { Outlet } from './outbox.js'
import type { Answered, Batch, Protocol, Requests, Run, StreamPartition } from './protocol.js'
import type { FrameBuffer } from './websocket-frames.js'

const encoder = new TextEncoder()
// A mark of byte order is no letter of a name.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

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
      if (typeof next === 'string') return asCame(next, message.wordsBefore)
      at = next
    }
    return undefined
  }

  /** Returns where the next record begins, or what is wrong. */
  #readRecord(words: Int32Array, at: number, end: number, requests: Requests): number | string {
    const length = words[at + 1]
    if (at + 2 > end || length < 2 || length > end - at) return lengthMistake(at, end)
    switch (words[at] & r.RECORD_TAG) {
      case r.RECORD_BATCH:
        return this.#readBatch(words, at, end, requests)
      case r.RECORD_SUBSCRIBE: {
        const filter = filterOf(words, at)
        if (typeof filter === 'string') return filter
        requests.subscribe(words[at + 2] >>> 0, filter)
        return at + length
      }
      case r.RECORD_NAME:
        return this.#learnName(words, at) ?? at + length
      default:
        return `word ${at} must begin a batch, a subscription or a name: 0x80, 0x81 or 0x82 in bits 7:0`
    }
  }

  #readBatch(words: Int32Array, at: number, end: number, requests: Requests): number | string {
    if ((words[at] & ~(r.RECORD_TAG | r.BATCH_STOPS_ON_FAULT)) !== 0) {
      return `word ${at} has a flag that no batch has: bit 8 is the only one`
    }
    if (words[at + 1] !== r.BATCH_WORDS) {
      return `word ${at + 1} must be ${r.BATCH_WORDS}: the ops are not in the length of their batch`
    }
    const count = words[at + 3] >>> 0
    const from = at + r.BATCH_WORDS
    const next = skip(words, from, end, count)
    if (next < 0) return `word ${at + 3} must be the number of ops that follow: word ${~next} begins none`
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

  /** Undefined, or what is wrong. */
  #learnName(words: Int32Array, at: number): string | undefined {
    const number = words[at + 2]
    if (hasFlags(words, at)) return `word ${at} has a flag, and a name has none`
    if (words[at + 1] < r.NAME_WORDS) return `word ${at + 1} must be ${r.NAME_WORDS} or more`
    if (number < 1 || number > r.NAME_NUMBER_MAX) {
      return `word ${at + 2} must be the number of a name, from 1 to ${r.NAME_NUMBER_MAX}`
    }
    const text = textAt(words, at, at + 3)
    if (text === undefined) return `word ${at + 3} must be the count of bytes to the record's end`
    if (!NAME_PATTERN.test(text)) return `word ${at + 4} must begin ${NAME_RULE}`
    this.#names[number] = text
    return undefined
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

/** What is wrong with the rest of a message, by the words of the whole. */
function asCame(mistake: string, wordsBefore: number): string {
  return mistake.replace(/\bword (\d+)/g, (_, word: string) => `word ${Number(word) + wordsBefore}`)
}

function lengthMistake(at: number, end: number): string {
  const must = `word ${at + 1} must be the record's length in words`
  if (at + 2 > end) return `${must}, and the message ends before it`
  return `${must}, from 2 to the ${end - at} that there are`
}

function hasFlags(words: Int32Array, at: number): boolean {
  return (words[at] & ~r.RECORD_TAG) !== 0
}

/** Where the record behind the next `count` ones begins; ~ of where there is none if there are fewer. */
function skip(words: Int32Array, from: number, end: number, count: number): number {
  let at = from
  for (let i = 0; i < count; i++) {
    const length = words[at + 1]
    if (at + 2 > end || length < 2 || length > end - at) return ~at
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

/** What is to be told, or what is wrong. */
function filterOf(words: Int32Array, at: number): Filter | string {
  const length = words[at + 1]
  if (hasFlags(words, at)) return `word ${at} has a flag, and a subscription has none`
  if (length < r.SUBSCRIBE_WORDS) return `word ${at + 1} must be ${r.SUBSCRIBE_WORDS} or more`
  const mask = words[at + 3]
  if ((mask & ~r.ALL_KINDS) !== 0) {
    return `word ${at + 3} must be a mask of kinds, in bits 0 to ${NOTIFICATION_KINDS.length - 1}`
  }
  const count = words[at + 4]
  const listed = count === -1 ? 0 : count
  if (listed < 0 || listed > FILTER_VCPUS_MAX || length !== r.SUBSCRIBE_WORDS + listed) {
    return `word ${at + 4} must be -1, or the count of vCPUs to the record's end: ${FILTER_VCPUS_MAX} at most`
  }
  const kinds = NOTIFICATION_KINDS.filter((_, kind) => (mask & (1 << kind)) !== 0)
  if (count === -1) return { kinds }
  const from = at + r.SUBSCRIBE_WORDS
  return { kinds, vcpus: Array.from(words.subarray(from, from + count), (vcpu) => vcpu >>> 0) }
}
