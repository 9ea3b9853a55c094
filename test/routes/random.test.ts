/** Random ops: over REST as in process, and every state they reach can be saved and restored over REST. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type TestApp, testApp } from '../support/app.js'
import { type MachineSetup, machine, type WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

/** What an auditor says is no outcome of the machine: it goes by what it has seen. */
function bare(results: unknown): unknown {
  return (results as Record<string, unknown>[]).map(({ violations: _said, ...result }) => result)
}

const RUNS = 60
const OPS_MAX = 60

function bodyOf({ profile, kind, vcpus, gpaPages, options }: MachineSetup): Record<string, unknown> {
  const gpa_limit = `0x${((gpaPages ?? 0x10_0000) * 4096).toString(16)}`
  return { profile, kind, vcpus, gpa_limit, options }
}

/** The ops on a partition of its own; handed to `check` with the results, then deleted. */
async function withPartition(
  test: TestApp,
  setup: MachineSetup,
  ops: readonly WireInput[],
  check: (path: string, results: unknown) => Promise<void>,
): Promise<void> {
  const path = await test.create(bodyOf(setup))
  const results = await test.ops(path, ...ops)
  await check(path, results)
  await test.delete(path)
}

describe('random ops', async () => {
  const test = await testApp()

  it('give the same results over REST as in process', async () => {
    await holds(
      fc.asyncProperty(randomSetup, randomOps(OPS_MAX), async (setup, ops) => {
        const local = machine(setup)
        const expected = ops.map((op) => local.do(op))
        await withPartition(test, setup, ops, async (_path, results) => {
          expect(bare(results)).toEqual(bare(expected))
        })
      }),
      RUNS,
    )
  })

  it('lead to states that are saved, restored, forked and saved again, and go on alike', async () => {
    await holds(
      fc.asyncProperty(randomSetup, randomOps(OPS_MAX), randomOps(20), async (setup, ops, more) => {
        await withPartition(test, setup, ops, async (path) => {
          const snapshot = await test.snapshot(path)
          const copy = await test.create({ snapshot })
          expect(await test.snapshot(copy)).toEqual(snapshot)
          const fork = (await test.post(`${path}/fork`)).headers.location
          expect(await test.snapshot(fork)).toEqual(snapshot)
          const results = bare(await test.ops(path, ...more))
          expect(bare(await test.ops(copy, ...more))).toEqual(results)
          expect(bare(await test.ops(fork, ...more))).toEqual(results)
          expect(await test.snapshot(copy)).toEqual(await test.snapshot(path))
          for (const made of [copy, fork]) await test.delete(made)
        })
      }),
      RUNS,
    )
  })

  it('come back from the log as they went in', async () => {
    await holds(
      fc.asyncProperty(randomSetup, randomOps(OPS_MAX), async (setup, ops) => {
        await withPartition(test, setup, ops, async (path, results) => {
          const log = (await test.get(`${path}/log`)).text
          const [header, ...lines] = log
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line))
          expect(header.base_seq).toBe(0)
          expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1))
          expect(lines.slice(setup.vcpus).map(({ out }) => out)).toEqual(results)
          const again = await test.create({ ...bodyOf(setup), vcpus: 0 })
          const replayed = await test.ops(again, ...lines.map((line) => line.in))
          expect(replayed).toEqual(lines.map((line) => line.out))
          await test.delete(again)
        })
      }),
      RUNS,
    )
  })
})
