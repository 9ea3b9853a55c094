/** KVM's golden traces over REST: the same results as from the core, in batches. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { testApp } from '../support/app.js'

const FOLDER = join(import.meta.dirname, '../conformance/kvm')
const files = [...readdirSync(FOLDER), ...readdirSync(join(FOLDER, 'ext')).map((name) => join('ext', name))]
const traces = files.filter((name) => name.endsWith('.jsonl'))
const BATCH = 100

/** A missing field equals null or an empty list. */
function meaningful(result: Record<string, unknown>): Record<string, unknown> {
  const isNothing = (value: unknown) => value === null || (Array.isArray(value) && value.length === 0)
  return Object.fromEntries(Object.entries(result).filter(([, value]) => !isNothing(value)))
}

describe('golden traces of KVM over REST', async () => {
  const test = await testApp()

  it('are all here', () => expect(traces.length).toBe(169))

  it.each(traces)('%s', async (name) => {
    const [header, ...lines] = readFileSync(join(FOLDER, name), 'utf8').trim().split('\n')
    const { profile, gpa_limit } = JSON.parse(header)
    const partition = await test.create({ profile, vcpus: 0, gpa_limit })
    const steps = lines.map((line) => JSON.parse(line))
    for (let at = 0; at < steps.length; at += BATCH) {
      const part = steps.slice(at, at + BATCH)
      const results = await test.ops(partition, ...part.map((step) => step.in))
      expect(results).toEqual(part.map((step) => meaningful(step.out)))
    }
    await test.delete(partition)
  })
})
