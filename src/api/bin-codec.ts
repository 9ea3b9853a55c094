/** The client's side of `synic.v1.bin`: JSON ops to records, records to the frames they stand for. */
import { toNumber } from '../hv/bits.js'
import { NameTable } from '../synic/names.js'
import { OpWriter } from '../synic/op.js'
import { BIN_PROTOCOL, type Filter, NOTIFICATION_KINDS } from './frames.js'
import { putNotification, RECORD_NOTIFICATION } from './notification.js'
import { encodeOp } from './op-encode.js'
import { OpInputError } from './op-fields.js'
import * as r from './records.js'
import type { Result } from './result.js'
import { RECORD_RESULT, resultTextAt } from './result-record.js'
import type { Notification, ServerFrame, StreamProblem } from './server-frames.js'
import { TextBuffer } from './text-buffer.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const notification = new TextBuffer()

export class BinCodec {
  readonly #ops = new OpWriter(1024)
  readonly #frame = new r.RecordBuffer(1024)

  /**
   * A batch as one message, with the names it needs. The bytes hold until the next call.
   * @throws OpInputError naming the op and the field that breaks its rule
   */
  encodeOps(id: number, ops: readonly unknown[], stopOnFault: boolean): Uint8Array {
    const names = new NameTable(r.NAME_NUMBER_MAX + 1)
    this.#ops.clear()
    ops.forEach((op, i) => {
      encodeAt(op, i, this.#ops, names)
    })
    const frame = this.#frame
    frame.clear()
    for (let name = 1; name < names.size; name++) {
      frame
        .begin(r.RECORD_NAME)
        .put(name)
        .putBytes(encoder.encode(names.text(name)))
        .end()
    }
    frame.begin(r.RECORD_BATCH | (stopOnFault ? r.BATCH_STOPS_ON_FAULT : 0))
    frame.put(id).put(ops.length).end()
    frame.putWords(this.#ops.words, 0, this.#ops.length)
    return bytesOf(frame)
  }

  encodeSubscribe(id: number, { kinds, vcpus }: Filter): Uint8Array {
    const mask = kinds?.reduce((bits, kind) => bits | (1 << NOTIFICATION_KINDS.indexOf(kind)), 0)
    const frame = this.#frame
    frame.clear()
    frame
      .begin(r.RECORD_SUBSCRIBE)
      .put(id)
      .put(mask ?? r.ALL_KINDS)
    frame.put(vcpus?.length ?? -1).putWords(Int32Array.from(vcpus ?? []), 0, vcpus?.length ?? 0)
    frame.end()
    return bytesOf(frame)
  }

  /**
   * The frames of one message, as `synic.v1.json` would have sent them.
   * @throws TypeError on what is no message of the server
   */
  decode(data: ArrayBuffer): ServerFrame[] {
    if (data.byteLength % 4 !== 0) throw new TypeError('a message is records of 32-bit words')
    const words = new Int32Array(data)
    const frames: ServerFrame[] = []
    for (let at = 0; at < words.length; ) {
      if ((words[at] & r.RECORD_TAG) === r.RECORD_ANSWER) at = this.#answer(words, at, frames)
      else {
        frames.push(frameAt(words, at))
        at = next(words, at)
      }
    }
    return frames
  }

  /** An answer and the results behind it. Returns where the next record begins. */
  #answer(words: Int32Array, at: number, frames: ServerFrame[]): number {
    const results: Result[] = []
    const id = words[at + 2] >>> 0
    const seq = number(words, at + 3)
    const count = words[at + 5]
    let end = next(words, at)
    for (let i = 0; i < count; i++) {
      if ((words[end] & r.RECORD_TAG) !== RECORD_RESULT) throw new TypeError(`word ${end} begins no result`)
      results.push(JSON.parse(resultTextAt(words, end)) as Result)
      end = next(words, end)
    }
    frames.push({ id, seq, results })
    return end
  }
}

function encodeAt(op: unknown, i: number, ops: OpWriter, names: NameTable): void {
  try {
    encodeOp(op, ops, names, 0)
  } catch (error) {
    if (!(error instanceof OpInputError)) throw error
    throw new OpInputError(error.path === '' ? `ops/${i}` : `ops/${i}/${error.path}`, error.rule)
  }
}

function bytesOf({ words, length }: r.RecordBuffer): Uint8Array {
  return new Uint8Array(words.buffer, 0, length * 4)
}

const number = (words: Int32Array, at: number) => toNumber(words[at], words[at + 1])

function next(words: Int32Array, at: number): number {
  const length = words[at + 1]
  if (!(length >= 2) || at + length > words.length) throw new TypeError(`word ${at} begins no record`)
  return at + length
}

/** Text whose count of bytes stands at `at`. */
function text(words: Int32Array, at: number): string {
  return decoder.decode(new Uint8Array(words.buffer, (at + 1) * 4, words[at]))
}

function frameAt(words: Int32Array, at: number): ServerFrame {
  const tag = words[at] & r.RECORD_TAG
  switch (tag) {
    case r.RECORD_HELLO:
      return {
        hello: {
          partition: text(words, at + 7),
          created_at: new Date(number(words, at + 5)).toISOString(),
          n: number(words, at + 2),
          protocol: BIN_PROTOCOL,
        },
      }
    case r.RECORD_REFUSAL:
      return { id: words[at + 2] >>> 0, problem: JSON.parse(text(words, at + 3)) as StreamProblem }
    case r.RECORD_SUBSCRIBED:
      return { id: words[at + 2] >>> 0, n: number(words, at + 3) }
    case r.RECORD_GAP:
      return { gap: { from: number(words, at + 2), to: number(words, at + 4) } }
  }
  const kind = tag - RECORD_NOTIFICATION
  if (kind < 0 || kind >= NOTIFICATION_KINDS.length)
    throw new TypeError(`word ${at} begins no record of ours`)
  notification.clear()
  putNotification(notification, words, at)
  return JSON.parse(notification.toString()) as Notification
}
