/** Texts on their way in and out: short ones and ASCII are read and written another way than the others. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Arena } from '../../src/streams/arena.js'
import { Inbox } from '../../src/streams/inbox.js'
import { Incoming } from '../../src/streams/incoming.js'
import { FrameBuffer } from '../../src/streams/websocket-frames.js'
import { holds } from '../support/property.js'
import { messagesIn } from '../support/stream.js'
import { frameBytes } from '../support/stream-raw.js'

const anyText = fc.oneof(fc.string({ maxLength: 150 }), fc.string({ unit: 'binary', maxLength: 70 }))
const anyMask = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))

/** What an inbox makes of texts that come one after the other. */
function read(texts: readonly string[], mask: readonly number[]): string[] {
  const seen: string[] = []
  const inbox = new Inbox(new Incoming(64), 1000, {
    message: (message) => seen.push(message.text()) > 0,
    control() {},
    leave(rest) {
      throw new Error(`left: ${rest.toString('hex')}`)
    },
  })
  const frames = texts.map((text) => frameBytes({ first: 0x81, payload: Buffer.from(text), mask }))
  inbox.read(Buffer.concat(frames))
  return seen
}

describe('a text that comes in', () => {
  it.each([0, 1, 2, 3, 4, 5, 127, 128, 129])('of %d letters is read whatever the mask', (length) => {
    for (const letter of ['a', '\x7f', '\x80']) {
      const text = letter.repeat(length)
      for (const mask of [0, 0x7f, 0x80, 0xff]) expect(read([text], Array(4).fill(mask))).toEqual([text])
    }
  })

  it('is read as it was sent, whatever came before', () =>
    holds(
      fc.property(fc.array(anyText, { maxLength: 6 }), anyMask, (texts, mask) => {
        expect(read(texts, mask)).toEqual(texts)
      }),
    ))
})

describe('a text that goes out', () => {
  it.each([0, 1, 63, 64, 65, 125, 126, 0xffff, 0x1_0000])('of %d letters is whole', (length) => {
    const frames = new FrameBuffer()
    const texts = ['x'.repeat(length), `${'x'.repeat(Math.max(0, length - 1))}é`]
    for (const text of texts) frames.text(text)
    expect(messagesIn(frames.take(new Arena())).map(({ payload }) => payload.toString())).toEqual(texts)
  })

  it('is written as it is, whatever was before', () =>
    holds(
      fc.property(fc.array(anyText, { maxLength: 6 }), (texts) => {
        const frames = new FrameBuffer()
        for (const text of texts) frames.text(text)
        expect(messagesIn(frames.take(new Arena())).map(({ payload }) => payload.toString())).toEqual(texts)
      }),
    ))
})
