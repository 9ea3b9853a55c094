/** Every conformance row, in the order of docs/profiles.md. */
import { eventRows } from './events.js'
import { hypercallRows } from './hypercalls.js'
import { interruptRows } from './interrupts.js'
import { messageRows } from './messages.js'
import { pageRows } from './pages.js'
import { presenceRows } from './presence.js'
import { routingRows } from './routing.js'
import type { Row } from './row.js'
import { sintRows } from './sints.js'
import { timerRows } from './timers.js'

export const allRows: readonly Row[] = [
  ...presenceRows,
  ...pageRows,
  ...sintRows,
  ...interruptRows,
  ...messageRows,
  ...eventRows,
  ...hypercallRows,
  ...timerRows,
  ...routingRows,
]

/** Each case once for every profile it speaks of, under the name its test has. */
export const allCases = allRows.flatMap(({ row, cases }) =>
  cases.flatMap(({ columns, why, steps, setup, afterwards }) =>
    columns.map((column) => ({
      name: `row ${row} · ${column}: ${why}`,
      setup: { profile: column, ...setup },
      steps,
      afterwards,
    })),
  ),
)
