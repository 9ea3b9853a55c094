/** Frames that are read ahead of the WebSocket library: with it, and without it, the same comes of them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Receiver } from 'ws'
import { Inbox, SpareFrames } from '../../src/streams/inbox.js'
import { Incoming } from '../../src/streams/incoming.js'
import { holds } from '../support/property.js'
import { type FrameParts, frameBytes } from '../support/stream-raw.js'

const PAYLOAD_MAX = 40_000
const MASK = [0x5a, 0, 0xff, 0x81]
const TEXT = 0x81
const BINARY = 0x82
const PING = 0x89

type Seen = readonly [what: string, detail: string | undefined]

const messageSeen = (data: Uint8Array, isBinary: boolean): Seen => [
  isBinary ? 'binary' : 'text',
  Buffer.from(data).toString('hex'),
]

/** The library by itself, and what it has read. */
function library() {
  const seen: Seen[] = []
  const receiver = new Receiver({ isServer: true, maxPayload: PAYLOAD_MAX })
  receiver.on('message', (data: Buffer, isBinary: boolean) => seen.push(messageSeen(data, isBinary)))
  for (const what of ['ping', 'pong'])
    receiver.on(what, (data: Buffer) => seen.push([what, data.toString('hex')]))
  let hasConcluded = false
  receiver.on('conclude', (code: number) => {
    seen.push(['close', String(code)])
    hasConcluded = true
  })
  receiver.on('error', (error: Error & { code?: string }) => seen.push(['error', error.code]))
  // Nobody listens to a socket behind a close frame.
  return { seen, write: (bytes: Buffer) => hasConcluded || receiver.write(bytes) }
}

/**
 * An inbox before it, and how many messages that has read.
 * @param goesOn may the next message come?
 */
function ahead(goesOn: (messages: number) => boolean = () => true) {
  const { seen, write } = library()
  let hasLeft = false
  const counts = { messages: 0 }
  const inbox = new Inbox(new Incoming(64), PAYLOAD_MAX, {
    message({ bytes, length, isBinary }) {
      counts.messages++
      seen.push(messageSeen(bytes.subarray(0, length), isBinary))
      return goesOn(counts.messages)
    },
    control: write,
    leave(rest) {
      hasLeft = true
      write(rest)
    },
  })
  return {
    seen,
    counts,
    inbox,
    hasLeft: () => hasLeft,
    write: (bytes: Buffer) => (hasLeft ? write(bytes) : inbox.read(bytes)),
  }
}

/** Errors come with the next turn. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, i) => Buffer.from(bytes.subarray(from, places[i] ?? bytes.length)))
}

const payload = (length: number) => Buffer.alloc(length, 'synic')
const masked = (first: number, length: number): FrameParts => ({
  first,
  payload: payload(length),
  mask: MASK,
})

describe('is read ahead', () => {
  it.each<[string, FrameParts]>([
    ['an empty text', masked(TEXT, 0)],
    ['an empty binary message', masked(BINARY, 0)],
    ['one byte', masked(BINARY, 1)],
    ['the longest in seven bits', masked(BINARY, 125)],
    ['the shortest in sixteen bits', masked(TEXT, 126)],
    ['what is copied by a call', masked(BINARY, 129)],
    ['a short one whose length has sixteen bits', { ...masked(BINARY, 3), lengthBytes: 2 }],
    ['letters of many bytes', { first: TEXT, payload: Buffer.from('synthétique 割り込み'), mask: MASK }],
    ['the longest that is allowed', masked(BINARY, PAYLOAD_MAX)],
  ])('%s, cut anywhere', async (_what, parts) => {
    const frame = frameBytes(parts)
    const both = Buffer.concat([frame, frame])
    const places = frame.length < 200 ? frame.length + 1 : 16
    for (let place = 0; place < places; place++) {
      const { seen, write, counts } = ahead()
      write(both.subarray(0, place))
      write(both.subarray(place))
      await turn()
      const one = messageSeen(parts.payload, parts.first === BINARY)
      expect(seen).toEqual([one, one])
      expect(counts.messages).toBe(2)
    }
  })

  it('between pings and pongs, which the library answers', async () => {
    const { seen, write, hasLeft } = ahead()
    write(Buffer.concat([masked(0x89, 4), masked(BINARY, 4), masked(0x8a, 125)].map(frameBytes)))
    await turn()
    expect(seen.map(([what]) => what)).toEqual(['ping', 'binary', 'pong'])
    expect(hasLeft()).toBe(false)
  })

  it('byte by byte', async () => {
    const { seen, write, counts } = ahead()
    const bytes = Buffer.concat([masked(0x89, 5), masked(TEXT, 300), masked(BINARY, 7)].map(frameBytes))
    for (const byte of bytes) write(Buffer.from([byte]))
    await turn()
    expect(seen.map(([what]) => what)).toEqual(['ping', 'text', 'binary'])
    expect(counts.messages).toBe(2)
  })
})

describe('a message that nothing may follow for now', () => {
  const good = frameBytes(masked(BINARY, 8))
  it.each<[string, number[]]>([
    ['in one piece with others', [3 * good.length]],
    ['that completes a frame, others behind it', [5, 3 * good.length]],
    ['with the beginning of another behind it', [good.length + 3, 3 * good.length]],
    ['alone in its piece', [good.length, 2 * good.length, 3 * good.length]],
  ])('%s', (_what, ends) => {
    const { write, counts, inbox } = ahead(() => false)
    const bytes = Buffer.concat([good, good, good])
    for (const [i, end] of ends.entries()) write(bytes.subarray(ends[i - 1] ?? 0, end))
    const counted = [counts.messages]
    for (let resumed = 1; resumed <= 3; resumed++) {
      inbox.resume()
      counted.push(counts.messages)
    }
    expect(counted).toEqual([1, 2, 3, 3])
    expect(inbox.isStopped).toBe(false)
  })

  it('keeps a close frame behind it, too', () => {
    const { seen, write, inbox, hasLeft } = ahead(() => false)
    write(Buffer.concat([good, frameBytes({ first: 0x88, payload: Buffer.from([0x03, 0xe8]), mask: MASK })]))
    expect(hasLeft()).toBe(false)
    inbox.resume()
    expect(seen.map(([what]) => what)).toEqual(['binary', 'close'])
  })
})

describe('is left to the library, with all that follows', () => {
  it.each<[string, FrameParts, string]>([
    ['a part of a message', masked(0x02, 4), 'error'],
    ['a part without a first one', masked(0x80, 4), 'error'],
    ['a close frame', { first: 0x88, payload: Buffer.from([0x03, 0xe8]), mask: MASK }, 'close'],
    ['a frame that is not masked', { first: BINARY, payload: payload(4) }, 'error'],
    ['a reserved bit', masked(0xc2, 4), 'error'],
    ['an opcode that nobody knows', masked(0x83, 4), 'error'],
    ['a ping in parts', masked(0x09, 4), 'error'],
    ['a ping longer than 125 bytes', masked(0x89, 126), 'error'],
    ['one byte more than is allowed', masked(BINARY, PAYLOAD_MAX + 1), 'error'],
    ['a length of 64 bits', { ...masked(BINARY, 4), lengthBytes: 8 }, 'binary'],
    ['text that is no UTF-8', { first: TEXT, payload: Buffer.from([0xc3, 0x28]), mask: MASK }, 'error'],
  ])('%s', async (_what, parts, outcome) => {
    const good = frameBytes(masked(BINARY, 8))
    for (const size of [100_000, 5]) {
      // The library unmasks in place.
      const bytes = Buffer.concat([good, frameBytes(parts), good])
      const { seen, write, counts, hasLeft } = ahead()
      for (let at = 0; at < bytes.length; at += size) write(bytes.subarray(at, at + size))
      await turn()
      expect(hasLeft()).toBe(true)
      expect(counts.messages).toBe(1)
      expect(seen[1][0]).toBe(outcome)
      // Nothing that follows a mistake is taken for a message.
      expect(seen).toHaveLength(outcome === 'binary' ? 3 : 2)
    }
  })
})

const MESSAGES = [TEXT, BINARY]
const CONTROLS = [0x88, 0x89, 0x8a]
const ODD = [0x00, 0x01, 0x02, 0x80, 0x09, 0x83, 0xc1, 0xa2, 0x92]

const anyFrame: fc.Arbitrary<FrameParts> = fc.record(
  {
    first: fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom(...MESSAGES) },
      { weight: 3, arbitrary: fc.constantFrom(...CONTROLS) },
      { weight: 2, arbitrary: fc.constantFrom(...ODD) },
    ),
    payload: fc.oneof(
      { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 80 }).map((text) => Buffer.from(text)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 140 }) },
      { weight: 1, arbitrary: fc.integer({ min: 120, max: 300 }).map(payload) },
      { weight: 1, arbitrary: fc.constantFrom(PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 1).map(payload) },
    ),
    mask: fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)),
    lengthBytes: fc.constantFrom(2, 8),
  },
  { requiredKeys: ['first', 'payload', 'mask'] },
)
const fits = ({ payload: { length }, lengthBytes }: FrameParts) => lengthBytes !== 2 || length < 0x1_0000

it('any frames, cut anywhere and stopped anywhere, are what the library alone makes of them', async () => {
  const frames = fc.array(anyFrame.filter(fits), { minLength: 1, maxLength: 12 })
  await holds(
    fc.asyncProperty(frames, fc.array(fc.nat(), { maxLength: 8 }), fc.nat(), async (parts, cuts, stops) => {
      const chunks = cut(Buffer.concat(parts.map(frameBytes)), cuts)
      const alone = library()
      // Behind the first up to the 31st message, a bit each.
      const both = ahead((messages) => ((stops >> messages) & 1) === 0)
      for (const chunk of chunks) {
        alone.write(Buffer.from(chunk))
        both.write(chunk)
        if (((stops >> both.counts.messages) & 2) === 0) both.inbox.resume()
      }
      while (both.inbox.isStopped) both.inbox.resume()
      await turn()
      expect(both.seen).toEqual(alone.seen)
    }),
    500,
  )
})

it("memory for frames in pieces is nobody else's meanwhile, nor what a ping holds afterwards", () => {
  const frame = fc.record({
    first: fc.constantFrom(BINARY, BINARY, PING),
    payload: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    mask: fc.constant(MASK),
  })
  const socket = fc.array(frame, { maxLength: 6 })
  const sockets = fc.tuple(socket, socket, socket)
  const run = fc.property(sockets, fc.array(fc.nat()), fc.array(fc.nat(2)), (all, cuts, order) => {
    const spare = new SpareFrames()
    const message = new Incoming(64)
    const ends = all.map((frames) => {
      const seen: string[] = []
      const controls: Buffer[] = []
      const inbox = new Inbox(
        message,
        PAYLOAD_MAX,
        {
          message: ({ bytes, length }) => seen.push(bytes.toString('hex', 0, length)) > 0,
          control: (bytes) => void controls.push(bytes),
          leave: () => expect.unreachable(),
        },
        spare,
      )
      return { frames, seen, controls, inbox, chunks: cut(Buffer.concat(frames.map(frameBytes)), cuts) }
    })
    // In any order, and then what is left.
    for (const i of [...order, ...all.flatMap((_, n) => Array<number>(cuts.length + 1).fill(n))]) {
      const chunk = ends[i].chunks.shift()
      if (chunk !== undefined) ends[i].inbox.read(chunk)
    }
    for (const { frames, seen, controls } of ends) {
      const [messages, others] = [true, false].map((is) =>
        frames.filter(({ first }) => (first === BINARY) === is),
      )
      expect(seen).toEqual(messages.map(({ payload: bytes }) => bytes.toString('hex')))
      expect(controls.map((bytes) => bytes.toString('hex'))).toEqual(
        others.map((each) => frameBytes(each).toString('hex')),
      )
    }
  })
  holds(run, 300)
})
