/** Is what came of a scenario what it says? */
import type { Expectation, ViolationPattern } from '../api/scenario.js'
import type { Violation } from '../api/violation.js'
import { halves, hexU64, parseU64 } from '../api/wire.js'
import { placeOf } from './check.js'
import type { ScenarioMachine } from './machine.js'
import type { Unannounced } from './unannounced.js'

export interface Verdict {
  /** `unjudged`: the scenario says nothing of these parameters. */
  readonly verdict: 'as_expected' | 'not_as_expected' | 'unjudged'
  /** What was to come and did not. */
  readonly missing: string[]
  /** What came and was not to. */
  readonly unexpected: string[]
}

interface Outcome {
  readonly violations: readonly Violation[]
  /** How many ops ended so. */
  readonly failures: { readonly faults: number; readonly refused: number }
  /** Those of them that no step spoke of. */
  readonly unannounced: Unannounced
  /** Steps whose result was not what the step says. */
  readonly surprises: readonly string[]
  readonly machine: ScenarioMachine
}

export function judge(expect: Expectation | null, outcome: Outcome): Verdict {
  if (expect === null && outcome.surprises.length === 0) {
    return { verdict: 'unjudged', missing: [], unexpected: [] }
  }
  const wanted = expect === null || expect === 'clean' ? {} : expect
  const patterns = wanted.violations ?? []
  const missing = patterns.flatMap((pattern) => missingOf(pattern, outcome.violations))
  const failures: string[] = []
  for (const failure of ['faults', 'refused'] as const) {
    const [count, came] = [wanted[failure], outcome.failures[failure]]
    if (count === undefined) failures.push(...outcome.unannounced.texts(failure, came))
    else if (count !== came) missing.push(`${failure}: ${count}, not ${came}`)
  }
  missing.push(...missingRegisters(wanted.registers ?? {}, outcome.machine))
  const isExpected = (violation: Violation) => patterns.some((pattern) => fits(pattern, violation))
  const errors = outcome.violations.filter(({ severity }) => severity === 'error')
  const unexpected =
    expect === null ? [] : [...errors.filter((each) => !isExpected(each)).map(describe), ...failures]
  const all = [...unexpected, ...outcome.surprises]
  const verdict = missing.length + all.length === 0 ? 'as_expected' : 'not_as_expected'
  return { verdict, missing, unexpected: all }
}

function fits({ times: _times, ...pattern }: ViolationPattern, violation: Violation): boolean {
  return Object.entries(pattern).every(([name, value]) => violation[name as keyof Violation] === value)
}

function missingOf(pattern: ViolationPattern, violations: readonly Violation[]): string[] {
  const { times, ...what } = pattern
  const found = violations.filter((violation) => fits(pattern, violation)).length
  if (times === undefined ? found > 0 : found === times) return []
  const words = Object.entries(what).map(([name, value]) => `${name} ${value}`)
  return [`${words.join(', ')}: ${times === undefined ? 'at least once' : `${times} times`}, not ${found}`]
}

function missingRegisters(
  registers: Readonly<Record<string, string | number>>,
  machine: ScenarioMachine,
): string[] {
  return Object.entries(registers).flatMap(([name, value]) => {
    const place = placeOf(name)
    if (place === undefined || !parseU64(value)) return [`${name}: no register`]
    const wanted = hexU64(halves.lo, halves.hi)
    const { value: found } = machine.peek({ op: 'msr.read', ...place, by: 'host' })
    return found === wanted ? [] : [`${name} = ${wanted}, not ${found ?? 'readable'}`]
  })
}

function describe({ rule, severity, seq, text }: Violation): string {
  return `${severity} ${rule} at op ${seq}: ${text}`
}
