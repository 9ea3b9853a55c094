/** Every known difference between the machines: one script a row and profile, the row's number in its name. */
import { describe, expect, it } from 'vitest'
import { run } from '../support/script.js'
import { presenceRows } from './rows/presence.js'

const rows = [...presenceRows]

const cases = rows.flatMap(({ row, cases }) =>
  cases.flatMap(({ columns, why, steps, setup }) =>
    columns.map(
      (column) => [`row ${row} · ${column}: ${why}`, { profile: column, ...setup }, steps] as const,
    ),
  ),
)

describe('profiles', () => {
  it.each(cases)('%s', (_name, setup, steps) => {
    run(setup, steps)
    expect(steps.length).toBeGreaterThan(0)
  })
})
