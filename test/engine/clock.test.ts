/** A realtime partition advances by ordinary ops, so that its log replays to the same state. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { decodeOp } from '../../src/api/op-decode.js'
import { RealtimeClock } from '../../src/engine/clock.js'
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

beforeEach(() => vi.useFakeTimers())
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

describe('a realtime partition', () => {
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

  it('serves others before one that has far to go', () => {
    const { service, host } = realtime()
    const direct = [
      { op: 'msr.write', vcpu: 0, msr: 'STIMER0_CONFIG', value: 0x1ed3 },
      { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 10 },
    ]
    host.applyBatch(direct)
    const other = service.create({ profile: 'kvm-synic2', clock: 'realtime' })
    other.applyBatch(ARM)
    vi.advanceTimersByTime(2)
    const steps = logged(host).filter(({ op }) => op === 'clock.advance')
    // A timer that fires each microsecond: 64 expiries a turn at most.
    expect(Math.max(...steps.map(({ ticks }) => Number(ticks)))).toBeLessThanOrEqual(640)
    expect(other.partition.now).toBeGreaterThan(0)
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
    for (let batches = 0; batches < 8; batches++) host.catchUp()
    expect(host.partition.now).toBe(200_000)
  })

  it('waits for nothing while paused, and fires again after', () => {
    const { host } = realtime()
    host.applyBatch([...ARM, { op: 'partition.pause' }])
    const { seq } = host.partition
    vi.advanceTimersByTime(50)
    expect(host.partition.seq).toBe(seq)
    expect(vi.getTimerCount()).toBe(0)
    host.applyBatch([{ op: 'partition.resume' }])
    vi.advanceTimersByTime(3)
    expect(host.partition.now).toBe(30_000)
  })

  it('loses nothing when paused and resumed while it waits', () => {
    const { host } = realtime()
    host.applyBatch([...ARM.slice(0, 3), { op: 'msr.write', vcpu: 0, msr: 'STIMER0_COUNT', value: 50_000 }])
    vi.advanceTimersByTime(2)
    host.applyBatch([{ op: 'partition.pause' }])
    vi.advanceTimersByTime(1)
    host.applyBatch([{ op: 'partition.resume' }])
    vi.advanceTimersByTime(2)
    expect(host.partition.now).toBe(20_000)
    vi.advanceTimersByTime(1)
    expect(host.partition.now).toBe(50_000)
  })

  it('is one of many that share one timer', () => {
    const service = new Service({}, () => performance.now())
    const hosts = Array.from({ length: 1000 }, () =>
      service.create({ profile: 'kvm-synic2', clock: 'realtime' }),
    )
    for (const host of hosts) host.applyBatch(ARM)
    vi.advanceTimersByTime(5)
    expect(vi.getTimerCount()).toBe(1)
    expect(new Set(hosts.map((host) => host.partition.now))).toEqual(new Set([50_000]))
    service.close()
    expect(vi.getTimerCount()).toBe(0)
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

/** A partition that is nothing but one timer. */
class TimerOnly {
  readonly clock = 'realtime'
  onSettled: (() => void) | null = null
  readonly servedAtMs: number[] = []
  /** What a service does besides. */
  work = () => {}
  readonly #machine = { paused: false, due: { first: 0 } }
  readonly partition = { machine: this.#machine }

  constructor(
    private dueMs: number,
    private readonly periodMs = Number.POSITIVE_INFINITY,
  ) {
    this.setDue(dueMs)
  }

  setDue(dueMs: number): void {
    this.dueMs = dueMs
    this.#machine.due.first = dueMs * 10_000
    this.onSettled?.()
  }

  msUntilDue(): number {
    return Math.max(0, this.dueMs - performance.now())
  }

  catchUp(): void {
    this.servedAtMs.push(performance.now())
    this.work()
    while (this.dueMs <= performance.now()) this.dueMs += this.periodMs
    this.#machine.due.first = this.dueMs * 10_000
  }

  get host(): PartitionHost {
    return this as unknown as PartitionHost
  }
}

describe('the clock of all realtime partitions', () => {
  const followed = (clock: RealtimeClock, ...all: TimerOnly[]) => {
    for (const one of all) clock.add(one.host)
    return all
  }

  /** Work that takes time: `performance.now` moves, timers do not. */
  const worker = () => {
    const timersMs = performance.now.bind(performance)
    const state = { workedMs: 0 }
    vi.spyOn(performance, 'now').mockImplementation(() => timersMs() + state.workedMs)
    return state
  }

  it('serves in order of due time', () => {
    const order: number[] = []
    const all = followed(new RealtimeClock(), ...[0.9, 0.3, 0.6].map((dueMs) => new TimerOnly(dueMs)))
    all.forEach((one, i) => {
      one.work = () => order.push(i)
    })
    vi.advanceTimersByTime(1)
    expect(order).toEqual([1, 2, 0])
  })

  it('tells how late it served', () => {
    const late: number[] = []
    followed(new RealtimeClock((ms) => late.push(ms)), new TimerOnly(0.25, 1))
    vi.advanceTimersByTime(3)
    expect(late).toEqual([0.75, 0.75, 0.75])
  })

  it.each([
    ['an earlier time', 10, 3],
    ['a later time', 3, 10],
    ['a time beyond what a timer of Node can wait for', 3, 2 ** 31 + 5],
  ])('goes by the last time that was set: %s', (_what, before, after) => {
    const [one] = followed(new RealtimeClock(), new TimerOnly(before))
    one.setDue(after)
    vi.advanceTimersByTime(after - 1)
    expect(one.servedAtMs).toEqual([])
    vi.advanceTimersByTime(1)
    expect(one.servedAtMs).toEqual([after])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('waits once more when its timer fires too early', () => {
    const state = worker()
    const [one] = followed(new RealtimeClock(), new TimerOnly(1))
    state.workedMs = -0.5
    vi.advanceTimersByTime(1)
    expect(one.servedAtMs).toEqual([])
    vi.advanceTimersByTime(1)
    expect(one.servedAtMs).toEqual([1.5])
  })

  it('serves nothing that was removed, also in the same wake', () => {
    const clock = new RealtimeClock()
    const [first, second, third] = followed(clock, ...[0.3, 0.6, 0.9].map((dueMs) => new TimerOnly(dueMs, 1)))
    first.work = () => {
      clock.remove(first.host)
      clock.remove(second.host)
    }
    vi.advanceTimersByTime(5)
    expect([first, second, third].map((one) => one.servedAtMs.length)).toEqual([1, 0, 5])
    clock.remove(third.host)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('leaves half of the time, yields often, and lets all fall behind alike', () => {
    const state = worker()
    const all = followed(new RealtimeClock(), ...Array.from({ length: 50 }, () => new TimerOnly(1, 1)))
    const runs: number[] = []
    for (const one of all) {
      one.work = () => {
        state.workedMs += 0.5
      }
    }
    for (let ms = 0; ms < 500; ms++) {
      const before = state.workedMs
      vi.advanceTimersByTime(1)
      runs.push(state.workedMs - before)
    }
    // Time passes while it works, and while timers wait.
    expect(state.workedMs).toBeLessThanOrEqual(500)
    expect(state.workedMs).toBeGreaterThan(250)
    expect(Math.max(...runs)).toBe(1)
    const served = all.map((one) => one.servedAtMs.length)
    expect(Math.min(...served)).toBeGreaterThanOrEqual(10)
    // The order is that of due times, which agrees with turns to within a period.
    expect(Math.max(...served) - Math.min(...served)).toBeLessThanOrEqual(2)
  })

  it('lets one that never catches up take its turn like the others', () => {
    const [behind, other] = followed(new RealtimeClock(), new TimerOnly(0, 0.1), new TimerOnly(0, 1))
    behind.catchUp = () => behind.servedAtMs.push(performance.now())
    vi.advanceTimersByTime(10)
    expect(behind.servedAtMs.length).toBe(10)
    expect(other.servedAtMs.length).toBe(10)
  })
})
