/** The error catalogue: every problem document the service sends, by code (RFC 9457; docs/problems.md). */
import { z } from 'zod'
import { didYouMean } from './did-you-mean.js'
import { choiceOf, patternRule, schemaAt, wordsOf } from './schema-words.js'

interface CatalogueEntry {
  readonly status: number
  readonly title: string
}

/** Code to status and title. `routes/problems.ts` shows that every engine code stands here. */
export const PROBLEMS = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  'malformed-json': { status: 400, title: 'The body is not JSON' },
  'invalid-op': { status: 400, title: 'An op is not valid' },
  'too-many-ops': { status: 400, title: 'Too many ops in one batch' },
  'reply-too-large': { status: 400, title: 'The answer would be too large' },
  'invalid-config': { status: 400, title: 'The partition cannot be configured so' },
  'invalid-snapshot': { status: 400, title: 'The snapshot is not valid' },
  'invalid-scenario': { status: 400, title: 'The scenario is not valid' },
  'invalid-cursor': { status: 400, title: 'The cursor is not one of this list' },
  'gpa-out-of-range': { status: 400, title: 'There is no guest memory at this address' },
  'foreign-origin': { status: 403, title: 'A page of another origin may not' },
  'not-found': { status: 404, title: 'No such resource' },
  'partition-not-found': { status: 404, title: 'No such partition' },
  'vcpu-not-found': { status: 404, title: 'No such vCPU' },
  'op-not-found': { status: 404, title: 'No such op yet' },
  'scenario-not-found': { status: 404, title: 'No such scenario' },
  'run-not-found': { status: 404, title: 'No such run' },
  'msr-not-found': { status: 404, title: 'No such MSR' },
  'method-not-allowed': { status: 405, title: 'The resource does not have this method' },
  'partition-exists': { status: 409, title: 'The partition id is in use' },
  'limit-partitions': { status: 409, title: 'The server hosts as many partitions as it may' },
  'limit-vcpus': { status: 409, title: 'The server hosts as many vCPUs as it may' },
  'limit-runs': { status: 409, title: 'As many runs are under way as may' },
  'limit-memory': { status: 409, title: 'The partition has touched as many pages as it may' },
  'snapshot-too-large': { status: 409, title: 'The state is too large for one document' },
  'page-disabled': { status: 409, title: 'The SynIC page is disabled' },
  'realtime-clock': { status: 409, title: 'A realtime clock cannot be advanced' },
  'log-truncated': { status: 410, title: 'The log no longer holds this op' },
  'revision-mismatch': { status: 412, title: 'The resource changed since it was read' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The body has the wrong content type' },
  'unknown-host': { status: 421, title: 'The server is not known by this name' },
  'idempotency-conflict': { status: 422, title: 'The idempotency key was used with another body' },
  'upgrade-required': { status: 426, title: 'The resource is a WebSocket' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'internal-error': { status: 500, title: 'The server failed' },
  'too-busy': { status: 503, title: 'The server is too busy' },
  'not-ready': { status: 503, title: 'The server is not ready' },
} as const satisfies Record<string, CatalogueEntry>

export type ProblemCode = keyof typeof PROBLEMS

/** A stable URI reference; docs/problems.md has a section for each. */
export const problemType = (code: ProblemCode): string => `/problems/${code}`

export const FieldProblem = z
  .object({
    path: z.string().meta({ description: 'Where, as in `ops/3/vcpu`; empty for the body itself.' }),
    message: z.string().meta({ description: 'The rule it breaks.' }),
    line: z.int().min(1).optional().meta({ description: 'Of a text, from 1.' }),
  })
  .meta({ id: 'FieldProblem' })
export type FieldProblem = z.infer<typeof FieldProblem>

export const Problem = z
  .object({
    type: z.string().meta({ format: 'uri-reference', examples: ['/problems/partition-not-found'] }),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: 'What happened this time, for people.' }),
    instance: z.string().meta({ format: 'uri-reference', description: 'The path that was asked for.' }),
    request_id: z.string(),
    errors: z.array(FieldProblem).optional(),
  })
  .meta({ id: 'Problem', description: 'What went wrong (RFC 9457). A request that fails changes nothing.' })
export type Problem = z.infer<typeof Problem>

/** Input that breaks a rule of the wire; becomes the problem `code`. */
export class InputError extends Error {
  constructor(
    readonly errors: readonly FieldProblem[],
    readonly code: ProblemCode = 'invalid-request',
    detail = errors.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; '),
  ) {
    super(detail)
  }
}

/** Else every byte that is none would become the same character, and nobody would notice. */
export const UTF8_RULE = 'must be UTF-8: the body has bytes that are none'

/** What was parsed, and as what: then a problem can say what was meant. */
interface Parsed {
  readonly schema: z.ZodType
  readonly value: unknown
}

/** What zod found, as field problems: paths with slashes, one line for every unknown field. */
export function fieldProblems(issues: readonly z.core.$ZodIssue[], parsed?: Parsed): FieldProblem[] {
  return unknownFirst(issues)
    .slice(0, FIELD_PROBLEMS_MAX)
    .flatMap((issue) => {
      const path = issue.path.map(String).join('/')
      const schema = parsed && schemaAt(parsed.schema, issue.path)
      if (issue.code === 'unrecognized_keys') {
        const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
        return issue.keys.slice(0, FIELD_PROBLEMS_MAX).map((key) => ({
          path: path === '' ? key : `${path}/${key}`,
          message: `must be absent${didYouMean(key, known)}`,
        }))
      }
      return [{ path, message: `must ${ruleOf(issue, schema)}${hintOf(issue, parsed?.value)}` }]
    })
}

/** A misspelt field explains the one that is missing, so it is told before it. */
export function unknownFirst(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  const order = ({ code }: z.core.$ZodIssue) => (code === 'unrecognized_keys' ? 0 : 1)
  return issues.toSorted((one, other) => order(one) - order(other))
}

/** Which of the allowed words was meant. */
function hintOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code !== 'invalid_value') return ''
  const found = issue.path.reduce<unknown>((node, key) => Object(node)[key], value)
  return typeof found === 'string' ? didYouMean(found, issue.values.map(String)) : ''
}

/** What zod calls kinds of values, as people do. */
const KIND_NAMES: Readonly<Record<string, string>> = {
  int: 'an integer',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
}

/**
 * The rule an issue is about, and no text of zod's. Our own schemas' rules read "an integer from 0 to 15";
 * zod's messages are sentences. Of a number the whole rule is said, whichever part of it is broken.
 */
function ruleOf(issue: z.core.$ZodIssue, schema?: z.ZodType): string {
  if (/^[a-z\d]/.test(issue.message)) return `be ${issue.message}`
  if (schema instanceof z.ZodNumber && issue.code !== 'custom') return `be ${wordsOf(schema)}`
  switch (issue.code) {
    case 'invalid_type':
      return `be ${KIND_NAMES[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `be ${choiceOf(issue.values)}`
    case 'too_big':
      return `${measureOf(issue.origin)} at most ${issue.maximum}${unitOf(issue.origin, issue.maximum)}`
    case 'too_small':
      return `${measureOf(issue.origin)} at least ${issue.minimum}${unitOf(issue.origin, issue.minimum)}`
    case 'invalid_format':
      return `be ${issue.pattern === undefined ? `a valid ${issue.format}` : patternRule(issue.pattern)}`
    case 'invalid_union':
      return `be ${wordsOf(schema) ?? FORMS}`
    case 'invalid_key':
      // The path ends in the name itself.
      return `have a name that is ${ruleOf(issue.issues[0]).replace(/^be /, '')}`
    default:
      return `be ${FORMS}`
  }
}

/** Where nothing more can be said in a line. */
const FORMS = 'of one of the forms in openapi.yaml'

const measureOf = (origin: string) => (origin === 'string' || origin === 'array' ? 'have' : 'be')
const UNITS: Readonly<Record<string, string>> = { string: ' character', array: ' item' }
function unitOf(origin: string, count: number | bigint): string {
  const unit = UNITS[origin]
  return unit === undefined ? '' : `${unit}${Number(count) === 1 ? '' : 's'}`
}

/** A hopeless document gets its first mistakes named, not all. */
const FIELD_PROBLEMS_MAX = 20
