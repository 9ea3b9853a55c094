/** The library: every variant comes out as its file says, and the library as a whole tells what it should. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { untold, ZOO_INVARIANTS } from '../../scripts/zoo.js'
import type { ScenarioDocument, ScenarioStep } from '../../src/api/scenario.js'
import { RULES } from '../../src/audit/rules.js'
import { scenarioLibrary } from '../../src/scenario/library.js'
import { runScenario, type ScenarioRun } from '../../src/scenario/run.js'

type Variant = NonNullable<ScenarioDocument['variants']>[string]

const documents = [...scenarioLibrary().values()]
const runs = documents.flatMap((document) => runScenario(document))
const nameOf = ({ report }: (typeof runs)[number]) =>
  `${report.scenario}${report.variant === '' ? '' : `/${report.variant}`}`

describe('the library', () => {
  it.each(runs.map((run) => [nameOf(run), run.report] as const))('%s', (_name, report) => {
    const { verdict, missing, unexpected } = report
    expect({ verdict, missing, unexpected }).toEqual({ verdict: 'as_expected', missing: [], unexpected: [] })
  })

  it('says in its prose of what there are notes', () => {
    const isNoted = ({ report }: ScenarioRun) => report.violations.some(({ severity }) => severity === 'note')
    const proseOf = (run: ScenarioRun) => {
      const document = documents.find(({ scenario }) => scenario === run.report.scenario)
      return `${document?.about} ${document?.variants?.[run.report.variant]?.about}`
    }
    const untoldNotes = runs.filter((run) => isNoted(run) && !/\bnote[sd]?\b/.test(proseOf(run)))
    expect(untoldNotes.map(nameOf)).toEqual([])
  })

  it('gives the same trace when it is run again', () => {
    const again = documents.flatMap((document) => runScenario(document))
    const differs = runs.filter(({ trace }, i) => JSON.stringify(trace) !== JSON.stringify(again[i]?.trace))
    expect(differs.map(nameOf)).toEqual([])
  })

  it('calls each file by the scenario in it, and names a source', () => {
    const files = readdirSync(new URL('../../scenarios/', import.meta.url))
    const named = documents.map(({ scenario }) => `${scenario}.yaml`)
    expect(named.sort()).toEqual(files.filter((file) => file.endsWith('.yaml')).sort())
    expect(documents.filter(({ source, about = '' }) => source === '' || about === '')).toEqual([])
  })

  it('says what each variant of a scenario with variants is expected to do', () => {
    expect(runs.filter(({ report }) => report.verdict === 'unjudged').map(nameOf)).toEqual([])
  })
})

describe('a partition that was restored (I19)', () => {
  const isSnapshot = (step: ScenarioStep) => typeof step === 'string' && /^(?:snap|restore) /.test(step)
  const without = <T extends { steps?: ScenarioStep[] | undefined }>(part: T): T => {
    const { steps } = part
    return steps === undefined ? part : { ...part, steps: steps.filter((step) => !isSnapshot(step)) }
  }
  const stepsOf = ({ steps = [], variants = {} }: ScenarioDocument) => [
    ...steps,
    ...Object.values(variants).flatMap((each) => each.steps ?? []),
  ]
  const answers = ({ trace }: ScenarioRun) => trace.map((step) => [step.in, step.out])

  it.each(documents.filter((each) => stepsOf(each).some(isSnapshot)).map((each) => [each.scenario, each]))(
    'answers all that follows as the first one would: %s',
    (_name, document) => {
      const { variants = {} } = document
      const named = Object.entries(variants).map(([name, variant]) => [name, without(variant)] as const)
      const straight = runScenario({ ...without(document), variants: Object.fromEntries(named) })
      expect(runScenario(document).map(answers)).toEqual(straight.map(answers))
    },
  )

  it.each(documents.map((each) => [each.scenario, each]))(
    'is judged as the first one would be, wherever it was restored: %s',
    (_name, document) => {
      const restored = <T extends { steps?: ScenarioStep[] | undefined }>(part: T): T => {
        const steps = part.steps?.flatMap((step) => ['snap again', 'restore again', step])
        return steps === undefined ? part : { ...part, steps }
      }
      const { variants = {} } = document
      const named = Object.entries(variants).map(([name, variant]) => [name, restored(variant)] as const)
      const again = runScenario({ ...restored(document), variants: Object.fromEntries(named) })
      const judged = (run: ScenarioRun) => [answers(run), run.report.violations]
      expect(again.map(judged)).toEqual(runScenario(document).map(judged))
    },
  )
})

describe('the zoo', () => {
  const told = new Set(documents.flatMap(({ zoo = [] }) => zoo))

  it.each(Object.keys(ZOO_INVARIANTS))('%s has a scenario, or a reason to have none', (entry) => {
    expect(told.has(entry)).not.toBe(untold().has(entry))
  })

  it('has no entry that nobody knows', () => {
    expect([...told, ...untold().keys()].filter((entry) => ZOO_INVARIANTS[entry] === undefined)).toEqual([])
  })

  it.each(documents.filter(({ variants }) => variants?.fixed !== undefined).map(({ scenario }) => scenario))(
    '%s reports no error once it is fixed',
    (scenario) => {
      const fixed = runs.find(({ report }) => report.scenario === scenario && report.variant === 'fixed')
      expect(fixed?.report.violations.filter(({ severity }) => severity === 'error')).toEqual([])
    },
  )
})

/** Published orders that are right: each runs under every profile, and nothing is reported. */
const SILENT = [
  'vmbus-up',
  'vmbus-down',
  'freebsd-up',
  'freebsd-down',
  'freebsd-handler',
  'ipxe-down',
  'firmware',
  'qemu-reset',
  'vmm-restore',
  'crash-kernel',
]
const PROFILES = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs']

/** Programs of ordinary guests, whose teardown a parent partition's hypervisor does not tolerate (I1). */
const GUESTS_ONLY = ['freebsd-down', 'ipxe-down']
/** Its VMBus is in the SynIC that every vCPU has: there is none on a root, and a nested root has another. */
const NOT_ON_ROOTS = ['crash-kernel']

describe('orders that must stay silent', () => {
  const orderOf = (order: string) => {
    const document = documents.find(({ scenario }) => scenario === `silent-${order}`)
    if (document === undefined) throw new Error(`there is no silent-${order}`)
    return document
  }
  /** The same story with every variant bent. */
  const bent = (order: string, bend: (variant: Variant, document: ScenarioDocument) => Variant | null) => {
    const document = orderOf(order)
    const all = Object.entries(document.variants ?? {}).map(([name, each]) => [name, bend(each, document)])
    const own = runScenario({ ...document, variants: Object.fromEntries(all.filter(([, each]) => each)) })
    expect(own.length).toBeGreaterThan(0)
    return own.map(({ report }) => report)
  }
  const isError = ({ severity }: { severity: string }) => severity === 'error'

  it.each(SILENT)('%s, under every profile', (order) => {
    const own = runs.filter(({ report }) => report.scenario === `silent-${order}`)
    expect(own.map(({ config }) => config.profile)).toEqual(expect.arrayContaining(PROFILES))
    const errors = own.flatMap(({ report }) =>
      report.violations.filter(({ severity }) => severity === 'error'),
    )
    expect(errors).toEqual([])
  })

  it.each(SILENT)('%s, on a KVM whose VMM enables the capability itself', (order) => {
    const odd = bent(order, (variant, { partition = {}, steps = [] }) => {
      const { profile, vcpus = partition.vcpus ?? 1 } = variant.partition ?? {}
      if (profile !== 'kvm-synic' && profile !== 'kvm-synic2') return null
      const caps = Array.from({ length: vcpus }, (_, i) => `cap v${i} ${profile.slice('kvm-'.length)}`)
      return {
        ...variant,
        partition: { ...variant.partition, profile: 'kvm' },
        steps: [...caps, ...(variant.steps ?? steps)],
      }
    })
    expect(odd.filter(({ verdict }) => verdict !== 'as_expected')).toEqual([])
  })

  it.each(
    SILENT.flatMap((order) => {
      const kinds = ['guest', 'l1vh', 'root', 'nested_root'] as const
      const count = GUESTS_ONLY.includes(order) ? 1 : NOT_ON_ROOTS.includes(order) ? 2 : 4
      return kinds.slice(0, count).map((kind) => [order, kind] as const)
    }),
  )('%s, on a %s, under every profile', (order, kind) => {
    const own = bent(order, (variant) => ({ ...variant, partition: { ...variant.partition, kind } }))
    // Not every profile has a nested SynIC: its registers fault there, which breaks no rule.
    const odd = own.map(({ variant, missing, violations }) => ({
      variant,
      missing,
      errors: violations.filter(isError),
    }))
    expect(odd.filter(({ missing, errors }) => missing.length + errors.length > 0)).toEqual([])
  })
})

/** Rules that hold the machine to its own promises: it keeps them, so that no guest can break them. */
const KEPT_BY_THE_MACHINE = [
  'interrupt_gate',
  'timer_contract',
  'time_first',
  'defined_answers',
  'no_change_on_refusal',
  'reset_equals_creation',
  'message_fate',
  'host_write',
]

describe('the rules', () => {
  const reached = new Set(runs.flatMap(({ report }) => report.violations.map(({ rule }) => rule)))

  const names = RULES.map(({ rule }) => rule)

  it.each(names.filter((rule) => !KEPT_BY_THE_MACHINE.includes(rule)))(
    '%s is broken by some scenario',
    (rule) => {
      expect(reached).toContain(rule)
    },
  )

  it('is right about those that the machine keeps', () => {
    expect(KEPT_BY_THE_MACHINE.filter((rule) => reached.has(rule))).toEqual([])
    const known: readonly string[] = RULES.map(({ rule }) => rule)
    expect(KEPT_BY_THE_MACHINE.filter((rule) => !known.includes(rule))).toEqual([])
  })
})
