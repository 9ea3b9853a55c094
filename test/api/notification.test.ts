/** The JSON text of each kind of notification (contract §4): members, their order, and their values. */
import { describe, expect, it } from 'vitest'
import { NOTIFICATION_KINDS } from '../../src/api/frames.js'
import * as n from '../../src/api/notification.js'
import { TextBuffer } from '../../src/api/text-buffer.js'
import * as e from '../../src/synic/effects.js'
import { WordBuffer } from '../../src/synic/word-buffer.js'

/** Source word: source, SINT, nested register file. */
const from = (source: number, sint: number, nested = 0) => source | (sint << 8) | (nested << 16)

function textOf(kind: number, detail: (out: WordBuffer) => void, vcpu = 3, flags = 0): string {
  const words = new WordBuffer()
  const at = n.beginNotification(words, kind, 2 ** 33 + 1, 7, 1_000_000_000, vcpu)
  words.words[at] |= flags
  detail(words.reserve(32))
  n.endNotification(words, at)
  const out = new TextBuffer()
  n.putNotification(out, words.words, at)
  return out.toString()
}

const HEAD = '"n":8589934593,"seq":7,"t":1000000000'
const nothing = () => {}
/** Three u64: 0x1, 0x200000000, and all bits. */
const values = (out: WordBuffer) => out.put(1).put(0).put(0).put(2).put(-1).put(-1)
const payload = Uint8Array.of(0xa5, 0, 1, 2, 3)

const CASES: [what: string, text: string, kind: number, (out: WordBuffer) => void, number?, number?][] = [
  [
    'a message in its slot',
    '"kind":"message","vcpu":3,"sint":2,"source":"message","type":"0x1","sender":"0x200000000",' +
      '"hex":"a500010203","pending":false',
    n.KIND_MESSAGE,
    (out) => out.put(from(e.FROM_MESSAGE, 2)).put(1).put(0).put(2).putBytes(payload),
  ],
  [
    "a timer's message without payload, one more waits, nested",
    '"kind":"message","vcpu":3,"sint":15,"nested":true,"source":"timer","type":"0x80000010","sender":"0x0",' +
      '"hex":"","pending":true',
    n.KIND_MESSAGE,
    (out) =>
      out
        .put(from(e.FROM_TIMER, 15, 1))
        .put(0x8000_0010 | 0)
        .put(0)
        .put(0)
        .putBytes(new Uint8Array(0)),
    3,
    n.MESSAGE_IS_PENDING,
  ],
  [
    'an event flag',
    '"kind":"event","vcpu":3,"sint":5,"flag":2047',
    n.KIND_EVENT,
    (out) => out.put(from(e.FROM_EVENT, 5)).put(2047),
  ],
  [
    'an interrupt of a GSI',
    '"kind":"interrupt","vcpu":3,"sint":2,"vector":243,"source":"gsi"',
    n.KIND_INTERRUPT,
    (out) => out.put(from(e.FROM_GSI, 2)).put(243),
  ],
  [
    'an interrupt of no SINT',
    '"kind":"interrupt","vcpu":3,"vector":236,"source":"timer"',
    n.KIND_INTERRUPT,
    (out) => out.put(from(e.FROM_TIMER, e.NO_SINT)).put(236),
  ],
  ['an end of message', '"kind":"eom","vcpu":3', n.KIND_EOM, nothing],
  ['an end of interrupt', '"kind":"eoi","vcpu":3,"vector":243', n.KIND_EOI, (out) => out.put(243)],
  [
    'the exit of a register write',
    '"kind":"exit","vcpu":3,"msr":"0x40000080","control":"0x1",' +
      '"evt_page":"0x200000000","msg_page":"0xffffffffffffffff"',
    n.KIND_EXIT,
    (out) => values(out.put(0x4000_0080)),
  ],
  [
    'the exit of a hypercall',
    '"kind":"exit","vcpu":3,"input":"0x1","params":["0x200000000","0xffffffffffffffff"]',
    n.KIND_EXIT,
    (out) => values(out),
    3,
    n.EXIT_OF_HYPERCALL,
  ],
  ['an ack of the largest GSI', '"kind":"ack","gsi":4294967295', n.KIND_ACK, (out) => out.put(-1), -1],
  ['#GP', '"kind":"fault","vcpu":3,"fault":"gp"', n.KIND_FAULT, (out) => out.put(e.FAULT_GP)],
  ['#UD', '"kind":"fault","vcpu":3,"fault":"ud"', n.KIND_FAULT, (out) => out.put(e.FAULT_UD)],
  [
    'a violation, whose members come as text',
    '"kind":"violation","vcpu":3,"message":"\u00e9"',
    n.KIND_VIOLATION,
    (out) => out.putBytes(Buffer.from('"message":"\u00e9"')),
  ],
  [
    'the partition as a whole',
    '"kind":"lifecycle","event":"paused"',
    n.KIND_LIFECYCLE,
    (out) => out.put(n.LIFECYCLE_EVENTS.indexOf('paused')),
    -1,
  ],
]

describe('the text of a notification', () => {
  it.each(CASES)('%s', (_what, members, kind, detail, vcpu, flags) => {
    expect(textOf(kind, detail, vcpu, flags)).toBe(`{${HEAD},${members}}`)
  })

  it('every kind is among them', () => {
    const kinds = new Set(CASES.map(([, , kind]) => NOTIFICATION_KINDS[kind]))
    expect([...kinds].sort()).toEqual([...NOTIFICATION_KINDS].sort())
  })
})
