/** The ways a scenario can be run: variants and parameters, and what they make of its steps. */
import { gpaLimitPages } from '../api/partition.js'
import type { Expectation, ParamValues, RunStep, ScenarioDocument, ScenarioStep } from '../api/scenario.js'
import { GPA_LIMIT_DEFAULT_PAGES, MEMORY_PAGES_DEFAULT } from '../hv/limits.js'
import type { PartitionConfig } from '../synic/machine.js'
import { resolveOptions } from '../synic/profile.js'
import { ScenarioError, StepError } from './problems.js'

export interface RunChoice {
  /** A variant's name; '' where a scenario has none. */
  readonly variant: string
  readonly params: ParamValues
  /** What should come of it; null: nothing is said of these parameters. */
  readonly expect: Expectation | null
}

const holds = (asked: ParamValues, wanted: ParamValues): boolean =>
  Object.entries(wanted).every(([name, value]) => JSON.stringify(asked[name]) === JSON.stringify(value))

/**
 * Every variant; with `params`, the one way that they ask for.
 * @throws ScenarioError where a parameter is none of the scenario's
 */
export function choicesOf(scenario: ScenarioDocument, params?: ParamValues): RunChoice[] {
  const { with: base = {}, expect = null } = scenario
  const variants = Object.entries(scenario.variants ?? {}).map(([variant, each]) => ({
    variant,
    params: { ...base, ...each.with },
    expect: each.expect,
  }))
  if (params === undefined) return variants.length > 0 ? variants : [{ variant: '', params: base, expect }]
  const known = new Set([base, ...variants.map((each) => each.params)].flatMap(Object.keys))
  const strange = Object.keys(params).filter((name) => !known.has(name))
  if (strange.length > 0) {
    const message = `is no parameter of ${scenario.scenario}; it has ${[...known].join(', ') || 'none'}`
    throw new ScenarioError(strange.map((name) => ({ path: `with/${name}`, line: 0, message })))
  }
  const asked = { ...base, ...params }
  const found = variants.find((each) => holds(asked, each.params))
  if (found !== undefined) return [{ ...found, params: asked }]
  if (scenario.steps === undefined) {
    const message = `no variant is like that; there are ${variants.map((each) => each.variant).join(', ')}`
    throw new ScenarioError([{ path: 'with', line: 0, message }])
  }
  return [{ variant: '', params: asked, expect: holds(base, asked) ? expect : null }]
}

/** The steps of a variant, and where in the document they stand. */
export function stepsOf(
  scenario: ScenarioDocument,
  variant: string,
): { at: readonly string[]; steps: readonly ScenarioStep[] } {
  const own = scenario.variants?.[variant]?.steps
  if (own !== undefined) return { at: ['variants', variant, 'steps'], steps: own }
  return { at: ['steps'], steps: scenario.steps ?? [] }
}

/** The machine a variant runs on, and how many vCPUs it begins with. */
export function machineOf(
  scenario: ScenarioDocument,
  variant: string,
): { config: PartitionConfig; vcpus: number } {
  const part = { ...scenario.partition, ...scenario.variants?.[variant]?.partition }
  const { kind = 'guest', profile = 'tlfs', options = {}, gpa_limit: gpaLimit, vcpus = 1 } = part
  const config = {
    kind,
    profile,
    gpaPages: (gpaLimit === undefined ? undefined : gpaLimitPages(gpaLimit)) ?? GPA_LIMIT_DEFAULT_PAGES,
    memoryPagesMax: MEMORY_PAGES_DEFAULT,
    options: resolveOptions(profile, kind, options),
  }
  return { config, vcpus }
}

function paramNamed(name: string, params: ParamValues): ParamValues[string] {
  const value = Object.hasOwn(params, name) ? params[name] : undefined
  if (value === undefined) throw new StepError(`$${name} is no parameter of the scenario`)
  return value
}

/**
 * A line with the values of its `$name`s.
 * @throws StepError
 */
export function filledLine(line: string, params: ParamValues): string {
  return line.replace(/\$(\w+)/g, (_, name: string) => String(paramNamed(name, params)))
}

/** What a procedure is given, with the values of its `$name`s. */
export function filledParams({ with: given = {} }: RunStep, params: ParamValues): ParamValues {
  const filled = Object.entries(given).map(([key, value]) => {
    const [, name] = (typeof value === 'string' && /^\$(\w+)$/.exec(value)) || []
    return [key, name === undefined ? value : paramNamed(name, params)]
  })
  return Object.fromEntries(filled)
}
