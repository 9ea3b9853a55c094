/** A run of the whole library asks the rules of every invariant, and each zoo entry those it is about. */
import { expect, it } from 'vitest'
import { ZOO_INVARIANTS } from '../../scripts/zoo.js'
import type { Rule, Watcher } from '../../src/audit/rule.js'
import { RULES } from '../../src/audit/rules.js'
import { scenarioLibrary } from '../../src/scenario/library.js'
import { runScenario } from '../../src/scenario/run.js'

/** Invariants that some rule was asked about, an op or the end of a story, since the set was made. */
let asked = new Set<string>()

/** A rule whose watchers tell when they are asked. */
function watched({ invariant, watch }: Rule): Partial<Rule> {
  const telling = (watcher: Watcher): Watcher => {
    for (const name of ['after', 'settled'] as const) {
      const judge = watcher[name]?.bind(watcher)
      if (judge === undefined) continue
      watcher[name] = () => {
        asked.add(invariant)
        judge()
      }
    }
    return watcher
  }
  return { watch: (desk) => telling(watch(desk)) }
}
for (const rule of RULES) Object.assign(rule, watched(rule))

const documents = [...scenarioLibrary().values()]
const runs = documents.map((document) => {
  asked = new Set()
  const reports = runScenario(document).map(({ report }) => report)
  const reported = reports.flatMap(({ violations }) => violations.map(({ invariant }) => invariant))
  return { document, asked, reported: new Set(reported) }
})
const inEntry = (entry: string) => runs.filter(({ document: { zoo = [] } }) => zoo.includes(entry))

/** Told by a comparison of two partitions (library.test.ts) instead of a rule. */
const COMPARED = 'I19'
const ALL = Array.from({ length: 24 }, (_, i) => `I${i + 1}`)
const judged = ALL.filter((name) => name !== COMPARED)

it.each(judged)('%s is asked of many stories', (name) => {
  expect(runs.filter((run) => run.asked.has(name)).length).toBeGreaterThan(5)
})

it(`${COMPARED} is asked of every story with a snapshot, of which there are some`, () => {
  const entries = Object.entries(ZOO_INVARIANTS).filter(([, names]) => names.split(' ').includes(COMPARED))
  for (const [entry] of entries) {
    expect(JSON.stringify(inEntry(entry).map(({ document }) => document))).toContain('"restore ')
  }
  expect(entries.length).toBe(3)
})

const told = Object.keys(ZOO_INVARIANTS).filter((entry) => inEntry(entry).length > 0)

it.each(told.filter((entry) => ZOO_INVARIANTS[entry] !== 'clean'))('%s asks what it is about', (entry) => {
  const named = ZOO_INVARIANTS[entry].split(' ').filter((name) => name !== COMPARED)
  expect(named.filter((name) => !inEntry(entry).some((run) => run.asked.has(name)))).toEqual([])
})

/** One entry each is about these, so they have a story of their own, made from the definition. */
it.each([
  ['I8', 'slot-ownership'],
  ['I13', 'eom-on-another-vcpu'],
  ['I17', 'stale-link-after-route'],
  ['I22', 'reference-time'],
  ['I23', 'offline-out-of-reach'],
])('%s has a story of its own: %s', (name, scenario) => {
  const own = runs.find(({ document }) => document.scenario === scenario)
  expect([...(own?.asked ?? [])]).toContain(name)
})

/** The machine keeps its own promises: no guest or VMM can break these here. */
const KEPT_BY_THE_MACHINE = ['I5', 'I20', 'I22', 'I24']

it('every other invariant is broken by some story', () => {
  const broken = new Set(runs.flatMap(({ reported }) => [...reported]))
  expect(judged.filter((name) => !broken.has(name))).toEqual(KEPT_BY_THE_MACHINE)
})
