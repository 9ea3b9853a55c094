/** What a run finds, `synicd audit` finds in its trace: the verdict is about the ops, whoever watches. */
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { RULES } from '../../src/audit/rules.js'
import { parseActors } from '../../src/replay/actors.js'
import { auditFile } from '../../src/replay/audit.js'
import { scenarioLibrary } from '../../src/scenario/library.js'
import { runScenario, type ScenarioRun } from '../../src/scenario/run.js'
import { traceText } from '../../src/scenario/trace.js'

/** What `synicd audit` is asked of a trace: the rest compares whole states. */
const ASKED = new Set(RULES.filter(({ deep }) => deep !== true).map(({ rule }) => rule))
const runs = [...scenarioLibrary().values()].flatMap((document) => runScenario(document))
const nameOf = ({ report }: ScenarioRun) => `${report.scenario}/${report.variant}`

/** Of a run that went back to a snapshot the trace has what led to the end, and its auditor began anew. */
const wentBack = ({ report, trace }: ScenarioRun) => trace.length !== report.ops

const keyOf = (v: { seq?: number | undefined; severity: string; rule: string; text: string }) =>
  `${v.seq} ${v.severity} ${v.rule}: ${v.text}`

describe('the audit of the trace that was recorded finds what the run found', () => {
  it.each(runs.filter((run) => !wentBack(run)).map((run) => [nameOf(run), run] as const))(
    '%s',
    async (_name, run) => {
      const stdin = Readable.from([Buffer.from(traceText(run))])
      const actors = parseActors([])
      const { findings } = await auditFile('-', { stdin, actors, claims: [], settled: true })
      // What a step in the middle asked for, the audit of a whole trace does not judge.
      const found = run.report.violations.filter(({ rule, op }) => ASKED.has(rule) && op !== 'settle')
      expect(findings.map(keyOf)).toEqual(found.map(keyOf))
    },
  )

  it('in nearly all of the library', () => {
    expect(runs.filter(wentBack).length).toBeLessThan(runs.length / 10)
  })
})
