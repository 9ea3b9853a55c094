/** What a document of the wrong shape is told: field by field, with what was meant or where it belongs. */
import { z } from 'zod'
import { didYouMean, registerHint } from '../api/did-you-mean.js'
import { OP_SCHEMAS, Op } from '../api/op.js'
import { fieldProblems, unknownFirst } from '../api/problem.js'
import { ScenarioDocument } from '../api/scenario.js'
import { OP_NAMES, type OpName } from '../synic/op.js'
import type { PlacedProblem } from './check.js'
import { paramsTaken } from './procedure-params.js'
import { procedureOf } from './procedures.js'

type Issue = z.core.$ZodIssue
type Fields = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((node, key) => (node as Record<PropertyKey, unknown> | null)?.[key], value)
}

/** Problems of what is no document. */
export function shapeProblems(error: z.ZodError, value: unknown): PlacedProblem[] {
  const issues = error.issues.flatMap((issue) => narrowed(issue, value))
  return unknownFirst(issues).flatMap((issue) => problemsOf(issue, value))
}

/** Of a choice between forms zod says that it is none of them: what is wrong with the form that was meant. */
function narrowed(issue: Issue, value: unknown): Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const found = valueAt(value, issue.path)
  if (!isObject(found) || isNoStep(issue, found)) return [issue]
  const inside = 'op' in found ? Op.safeParse(found).error?.issues : issue.errors.find(isInside)
  if (inside === undefined || inside.length === 0) return [issue]
  return inside.flatMap((each) => narrowed({ ...each, path: [...issue.path, ...each.path] }, value))
}

/** Issues of an object's fields, not of its being one. */
const isInside = (issues: readonly Issue[]) =>
  issues.every(({ code, path }) => path.length > 0 || code === 'unrecognized_keys')

function problemsOf(issue: Issue, value: unknown): PlacedProblem[] {
  const path = issue.path.join('/')
  const found = valueAt(value, issue.path)
  if (issue.code === 'unrecognized_keys') {
    const inside = path === '' ? '' : `${path}/`
    return issue.keys.map((key) => ({ path: inside + key, message: strangeField(key, issue.path, found) }))
  }
  const [{ message: rule }] = fieldProblems([issue])
  const word = typeof found === 'string' ? found : ''
  if (path === '' && !isObject(value)) return [{ path, message: NO_DOCUMENT }]
  if (isNoStep(issue, found)) return [{ path, message: NO_STEP }]
  if (path.endsWith('/op'))
    return [{ path, message: `must be the name of an op${didYouMean(word, OP_NAMES)}` }]
  if (path.endsWith('/msr')) return [{ path, message: `${rule}${registerHint(word)}` }]
  if (issue.code === 'invalid_value') {
    return [{ path, message: `${rule}${didYouMean(word, issue.values.map(String))}` }]
  }
  return [{ path, message: found === undefined && path !== '' ? `is missing: ${rule}` : rule }]
}

/** An object in the place of a step that is neither a procedure nor an op. */
const isNoStep = ({ path }: Issue, found: unknown): found is Fields =>
  path.at(-2) === 'steps' && isObject(found) && !('run' in found) && !('op' in found)

const NO_STEP =
  'has neither run nor op: a step is a line, { run: PROCEDURE } or { op: OP }; a line with ": " needs quotes'
const NO_DOCUMENT =
  'must be an object with scenario, title, source and steps; `synicd scenario show kexec-l1vh` prints one'

/** Fields that are easily written one level too high. */
const BELONGS: Readonly<Record<string, readonly string[]>> = {
  partition: ['kind', 'profile', 'vcpus', 'gpa_limit', 'options'],
  expect: ['violations', 'faults', 'refused', 'registers', 'clean'],
}

function strangeField(key: string, path: readonly PropertyKey[], found: unknown): string {
  const { run } = (found ?? {}) as Fields
  const procedure = typeof run === 'string' ? procedureOf(run) : undefined
  if (procedure !== undefined && (key === 'vcpus' || paramsTaken(String(run), procedure).includes(key))) {
    const value = (found as Fields)[key]
    const given = JSON.stringify(key === 'vcpus' && !Array.isArray(value) ? [value] : value)
    return `must be absent here: it is a parameter; write { run: ${run}, with: { ${key}: ${given} } }`
  }
  const isTop = path.length === 0 || path.at(-2) === 'variants'
  const [home] = Object.entries(BELONGS).find(([, keys]) => isTop && keys.includes(key)) ?? []
  if (home !== undefined) return `must be absent here: it belongs into ${home}`
  const known = fieldsOf(ScenarioDocument, path, found)
  const has = known.length === 0 ? '' : `; there are ${known.join(', ')}`
  return `must be absent: there is no such field${didYouMean(key, known) || has}`
}

/** The fields of the object at a path. */
function fieldsOf(schema: unknown, [key, ...rest]: readonly PropertyKey[], found: unknown): string[] {
  if (schema instanceof z.ZodOptional)
    return fieldsOf(schema.unwrap(), key === undefined ? [] : [key, ...rest], found)
  if (schema instanceof z.ZodUnion) {
    const path = key === undefined ? [] : [key, ...rest]
    const forms = schema.options.map((each) => fieldsOf(each, path, found)).filter((each) => each.length > 0)
    const op = isObject(found) ? found.op : undefined
    if (typeof op === 'string' && Object.hasOwn(OP_SCHEMAS, op))
      return Object.keys(OP_SCHEMAS[op as OpName].shape)
    return forms.find((fields) => fields.includes('op') === (op !== undefined)) ?? []
  }
  if (schema instanceof z.ZodObject)
    return key === undefined ? Object.keys(schema.shape) : fieldsOf(schema.shape[String(key)], rest, found)
  if (schema instanceof z.ZodArray) return fieldsOf(schema.element, rest, found)
  if (schema instanceof z.ZodRecord) return fieldsOf(schema.valueType, rest, found)
  return []
}
