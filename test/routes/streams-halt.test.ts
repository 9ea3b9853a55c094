/** `vcpu.halt` on real sockets: its answer waits for a wake, and for nothing and nobody else. */
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { PartitionHost } from '../../src/engine/partition-host.js'
import {
  enableSynic,
  PROTOCOLS,
  post,
  SocketClient,
  type StreamServer,
  streamServer,
  type WireOp,
} from '../support/stream-socket.js'

let server: StreamServer
const clients: SocketClient[] = []

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate()
  await server.app.close()
})

async function join(protocol: (typeof PROTOCOLS)[number] = PROTOCOLS[0]): Promise<SocketClient> {
  const client = await SocketClient.connected(`${server.url}?kinds=`, protocol)
  clients.push(client)
  return client
}

/** Counts who waits for a wake. */
function waitsOf({ sleepers }: PartitionHost): { open: number } {
  const waits = { open: 0 }
  const whenAwake = sleepers.whenAwake.bind(sleepers)
  sleepers.whenAwake = (vcpus, done) => {
    waits.open++
    const end = whenAwake(vcpus, () => {
      waits.open--
      done()
    })
    return () => {
      waits.open--
      end()
    }
  }
  return waits
}

const halt: WireOp = { op: 'vcpu.halt', vcpu: 0 }
const kick: WireOp = { op: 'vcpu.kick', vcpu: 0 }
const weakKick: WireOp = { ...kick, sticky: false }
const answersOf = ({ frames }: SocketClient) => frames.flatMap(({ id }) => id ?? [])

const WAKES: readonly [why: string, ops: readonly WireOp[]][] = [
  ['a message for it', [post(0)]],
  [
    'an event flag for it',
    [
      { op: 'msr.write', vcpu: 0, msr: 'SIEFP', value: 0x20001 },
      { op: 'event.signal', vcpu: 0, sint: 2, flag: 1 },
    ],
  ],
  ['a kick', [kick]],
  ['a kick that would not stick', [weakKick]],
  ['a reset of it', [{ op: 'vcpu.reset', vcpu: 0 }]],
  ['a reset of the partition', [{ op: 'partition.reset' }]],
]

/** It may be blocked still, but who ran it is no more. */
const ENDS: readonly [why: string, ops: readonly WireOp[]][] = [
  ['its going offline', [{ op: 'vcpu.offline', vcpu: 0 }]],
  ['its coming online', [{ op: 'vcpu.online', vcpu: 0 }]],
  ['the next kernel, by kexec', [{ op: 'kernel.boot', kernel: 'linux-2', cause: 'kexec' }]],
  ['the next kernel, after a crash', [{ op: 'kernel.boot', kernel: 'kdump', cause: 'crash' }]],
  ['the next kernel, after a reset', [{ op: 'kernel.boot', kernel: 'linux-2', cause: 'reset' }]],
]

const NO_WAKES: readonly [why: string, ops: readonly WireOp[]][] = [
  ['a message for another vCPU', [post(1)]],
  ['a kick of another vCPU', [{ ...kick, vcpu: 1 }]],
  ['another vCPU that goes offline', [{ op: 'vcpu.offline', vcpu: 1 }]],
  ['a vCPU that does not exist and goes offline', [{ op: 'vcpu.offline', vcpu: 9 }]],
  ['a message without an interrupt', [{ op: 'msr.write', vcpu: 0, msr: 'SINT2', value: 0x10042 }, post(0)]],
]

describe.each(PROTOCOLS)('vcpu.halt over %s', (protocol) => {
  it.each([...WAKES, ...ENDS])('is answered by %s, from another socket', async (_why, ops) => {
    server = await streamServer()
    const waits = waitsOf(server.host)
    const [guest, other] = [await join(protocol), await join()]
    guest.send({ id: 1, ops: [halt] })
    guest.send({ id: 2, ops: [{ op: 'apic.tpr', vcpu: 0, value: 0 }] })
    await guest.until(({ id }) => id === 2)
    expect([answersOf(guest), waits.open]).toEqual([[2], 1])
    await other.ask(...ops)
    const answer = await guest.until(({ id }) => id === 1)
    expect(answer).toEqual({ id: 1, seq: 11, results: [{ ok: true, halted: true }] })
    expect(waits.open).toBe(0)
  })

  it.each(NO_WAKES)('is not answered by %s', async (_why, ops) => {
    server = await streamServer()
    const [guest, other] = [await join(protocol), await join()]
    guest.send({ id: 1, ops: [halt] })
    guest.send({ id: 2, ops: [] })
    await guest.until(({ id }) => id === 2)
    await other.ask(...ops)
    guest.send({ id: 3, ops: [] })
    await guest.until(({ id }) => id === 3)
    expect(answersOf(guest)).toEqual([2, 3])
    guest.send({ id: 4, ops: [kick] })
    await guest.until(({ id }) => id === 1)
    expect(answersOf(guest).toSorted()).toEqual([1, 2, 3, 4])
  })

  it.each([
    ['a kick before it is kept', [kick], { ok: true }],
    ['a weak kick before it is not', [weakKick], undefined],
    ['one kick is one wake', [kick, halt], undefined],
  ])('%s', async (_why, before, result) => {
    server = await streamServer()
    const guest = await join(protocol)
    await guest.ask(...before)
    guest.send({ id: 100, ops: [halt] })
    guest.send({ id: 101, ops: [] })
    await guest.until(({ id }) => id === 101)
    expect(guest.frames.find(({ id }) => id === 100)?.results?.[0]).toEqual(result)
  })

  it.each(ENDS)('is answered at once where %s stands behind it in its batch', async (_why, ops) => {
    server = await streamServer()
    const waits = waitsOf(server.host)
    const guest = await join(protocol)
    const answer = await guest.ask(halt, ...ops)
    expect(answer.results?.[0]).toEqual({ ok: true, halted: true })
    expect(waits.open).toBe(0)
  })

  it('of a vCPU that is offline waits like any other, and ends when it comes online', async () => {
    server = await streamServer()
    const [guest, other] = [await join(protocol), await join()]
    await other.ask({ op: 'vcpu.offline', vcpu: 0 })
    guest.send({ id: 1, ops: [halt] })
    guest.send({ id: 2, ops: [] })
    await guest.until(({ id }) => id === 2)
    expect(answersOf(guest)).toEqual([2])
    await other.ask({ op: 'vcpu.online', vcpu: 0 })
    await guest.until(({ id }) => id === 1)
  })

  it('is not answered by what befalls a copy of its partition, where it may halt again', async () => {
    server = await streamServer()
    const { service, host, partitions } = server
    const guest = await join(protocol)
    guest.send({ id: 1, ops: [halt] })
    guest.send({ id: 2, ops: [] })
    await guest.until(({ id }) => id === 2)
    const copies = [service.restore('p2', service.snapshot(host)), service.fork(host, 'p3')]
    for (const { id } of copies) {
      const other = await SocketClient.connected(`${partitions}/${id}/stream?kinds=`, protocol)
      clients.push(other)
      other.send({ id: 1, ops: [halt] })
      other.send({ id: 2, ops: [kick] })
      expect((await other.until(({ id }) => id === 1)).results).toEqual([{ ok: true, halted: true }])
    }
    guest.send({ id: 3, ops: [] })
    await guest.until(({ id }) => id === 3)
    expect(answersOf(guest)).toEqual([2, 3])
  })

  it('with two vCPUs in a batch waits for both', async () => {
    server = await streamServer()
    const [guest, other] = [await join(protocol), await join()]
    guest.send({ id: 1, ops: [halt, { ...halt, vcpu: 1 }] })
    await other.ask(kick)
    guest.send({ id: 2, ops: [] })
    await guest.until(({ id }) => id === 2)
    expect(answersOf(guest)).toEqual([2])
    await other.ask({ ...kick, vcpu: 1 })
    await guest.until(({ id }) => id === 1)
  })

  it('leaves nothing behind when its client goes', async () => {
    server = await streamServer()
    const waits = waitsOf(server.host)
    const [guest, other] = [await join(protocol), await join()]
    for (const id of [1, 2, 3]) guest.send({ id, ops: [halt] })
    await expect.poll(() => waits.open).toBe(3)
    guest.socket.terminate()
    await expect.poll(() => waits.open).toBe(0)
    expect((await other.ask(kick, ...enableSynic(0))).results?.every(({ ok }) => ok)).toBe(true)
  })

  it('leaves nothing behind when its partition goes', async () => {
    server = await streamServer()
    const waits = waitsOf(server.host)
    const guest = await join(protocol)
    guest.send({ id: 1, ops: [halt] })
    await expect.poll(() => waits.open).toBe(1)
    server.service.delete('p1')
    expect((await guest.closed)[0]).toBe(4010)
    await turn()
    expect([waits.open, answersOf(guest)]).toEqual([0, []])
  })
})
