/** The ways a scenario can be run: variants and parameters, and what they make of its steps. */

import { didYouMean } from '../api/did-you-mean.js'
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

/** What may be asked of a scenario: a variant by its name, by the parameters it has, or by both. */
export interface Asked {
  readonly variant?: string | undefined
  readonly params?: ParamValues | undefined
}

/**
 * Every variant, or the one way that is asked for.
 * @throws ScenarioError where there is no such variant, a parameter is none of the scenario's, or the two do
 * not agree
 */
export function choicesOf(scenario: ScenarioDocument, { variant, params }: Asked = {}): RunChoice[] {
  if (variant === undefined) return choicesWith(scenario, params)
  const found = choicesWith(scenario).find((each) => each.variant === variant)
  if (found === undefined) throw problem('', `there is no variant ${variant}; ${variantsText(scenario)}`)
  checkNames(scenario, params ?? {})
  for (const [name, value] of Object.entries(params ?? {})) {
    if (holds(found.params, { [name]: value })) continue
    const [asked, own] = [value, found.params[name]].map((each) => JSON.stringify(each ?? null))
    throw problem(
      `with/${name}`,
      `${asked} contradicts the variant ${variant}, whose ${name} is ${own}: leave one of the two out`,
    )
  }
  return [found]
}

function problem(path: string, message: string): ScenarioError {
  return new ScenarioError([{ path, line: 0, message }])
}

function variantsText({ variants = {} }: ScenarioDocument): string {
  const names = Object.keys(variants)
  return names.length === 0 ? 'it has none: leave the variant out' : `the variants are ${names.join(', ')}`
}

/** Parameters are those of the scenario and its variants. */
function checkNames(
  { scenario, with: base = {}, variants = {} }: ScenarioDocument,
  params: ParamValues,
): void {
  const all = [base, ...Object.values(variants).map((each) => each.with ?? {})]
  const known = new Set(all.flatMap(Object.keys))
  const strange = Object.keys(params).filter((name) => !known.has(name))
  if (strange.length === 0) return
  const message = `is no parameter of ${scenario}; it has ${[...known].join(', ') || 'none'}`
  throw new ScenarioError(strange.map((name) => ({ path: `with/${name}`, line: 0, message })))
}

function choicesWith(scenario: ScenarioDocument, params?: ParamValues): RunChoice[] {
  const { with: base = {}, expect = null } = scenario
  const variants = Object.entries(scenario.variants ?? {}).map(([variant, each]) => ({
    variant,
    params: { ...base, ...each.with },
    expect: each.expect,
  }))
  if (params === undefined) return variants.length > 0 ? variants : [{ variant: '', params: base, expect }]
  checkNames(scenario, params)
  const asked = { ...base, ...params }
  const found = variants.find((each) => holds(asked, each.params))
  if (found !== undefined) return [{ ...found, params: asked }]
  if (scenario.steps === undefined) {
    throw problem('with', `no variant is like that; ${variantsText(scenario)}`)
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

function noParam(name: string, known: readonly string[]): string {
  const has = known.length === 0 ? '; it has none: say its value in with' : `; it has ${known.join(', ')}`
  return `$${name} is no parameter of the scenario${didYouMean(name, known) || has}`
}

function paramNamed(name: string, params: ParamValues): ParamValues[string] {
  const value = Object.hasOwn(params, name) ? params[name] : undefined
  if (value === undefined) throw new StepError(noParam(name, Object.keys(params)))
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
