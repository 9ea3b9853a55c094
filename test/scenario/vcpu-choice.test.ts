/** The vCPUs that a procedure is run on: those named and no other, and those that are there. */
import { describe, expect, it } from 'vitest'
import { checkScenario, parseScenario } from '../../src/scenario/document.js'
import { ScenarioError } from '../../src/scenario/problems.js'
import { runScenario } from '../../src/scenario/run.js'

const HEAD = { scenario: 'own', title: 't', source: 's', partition: { kind: 'l1vh', vcpus: 3 } }

/** vCPUs whose SynIC a driver wrote to. */
function written(steps: readonly object[]): number[] {
  const [{ trace }] = runScenario(checkScenario({ ...HEAD, steps }))
  const writes = trace.filter(({ in: { op, actor } }) => op === 'msr.write' && actor !== undefined)
  return [...new Set(writes.map(({ in: { vcpu } }) => Number(vcpu)))].sort()
}

describe('with vcpus', () => {
  it.each(['vmbus.up', 'mshv.up', 'linux.boot', 'hyperv.init', 'vmbus.init_cpu', 'stimer.one_shot'])(
    '%s is run on those and no other',
    (run) => {
      expect(written([{ run, with: { vcpus: [1] } }])).toEqual([1])
    },
  )

  it.each([
    ['a kernel begins with', [{ run: 'vmbus.up', with: { vcpus: [2, 1] } }, { run: 'mshv.up' }], [1, 2]],
    [
      'the next kernel begins with',
      [{ run: 'hyperv.init' }, { run: 'linux.boot', kernel: 'kdump', with: { vcpus: [2] } }],
      [0, 2],
    ],
    ['a kernel has by itself', [{ run: 'vmbus.up' }, { run: 'mshv.up' }], [0, 1, 2]],
  ])('%s', (_why, steps, vcpus) => expect(written(steps)).toEqual(vcpus))

  it('a vCPU that came later is one of its kernel', () => {
    const steps = [
      { run: 'linux.boot', with: { version: null } },
      'create v3',
      { run: 'linux.online', with: { vcpus: [3] } },
      { run: 'vmbus.cleanup_cpu' },
    ]
    const [{ trace }] = runScenario(checkScenario({ ...HEAD, steps }))
    expect(trace.filter(({ in: { op, vcpu } }) => op === 'msr.write' && vcpu === 3)).not.toEqual([])
    expect(trace.at(-1)?.in.vcpu).toBe(3)
  })
})

const DOCUMENT = `scenario: own
title: t
source: s
partition: { kind: l1vh, vcpus: 2 }
steps:
`

/** Line, field and words of the first problem. */
function toldOf(steps: readonly string[]): readonly [number, string, string] | undefined {
  try {
    parseScenario(DOCUMENT + steps.map((step) => `  - ${step}\n`).join(''))
    return undefined
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error
    const [{ line, path, message }] = error.problems
    return [line, path, message]
  }
}

describe('what is told before anything is run:', () => {
  it.each([
    [
      '{ run: vmbus.init_cpu, with: { vcpus: [2] } }',
      'steps/1/with/vcpus',
      /^there is no vCPU 2: .*has vCPUs 0, 1/,
    ],
    ['{ run: vmbus.up, with: { vcpus: [7] } }', 'steps/1/with/vcpus', /^there is no vCPU 7/],
    ['{ run: crash_kernel.poll, with: { polled: [5] } }', 'steps/1/with/polled', /^there is no vCPU 5/],
    ['{ op: apic.ack, vcpu: 2 }', 'steps/1/vcpu', /^there is no vCPU 2/],
    ['take v2', 'steps/1', /^there is no vCPU 2/],
    ['{ run: ipxe.attach, with: { vcpus: [0, 1] } }', 'steps/1/with/vcpus', /^ipxe.attach acts on one vCPU/],
    [
      '{ run: linux.kexec, with: { vcpus: [0] } }',
      'steps/1/with/vcpus',
      /^linux.kexec has no choice of vCPUs/,
    ],
    [
      '{ run: mshv.up, with: { vcpus: [1] } }',
      'steps/1/with/vcpus',
      /linux has begun with vCPUs 0, 1: leave vcpus out/,
    ],
  ])('%s', (step, path, message) => {
    const told = toldOf(['{ run: vmbus.up }', step])
    expect(told).toEqual([7, path, expect.stringMatching(message)])
  })

  it('a vCPU that comes too late', () => {
    expect(toldOf(['take v2', 'create v2'])?.slice(0, 2)).toEqual([6, 'steps/0'])
    expect(toldOf(['create v2', 'take v2', '{ run: vmbus.up, with: { vcpus: [2] } }'])).toBeUndefined()
  })

  it('one that went with a snapshot', () => {
    expect(toldOf(['snap a', 'create v2', 'restore a', 'take v2'])?.[1]).toBe('steps/3')
  })

  it('a procedure where there is none at all', () => {
    const none = { ...HEAD, partition: { vcpus: 0 }, steps: [{ run: 'vmbus.up' }] }
    expect(() => checkScenario(none)).toThrow('steps/0: the partition has no vCPU here: create one first')
  })
})

it('a vCPU that turns out not to be there ends the run', () => {
  // More than this machine can have: what comes of it is not known before.
  const steps = ['create v2000', { run: 'vmbus.up', with: { vcpus: [2000] } }]
  const run = () => runScenario(checkScenario({ ...HEAD, steps }))
  expect(run).toThrow(/^steps\/1: there is no vCPU 2000/)
})
