/** A realtime partition advances by ordinary ops, so that its log replays to the same state. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { decodeOp } from '../../src/api/op-decode.js'
import type { PartitionHost } from '../../src/engine/partition-host.js'
import { Service } from '../../src/engine/service.js'
import { savePartition } from '../../src/synic/save-state.js'

const ARM = [
  { op: 'msr.write', vcpu: 0, msr: 'SINT2', value: 0xf3 },
  { op: 'msr.write', vcpu: 0, msr: 'SIMP', value: 0x10001 },
  { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: 0x1ed3 },
  { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 10_000 },
]

/** Ops of the log, by name. */
const logged = (host: PartitionHost) =>
  [...host.journal.entries(0, 1e9)].map(({ words, at }) => decodeOp(words, at, host.partition.names))

describe('a realtime partition', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  const realtime = () => {
    const service = new Service({}, () => performance.now())
    return { service, host: service.create({ profile: 'kvm-synic2', clock: 'realtime' }) }
  }

  it('catches up before every batch', () => {
    const { host } = realtime()
    vi.advanceTimersByTime(5)
    const [read] = host.applyBatch([{ op: 'msr.read', vcpu: 0, msr: 'TIME_REF_COUNT' }]).results
    expect(JSON.parse(read).value).toBe('0xc350')
    expect(logged(host)).toContainEqual({ op: 'clock.advance', ticks: 50_000, by: 'host' })
  })

  it('fires its timers without being asked', () => {
    const { host } = realtime()
    host.applyBatch(ARM)
    vi.advanceTimersByTime(3)
    expect(host.partition.now).toBeGreaterThanOrEqual(30_000)
    expect(logged(host).filter(({ op }) => op === 'clock.advance').length).toBeGreaterThanOrEqual(3)
  })

  it('replays from its log to the same state', () => {
    const { host } = realtime()
    host.applyBatch(ARM)
    vi.advanceTimersByTime(7)
    host.applyBatch([{ op: 'apic.ack', vcpu: 0 }])
    const replay = new Service().create({ profile: 'kvm-synic2', vcpus: 0 })
    replay.applyBatch(logged(host))
    expect(savePartition(replay.partition)).toEqual(savePartition(host.partition))
  })

  it('stands still while paused, and goes on from there', () => {
    const { host } = realtime()
    host.applyBatch([{ op: 'partition.pause' }])
    vi.advanceTimersByTime(100)
    expect(host.partition.now).toBe(0)
    host.applyBatch([{ op: 'partition.resume' }])
    vi.advanceTimersByTime(2)
    host.catchUp()
    expect(host.partition.now).toBe(20_000)
  })

  it('takes a long sleep with a fast timer in steps, not in one op', () => {
    const { host } = realtime()
    host.applyBatch([...ARM.slice(0, 3), { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 1 }])
    host.onSettled = null
    vi.setSystemTime(0)
    vi.advanceTimersByTime(20)
    host.catchUp()
    expect(host.partition.now).toBe(200_000)
  })

  it('sets no timer when none is due, and none after it was deleted', () => {
    const { service, host } = realtime()
    expect(vi.getTimerCount()).toBe(0)
    host.applyBatch(ARM)
    expect(vi.getTimerCount()).toBe(1)
    service.delete(host.id)
    expect(vi.getTimerCount()).toBe(0)
  })
})
