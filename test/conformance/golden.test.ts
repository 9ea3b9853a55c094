/** KVM's own code as the judge: every golden trace, op by op, every field. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { machine } from '../support/machine.js'

const FOLDER = join(import.meta.dirname, 'kvm')
const files = [...readdirSync(FOLDER), ...readdirSync(join(FOLDER, 'ext')).map((name) => join('ext', name))]
const traces = files.filter((name) => name.endsWith('.jsonl'))

/** A missing field equals null or an empty list. */
function meaningful(result: Record<string, unknown>): Record<string, unknown> {
  const isNothing = (value: unknown) => value === null || (Array.isArray(value) && value.length === 0)
  return Object.fromEntries(Object.entries(result).filter(([, value]) => !isNothing(value)))
}

describe('golden traces of KVM', () => {
  it('are all here', () => expect(traces.length).toBe(169))

  it.each(traces)('%s', (name) => {
    const [header, ...lines] = readFileSync(join(FOLDER, name), 'utf8').trim().split('\n')
    const { profile, gpa_limit } = JSON.parse(header)
    const m = machine({ profile, vcpus: 0, gpaPages: Number(BigInt(gpa_limit) >> 12n) })
    lines.forEach((line, i) => {
      const { in: op, out } = JSON.parse(line)
      expect({ line: i + 2, op, out: m.do(op) }).toEqual({ line: i + 2, op, out: meaningful(out) })
    })
  })
})
