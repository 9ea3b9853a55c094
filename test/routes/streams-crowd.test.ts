/** Two guests, a harness and two dashboards at one partition: 10,000 messages, none lost or twice. */
import { afterEach, describe, expect, it } from 'vitest'
import { BIN_PROTOCOL, JSON_PROTOCOL } from '../../src/api/frames.js'
import type { ProfileName } from '../../src/synic/profile.js'
import {
  complete,
  type Frame,
  pageOf,
  post,
  SINTS,
  SocketClient,
  type StreamServer,
  streamServer,
  VECTORS,
} from '../support/stream-socket.js'

const MESSAGES = 10_000
const VCPUS = [0, 1]
const LANES = VCPUS.flatMap((vcpu) => SINTS.map((sint) => ({ vcpu, sint })))
const MESSAGES_A_LANE = MESSAGES / LANES.length
/** Posts of one batch: two of them are more than the queue behind a slot of `tlfs` holds. */
const WINDOW = 10

const laneName = ({ vcpu, sint }: Pick<Frame, 'vcpu' | 'sint'>) => `vCPU ${vcpu} SINT ${sint}`
const payload = (i: number) => i.toString(16).padStart(8, '0')
const expected = Array.from({ length: MESSAGES_A_LANE }, (_, i) => payload(i))

/** Where two lists part: thousands of lines say no more. */
function difference(found: readonly unknown[], wanted: readonly unknown[]) {
  const texts = [found, wanted].map((list) => list.map((item) => JSON.stringify(item)))
  const at = texts[0].findIndex((text, i) => text !== texts[1][i])
  if (at < 0 && found.length === wanted.length) return undefined
  const place = at < 0 ? found.length : at
  return { at: place, found: found.slice(place, place + 2), wanted: wanted.slice(place, place + 2) }
}

let server: StreamServer
const clients: SocketClient[] = []

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate()
  await server.app.close()
})

async function join(
  query: string,
  protocol: typeof JSON_PROTOCOL | typeof BIN_PROTOCOL,
  onFrame = (_: Frame) => {},
) {
  const client = await SocketClient.connected(`${server.url}?${query}`, protocol, onFrame)
  clients.push(client)
  return client
}

/** What a batch did, op by op. */
async function results(client: SocketClient, ...ops: Parameters<SocketClient['ask']>) {
  const answer = await client.ask(...ops)
  if (answer.results === undefined) throw new Error(`refused: ${JSON.stringify(answer)}`)
  return answer.results
}

/** Posts messages 0, 1, 2 ... to every lane; where one had to wait it goes on once a guest wrote EOM. */
class Harness {
  readonly outcomes = new Set<string | undefined>()
  #client!: SocketClient
  readonly #waiting = new Map<number, Set<() => void>>(VCPUS.map((vcpu) => [vcpu, new Set()]))

  async run(): Promise<void> {
    this.#client = await join('kinds=eom', JSON_PROTOCOL, ({ kind, vcpu }) => {
      if (kind === 'eom') this.#wake(vcpu ?? -1)
    })
    await Promise.all(LANES.map(({ vcpu, sint }) => this.#fill(vcpu, sint)))
  }

  async #fill(vcpu: number, sint: number): Promise<void> {
    for (let next = 0, batch = 0; next < MESSAGES_A_LANE; ) {
      const count = Math.min(WINDOW, MESSAGES_A_LANE - next)
      const ops = Array.from({ length: count }, (_, i) => post(vcpu, payload(next + i), sint))
      const id = 1_000_000 * (2 * vcpu + sint) + batch++
      // Nothing is applied behind a post that was not taken: order is kept.
      this.#client.send({ id, ops, stop_on_fault: true })
      const { results: outcomes = [] } = await this.#client.next((frame) => frame.id === id)
      for (const { delivery } of outcomes) this.outcomes.add(delivery)
      next += outcomes.filter(({ delivery }) => delivery === 'delivered' || delivery === 'queued').length
      if (outcomes.at(-1)?.delivery !== 'delivered') await this.#eom(vcpu)
    }
  }

  #eom(vcpu: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.get(vcpu)?.add(resolve))
  }

  #wake(vcpu: number): void {
    const waiting = this.#waiting.get(vcpu)
    for (const resolve of waiting ?? []) resolve()
    waiting?.clear()
  }
}

/** A guest on one vCPU: an interrupt at a time, from taking it to its EOI. */
class Guest {
  readonly seen = new Map<string, string[]>()
  readonly done: Promise<void>
  client!: SocketClient
  /** The newest message of each SINT, as it was told. */
  readonly told = new Map<number, string>()
  #interrupts = 0
  #left = 2 * MESSAGES_A_LANE
  #busy = false
  #finish!: () => void
  #fail!: (error: unknown) => void

  /** @param serve empties the slot of a SINT; returns the message that was in it */
  constructor(
    readonly vcpu: number,
    private readonly serve: (guest: Guest, sint: number) => Promise<string | undefined>,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
  }

  async join(protocol: typeof JSON_PROTOCOL | typeof BIN_PROTOCOL): Promise<void> {
    const query = `vcpus=${this.vcpu}&kinds=message,interrupt&actor=guest${this.vcpu}`
    this.client = await join(query, protocol, ({ kind, sint = -1, hex = '' }) => {
      if (kind === 'message') this.told.set(sint, hex)
      if (kind !== 'interrupt') return
      this.#interrupts++
      this.#work().catch(this.#fail)
    })
  }

  async #work(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    for (; this.#interrupts > 0; this.#interrupts--) {
      const [{ vector = -1 }] = await results(this.client, { op: 'apic.ack', vcpu: this.vcpu })
      const sint = SINTS[(VECTORS as readonly number[]).indexOf(vector)]
      const hex = await this.serve(this, sint)
      const lane = laneName({ vcpu: this.vcpu, sint })
      const seen = this.seen.get(lane) ?? []
      seen.push(hex ?? 'nothing')
      this.seen.set(lane, seen)
      if (--this.#left === 0) this.#finish()
    }
    this.#busy = false
  }
}

/** Reads the slot itself, and lets the op `message.complete` do what drivers do. */
async function readAndComplete({ client, vcpu }: Guest, sint: number): Promise<string | undefined> {
  const [{ hex }] = await results(
    client,
    { op: 'mem.read', gpa: pageOf(vcpu) + sint * 256 + 16, len: 4 },
    complete(vcpu, sint),
    { op: 'apic.eoi', vcpu },
  )
  return hex
}

/** Takes the message as it was told, and empties the slot step by step. */
async function swapAndWriteEom({ client, vcpu, told }: Guest, sint: number): Promise<string | undefined> {
  const slot = pageOf(vcpu) + sint * 256
  const hex = told.get(sint)
  const [swapped, flags] = await results(
    client,
    { op: 'mem.cas', gpa: slot, len: 4, expect: 1, value: 0 },
    { op: 'mem.read', gpa: slot + 5, len: 1 },
  )
  const eom = { op: 'msr.write', vcpu, msr: 'EOM', value: 0 }
  await results(client, ...(flags.hex === '01' ? [eom] : []), { op: 'apic.eoi', vcpu })
  return swapped.value === '0x1' ? hex : `${hex} out of slot type ${swapped.value}`
}

describe('a crowd on one partition', () => {
  it.each<[ProfileName, waits: string]>([
    ['tlfs', 'queued'],
    ['kvm-synic2', 'busy'],
    ['kvm-synic', 'busy'],
  ])('%s: every message arrives once and in order, those that were %s too', async (profile, waits) => {
    server = await streamServer({ profile })
    const guests = [new Guest(0, readAndComplete), new Guest(1, swapAndWriteEom)]
    await guests[0].join(JSON_PROTOCOL)
    await guests[1].join(BIN_PROTOCOL)
    const all = await join('', JSON_PROTOCOL)
    const some = await join('kinds=message,eoi&vcpus=1', BIN_PROTOCOL)
    const harness = new Harness()
    await Promise.race([harness.run(), ...guests.map(({ done }) => done.then(() => new Promise(() => {})))])
    await Promise.all(guests.map(({ done }) => done))
    const { lastN } = server.host.notifications
    await all.until(({ n, kind }) => kind !== undefined && n === lastN)

    const seen = new Map(guests.flatMap((guest) => [...guest.seen]))
    const told = (lane: string) =>
      all.frames.filter((frame) => frame.kind === 'message' && laneName(frame) === lane)
    for (const lane of LANES.map(laneName)) {
      expect([lane, difference(seen.get(lane) ?? [], expected)]).toEqual([lane, undefined])
      const payloads = told(lane).map(({ hex }) => hex)
      expect([lane, difference(payloads, expected)]).toEqual([lane, undefined])
    }
    expect([...harness.outcomes]).toContain(waits)
    const [first] = all.numbers
    expect(
      difference(
        all.numbers,
        Array.from({ length: lastN + 1 - first }, (_, i) => first + i),
      ),
    ).toBe(undefined)
    const isForSome = ({ kind = '', vcpu }: Frame) => ['message', 'eoi'].includes(kind) && vcpu === 1
    const wanted = all.frames.filter(isForSome)
    await some.until(({ n }) => n === wanted.at(-1)?.n)
    expect(difference(some.frames.slice(1), wanted)).toBe(undefined)
    expect(server.meter).toEqual({ clients: 5, dropped: 0 })
  })
})
