/**
 * A scenario as a document: a partition, what happens in it step by step, and what the auditor must say. The
 * same YAML in the library, from a user's file and in a request. docs/scenarios.md explains each field.
 */
import { type Document, LineCounter, parseDocument, visit } from 'yaml'
import type { z } from 'zod'
import { Op } from '../api/op.js'
import { fieldProblems } from '../api/problem.js'
import { ScenarioDocument } from '../api/scenario.js'
import { checkDocument, type PlacedProblem } from './check.js'
import { PROBLEMS_MAX } from './limits.js'
import { ScenarioError, type ScenarioProblem } from './problems.js'

type LineOf = (path: string) => number
const NO_LINES: LineOf = () => 0

/**
 * Reads a YAML (or JSON) text.
 * @throws ScenarioError naming line and field
 */
export function parseScenario(text: string): ScenarioDocument {
  const { value, lineOf, cut } = parseYaml(text)
  if (cut.length > 0) throw new ScenarioError(cut)
  return checkScenario(value, lineOf)
}

/** The line of each problem in a document's text, where it has none yet; what is asked of it has none. */
export function withLines(text: string, { problems }: ScenarioError): ScenarioError {
  const { lineOf } = parseYaml(text)
  return new ScenarioError(
    problems.map((each) =>
      each.line === 0 && each.path !== '' ? { ...each, line: lineOf(each.path) } : each,
    ),
  )
}

/** `cut`: steps that end sooner than they seem to. */
function parseYaml(text: string): { value: unknown; lineOf: LineOf; cut: ScenarioProblem[] } {
  const lines = new LineCounter()
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [syntax] = yaml.errors
  if (syntax !== undefined) {
    const { line } = lines.linePos(syntax.pos[0])
    throw new ScenarioError([{ path: '', line, message: syntax.message }])
  }
  // A field that is not there is told at the line of what it should be in.
  const lineOf = (path: string): number => {
    const parts = path === '' ? [] : path.split('/')
    for (let length = parts.length; length >= 0; length--) {
      const node: unknown = yaml.getIn(parts.slice(0, length), true)
      const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined
      if (Array.isArray(range)) return lines.linePos(range[0] as number).line
    }
    return 0
  }
  return { value: toPlain(() => yaml.toJS()), lineOf, cut: cutLines(yaml, lines) }
}

/** To YAML the tag of a message begins a comment, and what the step must give is in it. */
function cutLines(yaml: Document, lines: LineCounter): ScenarioProblem[] {
  const cut: ScenarioProblem[] = []
  visit(yaml, {
    Scalar: (_key, { value, comment, type, range }) => {
      if (type !== 'PLAIN' || typeof value !== 'string' || !/^\S/.test(comment ?? '') || !range) return
      const { line } = lines.linePos(range[0])
      const rest = `#${comment}`
      const message = `"${rest}" is a comment to YAML; put the whole step in quotes: '${value} ${rest}'`
      cut.push({ path: '', line, message })
    },
  })
  return cut
}

/** Aliases that would grow without end are refused by the parser. */
function toPlain(make: () => unknown): unknown {
  try {
    return make()
  } catch (error) {
    throw new ScenarioError([{ path: '', line: 0, message: (error as Error).message }])
  }
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

/** Of a step that is an op, zod says only that it is no step: what is wrong with the op is said instead. */
function shapeProblems(error: z.ZodError, value: unknown): PlacedProblem[] {
  const issues = error.issues.flatMap((issue) => {
    const step = issue.path.reduce<unknown>(
      (node, key) => (node as Record<PropertyKey, unknown>)?.[key],
      value,
    )
    const isOp = issue.path.at(-2) === 'steps' && typeof step === 'object' && step !== null && 'op' in step
    const inside = isOp ? Op.safeParse(step).error : undefined
    return inside?.issues.map((each) => ({ ...each, path: [...issue.path, ...each.path] })) ?? [issue]
  })
  return fieldProblems(issues).map(({ path, message }) => ({ path, message: shortened(message) }))
}

/** Every op there is, in one line, helps nobody. */
function shortened(message: string): string {
  return message
    .replace(/^must be valid: Invalid discriminator value.*/s, 'must be the name of an op')
    .replace(/^must be absent$/, 'must be absent: there is no such field')
}
