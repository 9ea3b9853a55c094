/**
 * A scenario as a document: a partition, what happens in it step by step, and what the auditor must say. The
 * same YAML in the library, from a user's file and in a request. docs/scenarios.md explains each field.
 */
import { ScenarioDocument } from '../api/scenario.js'
import { checkDocument } from './check.js'
import { PROBLEMS_MAX } from './limits.js'
import { ScenarioError } from './problems.js'
import { shapeProblems } from './shape.js'
import { readYaml } from './yaml-text.js'

type LineOf = (path: string) => number
const NO_LINES: LineOf = () => 0

/**
 * Reads a YAML (or JSON) text.
 * @throws ScenarioError naming line and field
 */
export function parseScenario(text: string): ScenarioDocument {
  const { value, lineOf } = readYaml(text)
  return checkScenario(value, lineOf)
}

/** The line of each problem in a document's text, where it has none yet; what is asked of it has none. */
export function withLines(text: string, { problems }: ScenarioError): ScenarioError {
  const { lineOf } = readYaml(text)
  return new ScenarioError(
    problems.map((each) =>
      each.line === 0 && each.path !== '' ? { ...each, line: lineOf(each.path) } : each,
    ),
  )
}

/**
 * The same for a document that came as JSON.
 * @throws ScenarioError naming the field
 */
export function checkScenario(value: unknown, lineOf: LineOf = NO_LINES): ScenarioDocument {
  const { data, error } = ScenarioDocument.safeParse(value)
  const problems = error === undefined ? checkDocument(data) : shapeProblems(error, value)
  if (data !== undefined && problems.length === 0) return data
  throw new ScenarioError(
    problems.slice(0, PROBLEMS_MAX).map((each) => ({ ...each, line: lineOf(each.path) })),
  )
}
