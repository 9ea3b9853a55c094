/**
 * Records of `synic.v1.bin` besides ops, results and notifications. Every record is a run of 32-bit words,
 * little-endian, that begins with its tag (bits 7:0 of the first word) and its length in words. Layouts:
 * docs/streams.md.
 */
import { WordBuffer } from '../synic/word-buffer.js'
import { NOTIFICATION_KINDS } from './frames.js'

// From the client, besides ops (tags 1 and up).
/** id, count of ops that follow; bit 8: apply nothing behind an op that faults or fails */
export const RECORD_BATCH = 0x80
/** id, mask of kinds, count of vCPUs (-1: all), the vCPUs */
export const RECORD_SUBSCRIBE = 0x81
/** number, count of bytes, the text: what actor and kernel words of later records mean */
export const RECORD_NAME = 0x82

// From the server, besides results (0xc2) and notifications (0xd0 to 0xd9).
/** n lo/hi, version, milliseconds since 1970 lo/hi, count of bytes, the partition's id */
export const RECORD_HELLO = 0xc0
/** id, seq lo/hi, count of results that follow */
export const RECORD_ANSWER = 0xc1
/** id, count of bytes, a problem document as JSON */
export const RECORD_REFUSAL = 0xc3
/** id, n lo/hi */
export const RECORD_SUBSCRIBED = 0xc4
/** from lo/hi, to lo/hi */
export const RECORD_GAP = 0xc5

export const RECORD_TAG = 0xff
export const BATCH_STOPS_ON_FAULT = 1 << 8
export const BATCH_WORDS = 4
export const SUBSCRIBE_WORDS = 5
export const NAME_WORDS = 4
export const ANSWER_WORDS = 6
export const BIN_VERSION = 1

/** Numbers that a client may give to names; 0 means no name. */
export const NAME_NUMBER_MAX = 4095
export const ALL_KINDS = (1 << NOTIFICATION_KINDS.length) - 1

/** Records back to back. `begin`, then up to sixteen words, then `end`. */
export class RecordBuffer extends WordBuffer {
  #start = 0

  begin(first: number): this {
    this.#start = this.reserve(2).length
    return this.put(first).put(0)
  }

  /** Closes the record begun last. */
  end(): this {
    this.words[this.#start + 1] = this.length - this.#start
    return this
  }
}
