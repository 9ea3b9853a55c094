/** The stream protocol without a socket: filters, gaps, answers, and the end of patience. */
import { describe, expect, it } from 'vitest'
import { type StreamNotification, type StreamPartition, StreamSession } from '../../src/streams/session.js'

const LIMITS = { budgetBytes: 100, cutBytes: 1000, cutMs: 5000 }

const note = (n: number, kind = 'message', vcpu = 0): StreamNotification => ({
  n,
  kind,
  vcpu,
  text: `{"n":${n}}`,
})

/** A partition with notifications 1..`lastN`, of which those from `firstN` are kept. */
function session(filter = {}, firstN = 1, lastN = 0) {
  const sent: string[] = []
  const closed: number[] = []
  const state = { buffered: 0, now: 0, lastN }
  const partition: StreamPartition = {
    id: 'p1',
    get lastN() {
      return state.lastN
    },
    firstN,
    after: (n) =>
      Array.from({ length: lastN }, (_, i) => note(i + 1)).filter((each) => each.n > n && each.n >= firstN),
    applyBatch: (ops) => {
      if (ops.includes('bug')) throw new Error('a bug')
      if (ops.includes('mistake')) throw new RangeError('a mistake')
      return { seq: 7, results: ops.map(() => '{"ok":true}') }
    },
    describe: (error) => (error instanceof RangeError ? { detail: error.message } : undefined),
  }
  const sink = {
    send: (text: string) => sent.push(text),
    buffered: () => state.buffered,
    close: (code: number) => closed.push(code),
  }
  const it = new StreamSession(partition, sink, filter, LIMITS, () => state.now)
  return { session: it, sent, closed, state }
}

describe('a session', () => {
  it('says hello first, with the number that stands', () => {
    const { session: s, sent } = session({}, 1, 41)
    s.begin(undefined)
    expect(sent).toEqual(['{"hello":{"partition":"p1","n":41,"protocol":"synic.v1.json"}}'])
  })

  it('resumes behind the number it is given', () => {
    const { session: s, sent } = session({}, 1, 5)
    s.begin(3)
    expect(sent.slice(1)).toEqual(['{"n":4}', '{"n":5}'])
  })

  it('tells what is gone, then what is left', () => {
    const { session: s, sent } = session({}, 4, 5)
    s.begin(1)
    expect(sent.slice(1)).toEqual(['{"gap":{"from":2,"to":3}}', '{"n":4}', '{"n":5}'])
  })

  it('tells nothing twice to who missed nothing', () => {
    const { session: s, sent } = session({}, 1, 5)
    s.begin(5)
    expect(sent).toHaveLength(1)
  })

  it.each([
    ['everything', {}, [1, 2, 3, 4]],
    ['kinds', { kinds: ['eom'] as const }, [2]],
    ['vCPUs, and what concerns them all', { vcpus: [1] }, [3, 4]],
    ['no kinds at all', { kinds: [] }, []],
  ])('filters: %s', (_what, filter, expected) => {
    const { session: s, sent } = session(filter)
    s.notify([note(1), note(2, 'eom'), note(3, 'message', 1), note(4, 'ack', -1)])
    expect(sent.map((text) => JSON.parse(text).n)).toEqual(expected)
  })

  it('changes its filter on a live socket', () => {
    const { session: s, sent } = session({}, 1, 9)
    s.receive('{"id":8,"subscribe":{"kinds":["eom"],"vcpus":[2]}}')
    s.notify([note(1, 'eom', 1), note(2, 'eom', 2), note(3, 'message', 2)])
    expect(sent).toEqual(['{"id":8,"n":9}', '{"n":2}'])
  })

  it('answers a batch under its id', () => {
    const { session: s, sent } = session()
    s.receive('{"id":3,"ops":[1,2]}')
    expect(sent).toEqual(['{"id":3,"seq":7,"results":[{"ok":true},{"ok":true}]}'])
  })

  it('answers a mistake with a problem, and does not hide a bug', () => {
    const { session: s, sent, closed } = session()
    s.receive('{"id":3,"ops":["mistake"]}')
    expect([sent, closed]).toEqual([['{"id":3,"problem":{"detail":"a mistake"}}'], []])
    expect(() => s.receive('{"id":3,"ops":["bug"]}')).toThrow('a bug')
  })

  it.each(['', '{', '7', '[]', '{"id":1}', '{"ops":[]}', '{"id":-1,"ops":[]}', '{"id":1,"ops":[],"more":1}'])(
    'closes on the bad frame %j',
    (text) => {
      const { session: s, closed } = session()
      s.receive(text)
      expect(closed).toEqual([4000])
    },
  )

  it('leaves a slow reader out, and tells the gap once it has caught up', () => {
    const { session: s, sent, closed, state } = session()
    state.buffered = 101
    s.notify([note(1), note(2)])
    state.lastN = 2
    s.tick()
    expect([sent, s.dropped]).toEqual([[], 2])
    state.buffered = 50
    s.tick()
    s.notify([note(3)])
    expect(sent).toEqual(['{"gap":{"from":1,"to":2}}', '{"n":3}'])
    expect(closed).toEqual([])
  })

  it('cuts off who is too far behind, or behind for too long', () => {
    const far = session()
    far.state.buffered = 1001
    far.session.tick()
    expect(far.closed).toEqual([4008])
    const long = session()
    long.state.buffered = 101
    long.session.notify([note(1)])
    long.state.now = 5001
    long.session.tick()
    expect(long.closed).toEqual([4008])
  })
})
