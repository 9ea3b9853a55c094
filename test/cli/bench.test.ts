/** `synicd bench`: that it measures what it says, not how fast that is. */
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import type { BenchReport } from '../../src/bench/report.js'
import { benchCommand } from '../../src/cli/commands/bench.js'
import { MAIN } from '../support/built.js'
import { runCommand } from '../support/command.js'

const synicd = (...args: string[]) => runCommand([benchCommand], ['bench', ...args])

describe('synicd bench', () => {
  it('prints a line a cycle, in a process of its own', () => {
    const args = [MAIN, 'bench', '--profile', 'tlfs', '--seconds', '0.2']
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 60_000,
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/, \d+ cores?, Node v\d+/)
    expect(stdout).toMatch(/^tlfs +ns +slowest +M ops\/s +audited +ratio$/m)
    expect(stdout).toMatch(/^ {2}SINT write +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+$/m)
    // GSIs are KVM's.
    expect(stdout).not.toContain('GSI cycle')
  })

  it('gives every cycle as JSON, each with its spread', async () => {
    const { status, out } = await synicd('--profile', 'qemu', '--seconds', '0.1', '--json', '--in-process')
    expect(status).toBe(0)
    const { vcpus, unit, results } = JSON.parse(out) as BenchReport
    expect([vcpus, unit, results.map(({ profile }) => profile)]).toEqual([64, 'ns', ['qemu']])
    expect(results[0]?.cycles.map(({ what, ops }) => [what, ops])).toEqual([
      ['SINT write', 1],
      ['SINT write pair that changes the vector', 2],
      ['message cycle (post, take, complete, EOI)', 4],
      ['GSI cycle (edge, take, EOI, resample)', 3],
      ['timer expiry cycle (direct)', 3],
      ['timer expiry cycle (message)', 4],
    ])
    for (const { bare, audited } of results[0]?.cycles ?? []) {
      for (const { min, median, max } of [bare, audited]) {
        expect(min > 0 && min <= median && median <= max).toBe(true)
      }
    }
  })

  it.each([
    [['--profile', 'xen'], /Allowed choices are/],
    [['--seconds', '0'], /give a number of seconds, more than 0 and at most 3600/],
    [['--seconds', 'soon'], /give a number of seconds/],
  ])('refuses %j with status 2', async (args, message) => {
    const { status, err } = await synicd(...args)
    expect([status, err]).toEqual([2, expect.stringMatching(message)])
  })
})
