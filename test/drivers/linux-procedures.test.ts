// The Linux procedures by name: what a scenario file can ask for.
import { describe, expect, it } from 'vitest'
import { type Params, PROCEDURES } from '../../src/drivers/procedures.js'
import { drive, kernelOf, pair, registers, writes } from '../support/drivers.js'

const run = (setup: ReturnType<typeof pair>, name: string, params: Params) =>
  drive(setup.test, PROCEDURES[name](setup.kernel, params))

const ONE: Params = { vcpus: [0] }

describe('procedures', () => {
  it.each(Object.keys(PROCEDURES))('%s says what it does in one line, and ends', (name) => {
    const { says } = PROCEDURES[name]
    expect(says).toMatch(/^[A-Z].{10,90}$/)
    const setup = pair({ kind: 'l1vh' })
    run(setup, name, { ...ONE, rounds: 1 })
  })

  it('boot, lose a CPU, get it back, restart, boot again', () => {
    const setup = pair({ kind: 'l1vh', vcpus: [0, 1] }, { disabled_write: 'fault' })
    const vcpus = [0, 1]
    expect(run(setup, 'linux.boot', { vcpus, version: 'v4' }).value).toBe(0)
    expect(run(setup, 'linux.offline', { vcpus: [1] }).value).toBe(0)
    expect(run(setup, 'linux.online', { vcpus: [1] }).value).toBe(0)
    expect(run(setup, 'linux.kexec', { vcpus, next: 'second' }).value).toBe(0)
    expect(setup.test.partition.machine.kernel).toBe('second')
    const second = { test: setup.test, kernel: setup.kernel.successor() }
    expect(run(second, 'linux.boot', { vcpus, version: 'v4' }).value).toBe(0)
    expect(registers(setup.test, 'SINT2 SINT5 SCONTROL', 1)).toBe('SINT2=0xf3 SINT5=0x800f3 SCONTROL=0x1')
  })

  it('take their parameters from plain data', () => {
    const setup = pair({ kind: 'root' })
    expect(run(setup, 'mshv.init_cpu', { ...ONE, version: 'v2', fails_at: 2 }).value).toBe(-14)
    const guest = pair()
    const boot = run(guest, 'linux.boot', { ...ONE, version: null })
    expect(writes(boot.records).filter((text) => text.startsWith('mshv'))).toEqual([])
    run(guest, 'stimer.arm', { ...ONE, ticks: 77 })
    expect(registers(guest.test, 'STIMER0_COUNT')).toBe('STIMER0_COUNT=0x4d')
    const faults = { skip_release: 'vmbus', notifier: 'root-only', next: 'x' }
    const kexec = run(guest, 'linux.kexec', { ...ONE, ...faults })
    expect(writes(kexec.records).filter((text) => text.startsWith('vmbus'))).toEqual([])
  })

  it.each([
    ['the version that is loaded', { version: 'pre-series' }, 6],
    ['the merged one where none is', null, 3],
  ])('leave a CPU as %s', (_why, loaded, count) => {
    const setup = pair({ kind: 'l1vh' })
    run(setup, 'vmbus.up', ONE)
    if (loaded !== null) run(setup, 'mshv.up', { ...ONE, ...loaded })
    // SCONTROL, SIMP and SIEFP go along with the old driver alone.
    expect(writes(run(setup, 'mshv.exit_cpu', ONE).records)).toHaveLength(count)
  })

  it('stop at the first CPU that fails', () => {
    const setup = pair({ kind: 'root', vcpus: [0, 1] })
    const { value, records } = run(setup, 'mshv.init_cpu', { vcpus: [0, 1], fails_at: 1 })
    expect([value, records.every(({ step }) => step.vcpu === 0)]).toEqual([-14, true])
  })
})

it("a kernel's successor takes pages behind it", () => {
  const kernel = kernelOf({ firstGpn: 5 })
  kernel.page('a page', 0)
  expect(kernel.successor().page('a page', 0)).toBe(6)
})
