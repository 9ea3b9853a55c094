/** The stream client against a server that misbehaves: holes, silence, nonsense, every close code. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { type StreamOptions, SynicdClient, type SynicdStream } from '../../src/client/index.js'

let server: WebSocketServer
let urls: string[]
let stream: SynicdStream | undefined
let onConnection: (socket: WebSocket, count: number) => void

beforeEach(async () => {
  urls = []
  server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  server.on('connection', (socket, { url = '' }) => {
    urls.push(url)
    onConnection(socket, urls.length)
  })
  await once(server, 'listening')
})
afterEach(async () => {
  await stream?.close()
  for (const socket of server.clients) socket.terminate()
  server.close()
})

function open(options: StreamOptions = {}): SynicdStream {
  const { port } = server.address() as AddressInfo
  const client = new SynicdClient(`http://127.0.0.1:${port}`)
  stream = client.stream('p1', { reconnect: { minMs: 1, maxMs: 5 }, ...options })
  return stream
}

const say = (socket: WebSocket, ...frames: object[]) => {
  for (const frame of frames) socket.send(JSON.stringify(frame))
}
const MADE = '2026-01-31T12:00:00.000Z'
const EARLIER = '2025-12-31T00:00:00.000Z'
const LATER = '2026-01-31T12:00:00.001Z'
const hello = (n: number, created_at = MADE) => ({
  hello: { partition: 'p1', created_at, n, protocol: 'synic.v1.json' },
})
const gap = (from: number, to: number) => ({ gap: { from, to } })
const eom = (n: number) => ({ n, seq: n, t: 0, kind: 'eom', vcpu: 0 })

async function read(from: SynicdStream, count: number): Promise<unknown[]> {
  const events: unknown[] = []
  for await (const event of from) {
    if (event.kind === 'restarted') events.push(event.created_at)
    else events.push(event.kind === 'gap' ? [event.from, event.to] : event.n)
    if (events.length === count) break
  }
  return events
}

describe('what a server tells', () => {
  it('with a hole is told with a gap, if nothing is filtered', async () => {
    onConnection = (socket) => say(socket, hello(4), eom(5), eom(8), eom(9))
    expect(await read(open(), 4)).toEqual([5, [6, 7], 8, 9])
    await stream?.close()
    expect(await read(open({ kinds: ['eom'] }), 3)).toEqual([5, 8, 9])
  })

  it('twice is heard once', async () => {
    onConnection = (socket) =>
      say(
        socket,
        ...[hello(4), eom(5), eom(5), eom(4)],
        ...[gap(6, 9), eom(9), gap(6, 9), gap(8, 10), eom(10), eom(11)],
      )
    expect(await read(open(), 4)).toEqual([5, [6, 9], [10, 10], 11])
  })

  it('with the filter gone is whole from there on', async () => {
    onConnection = (socket) => {
      say(socket, hello(4), eom(6))
      socket.on('message', (data) => say(socket, { id: JSON.parse(String(data)).id, n: 9 }, eom(10), eom(12)))
    }
    const filtered = open({ kinds: ['eom'] })
    await filtered.opened
    expect(await filtered.subscribe({})).toBe(9)
    expect(await read(filtered, 4)).toEqual([6, 10, [11, 11], 12])
  })

  it('that is no frame ends the stream', async () => {
    onConnection = (socket) => socket.send('<html>')
    expect(await open().ended).toMatchObject({ name: 'SynicdUnexpectedReply', excerpt: '<html>' })
  })
})

describe('a server that hangs up', () => {
  it('behind its hello each time is given up, as one that is not there', async () => {
    onConnection = (socket) => {
      say(socket, hello(4))
      socket.close(1011)
    }
    const reconnect = { minMs: 1, maxMs: 60_000, attemptsMax: 3 }
    expect(await open({ reconnect }).ended).toMatchObject({ name: 'SynicdUnreachable' })
    expect(urls).toHaveLength(4)
  })

  it('behind something new each time is asked again and again', async () => {
    onConnection = (socket, count) => {
      say(socket, hello(count), eom(count + 1))
      socket.close(1011)
    }
    const reconnect = { minMs: 1, maxMs: 60_000, attemptsMax: 3 }
    expect(await read(open({ reconnect }), 8)).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
  })
})

describe('close code', () => {
  it.each([4000, 4001, 4004, 4010])('%i is final', async (code) => {
    onConnection = (socket) => {
      say(socket, hello(0))
      socket.close(code, 'why')
    }
    expect(await open().ended).toMatchObject({ name: 'SynicdStreamClosed', code, reason: 'why' })
    expect(urls).toHaveLength(1)
  })

  it.each([1001, 1006, 1011, 4008])('%i is not: it comes back behind the last event', async (code) => {
    onConnection = (socket, count) => {
      say(socket, ...(count === 1 ? [hello(4), eom(5)] : [hello(6), eom(6)]))
      if (count > 1) return
      if (code === 1006) socket.terminate()
      else socket.close(code)
    }
    const events = await read(open({ vcpus: [0, 1], actor: 'a b' }), code === 1006 ? 1 : 2)
    if (code !== 1006) expect(events).toEqual([5, 6])
    await expect.poll(() => urls.length).toBe(2)
    expect(urls[0]).toMatch(/\/v1\/partitions\/p1\/stream\?vcpus=0%2C1&actor=a%20b$/)
    expect(urls[1]).toContain(`&created_at=${encodeURIComponent(MADE)}&`)
    expect(urls[1]).toMatch(code === 1006 ? /since=[45]/ : /since=5/)
  })

  it('1001 amid batches leaves in doubt what was not answered, and goes on with what comes', async () => {
    onConnection = (socket, count) => {
      say(socket, hello(0))
      socket.on('message', (data) => {
        const { id } = JSON.parse(String(data))
        if (id !== 2) say(socket, { id, seq: id, results: [] })
        else if (count === 1) socket.close(1001, 'the server is going away')
      })
    }
    const cut = open()
    const [answered, lost] = await Promise.allSettled([cut.ops([]), cut.ops([])])
    expect(answered).toMatchObject({ value: { seq: 1 } })
    expect(lost).toMatchObject({ reason: { name: 'SynicdInterrupted', cause: { code: 1001 } } })
    expect(await cut.ops([])).toEqual({ seq: 3, results: [] })
  })
})

describe('a batch that is too long for the server', () => {
  it.each<[string, string[], string[]]>([
    ['alone', ['ab'.repeat(300)], ['SynicdTooLarge']],
    ['before another', ['ab'.repeat(300), 'ab'], ['SynicdTooLarge', 'SynicdInterrupted']],
    ['behind one that is in doubt', ['ab', 'ab'.repeat(300)], ['SynicdInterrupted', 'SynicdTooLarge']],
  ])('%s, is told by its own error, and the stream comes back', async (_what, texts, errors) => {
    onConnection = (socket, count) => {
      say(socket, hello(0))
      socket.on('message', (data: Buffer) => {
        if (count > 1) say(socket, { id: JSON.parse(String(data)).id, seq: 1, results: [] })
        else if (data.length > 500) socket.close(1009)
      })
    }
    const large = open()
    await large.opened
    const outcomes = await Promise.allSettled(
      texts.map((hex) => large.ops([{ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex }])),
    )
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.name)).toEqual(errors)
    expect(await large.ops([])).toEqual({ seq: 1, results: [] })
  })

  it('and was given up: of another nobody can tell whether it was applied', async () => {
    onConnection = (socket) => {
      say(socket, hello(0))
      socket.on('message', (data: Buffer) => data.length > 500 && socket.close(1009))
    }
    const large = open()
    await large.opened
    const ask = (hex: string, signal?: AbortSignal) =>
      large.ops([{ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex }], { signal })
    const waits = ask('ab')
    const giveUp = new AbortController()
    const long = ask('ab'.repeat(300), giveUp.signal)
    giveUp.abort(new Error('given up'))
    const reasons = await Promise.allSettled([waits, long])
    expect(reasons).toMatchObject([
      { reason: { name: 'SynicdInterrupted' } },
      { reason: { message: 'given up' } },
    ])
  })
})

describe('a partition made anew', () => {
  /** First one that has told 5, then another. */
  const another =
    (...frames: object[]) =>
    (socket: WebSocket, count: number) => {
      say(socket, ...(count === 1 ? [hello(4), eom(5)] : frames))
      if (count === 1) socket.close(1001)
    }

  it.each([
    ['has caught up', [hello(7, LATER), eom(1), eom(2)], [5, LATER, 1, 2]],
    ['has told exactly as much', [hello(5, LATER), eom(1)], [5, LATER, 1]],
    ['has lost what it told', [hello(7, LATER), gap(1, 7), eom(8)], [5, LATER, [1, 7], 8]],
    ['leaves a hole', [hello(7, LATER), eom(3)], [5, LATER, [1, 2], 3]],
    ['has told nothing yet', [hello(0, LATER), eom(1)], [5, LATER, 1]],
    ['was made before, by a clock that was wrong', [hello(7, EARLIER), eom(1)], [5, EARLIER, 1]],
  ])('is told from the old when it %s', async (_what, frames, told) => {
    onConnection = another(...frames)
    expect(await read(open(), told.length)).toEqual(told)
    expect(urls[1]).toContain(`since=5&created_at=${encodeURIComponent(MADE)}`)
  })

  it('is not seen where the same time is written another way', async () => {
    onConnection = another(hello(6, '2026-01-31T12:00:00Z'), eom(6))
    expect(await read(open(), 2)).toEqual([5, 6])
  })

  it('is the one that is come back to from then on', async () => {
    onConnection = (socket, count) => {
      say(socket, ...(count === 1 ? [hello(4), eom(5)] : [hello(1, LATER), eom(1)]))
      if (count < 3) socket.close(1001)
    }
    const made = open()
    expect(await read(made, 3)).toEqual([5, LATER, 1])
    await expect.poll(() => urls.length).toBe(3)
    expect(urls[2]).toContain(`since=1&created_at=${encodeURIComponent(LATER)}`)
    expect([made.lastN, made.createdAt]).toEqual([1, LATER])
  })

  it('is told to who comes back with number and time, or with a number too high', async () => {
    onConnection = (socket) => say(socket, hello(7, LATER), eom(1))
    expect(await read(open({ since: 5, createdAt: MADE }), 2)).toEqual([LATER, 1])
    await stream?.close()
    onConnection = (socket) => say(socket, hello(7), eom(8))
    expect(await read(open({ since: 9 }), 3)).toEqual([MADE, [1, 7], 8])
    await stream?.close()
    expect(await read(open({ since: 9, createdAt: MADE }), 1)).toEqual([8])
    await stream?.close()
    expect(await read(open({ createdAt: LATER }), 1)).toEqual([8])
  })

  it('may end a stream whose callback closes it', async () => {
    onConnection = another(hello(7, LATER), eom(1))
    const kinds: string[] = []
    const states: string[] = []
    const closing = open({
      onState: (state) => states.push(state),
      onEvent: ({ kind }) => {
        kinds.push(kind)
        if (kind === 'restarted') closing.close()
      },
    })
    expect(await closing.ended).toBeUndefined()
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(kinds).toEqual(['eom', 'restarted'])
    expect([states.at(-1), closing.state, urls.length]).toEqual(['closed', 'closed', 2])
  })

  it('is told to a loop that is behind, once, between what each of the two has lost', async () => {
    const lives = [
      [hello(0), eom(1), eom(2), eom(3)],
      [hello(2, '2026-01-31T12:00:00.500Z'), eom(1), eom(2)],
      [hello(2, LATER), eom(1), eom(2)],
    ]
    onConnection = (socket, count) => {
      say(socket, ...lives[count - 1])
      if (count < 3) socket.close(1001)
      else socket.on('message', () => say(socket, { id: 1, seq: 1, results: [] }))
    }
    const behind = open({ eventsMax: 1 })
    await expect.poll(() => urls.length).toBe(3)
    await behind.ops([])
    expect(await read(behind, 4)).toEqual([1, [2, 3], LATER, [1, 2]])
  })
})

it('a server that does not take the goodbye is left without it', async () => {
  let isGone = () => {}
  const gone = new Promise<void>((resolve) => {
    isGone = resolve
  })
  onConnection = (socket) => {
    say(socket, hello(0))
    socket.on('close', isGone)
    // What comes from now on is not read, a close frame neither.
    socket.pause()
  }
  const hung = open()
  await hung.opened
  await hung.close()
  for (const socket of server.clients) socket.resume()
  await gone
  expect([...server.clients].map(({ readyState }) => readyState)).toEqual([])
})

describe('a server that falls silent', () => {
  it('is asked, and if it answers kept', async () => {
    let asked = 0
    onConnection = (socket) => {
      say(socket, hello(0))
      socket.on('message', () => {
        asked++
        say(socket, { id: 0, n: 0 })
      })
    }
    const quiet = open({ idleMs: 20 })
    await expect.poll(() => asked).toBeGreaterThan(2)
    expect(urls).toHaveLength(1)
    expect(quiet.state).toBe('open')
  })

  it('and does not answer is left, and what was sent is in doubt', async () => {
    onConnection = (socket, count) => {
      say(socket, hello(0))
      if (count > 1) socket.on('message', () => say(socket, { id: 2, seq: 1, results: [] }))
    }
    const deaf = open({ idleMs: 30 })
    await deaf.opened
    await expect(deaf.ops([])).rejects.toMatchObject({
      name: 'SynicdInterrupted',
      cause: { name: 'SynicdTimeout' },
    })
    expect(await deaf.ops([])).toEqual({ seq: 1, results: [] })
    expect(urls.length).toBeGreaterThan(1)
  })

  it('before its hello was never there', async () => {
    onConnection = () => {}
    expect(await open({ connectTimeoutMs: 50 }).ended).toMatchObject({
      name: 'SynicdUnreachable',
      cause: { name: 'SynicdTimeout', timeoutMs: 50 },
    })
  })
})
