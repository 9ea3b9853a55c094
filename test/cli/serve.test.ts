/** `synicd serve` as a process: where it listens, how it refuses to start, how it goes away. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { MAIN } from '../support/built.js'

const running = new Set<ChildProcessWithoutNullStreams>()

function serve(...flags: string[]): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [MAIN, 'serve', '--log-level', 'silent', ...flags])
  running.add(child)
  return child
}

/** A server that listens, and its base address. */
async function listening(...flags: string[]) {
  const child = serve('--port', '0', '--json', ...flags)
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, url: JSON.parse(line.toString()).address as string }
}

/** How a server that should not start ends: status and what it says. */
async function refusal(...flags: string[]) {
  const child = serve(...flags)
  let text = ''
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk
  })
  const [status] = await once(child, 'close')
  return { status, text }
}

afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
  running.clear()
})

describe('synicd serve', () => {
  it('prints where it listens, and answers there', async () => {
    const { url } = await listening()
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
  })

  it.each([
    [
      'a value out of range',
      ['--port', '99999'],
      /--port: "99999" is not valid: give a whole number from 0 to 65535/,
    ],
    ['an unknown flag', ['--prot', '1'], /unknown option '--prot'/],
    [
      'an address of another machine',
      ['--host', '192.0.2.7', '--insecure'],
      /--host must be an address of this/,
    ],
    ['an open address without authentication', ['--host', '0.0.0.0'], /--insecure/],
  ])('refuses to start with %s: one line, status 2', async (_why, flags, message) => {
    const { status, text } = await refusal(...flags)
    expect([status, text.trim().split('\n')]).toEqual([2, [expect.stringMatching(message)]])
  })

  it.each([
    ['reads', { method: 'GET', path: '/v1/partitions' }, {}],
    ['changes', { method: 'POST', path: '/v1/partitions' }, {}],
    [
      'listens',
      { method: 'GET', path: '/v1/partitions/p1/stream' },
      { connection: 'upgrade', upgrade: 'websocket' },
    ],
  ])(
    'keeps out a page whose name was made to mean this machine, whatever it %s',
    async (_, what, headers) => {
      const host = 'elsewhere.example:8440'
      const { url } = await listening()
      const ask = async (name: string, address: string) => {
        const asked = request(address, {
          ...what,
          headers: { ...headers, host: name, origin: `http://${name}` },
        })
        const [reply] = (await once(asked.end(), 'response')) as [IncomingMessage]
        reply.resume()
        return reply.statusCode
      }
      expect(await ask(host, url)).toBe(421)
      expect(await ask(new URL(url).host, url)).not.toBe(421)
      const known = await listening('--allowed-hosts', 'elsewhere.example')
      expect(await ask(host, known.url)).not.toBe(421)
    },
  )

  it('says so when the port is taken', async () => {
    const { url } = await listening()
    const { status, text } = await refusal('--port', new URL(url).port)
    expect(status).toBe(2)
    expect(text).toContain('choose another --port')
  })

  it('on SIGTERM does not wait for connections that never said a word', async () => {
    const { child, url } = await listening()
    const silent = connect(Number(new URL(url).port), '127.0.0.1')
    await once(silent, 'connect')
    const hungUp = once(silent, 'close')
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    await hungUp
    expect((await ended)[0]).toBe(0)
  })

  it('cuts off what is not done when the time given is over, and ends with status 0', async () => {
    const { child, url } = await listening('--drain-seconds', '1')
    const slow = connect(Number(new URL(url).port), '127.0.0.1')
    await once(slow, 'connect')
    slow.on('error', () => {})
    slow.write('POST /v1/partitions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n')
    await new Promise((resolve) => setTimeout(resolve, 50))
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    expect((await ended)[0]).toBe(0)
  })

  it('on SIGTERM fails /readyz first, finishes what is in flight, and ends with status 0', async () => {
    const { child, url } = await listening()
    const created = await fetch(`${url}/v1/partitions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"id":"p","profile":"kvm-synic2"}',
    })
    expect(created.status).toBe(201)
    // A request half sent: its body ends only after the server was told to stop.
    const body = JSON.stringify({ ops: [{ op: 'msr.write', vcpu: 0, msr: 'SINT2', value: '0xf3' }] })
    const head = `POST /v1/partitions/p/ops HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    await once(socket, 'connect')
    socket.write(`${head}content-length: ${body.length}\r\n\r\n${body.slice(0, 20)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status).toBe(503)
    socket.write(body.slice(20))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer.toString()).toContain('"results":[{"ok":true}]')
    socket.end()
    expect((await ended)[0]).toBe(0)
    await expect(fetch(`${url}/livez`)).rejects.toThrow()
  })
})
