// Writes the pages in docs that are generated, and what commands print in other pages: `npm run zoo`.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Expectation, ScenarioDocument } from '../src/api/scenario.js'
import { GSI_NEWS } from '../src/audit/dispatch.js'
import type { Rule } from '../src/audit/rule.js'
import { RULES } from '../src/audit/rules.js'
import type { VcpuChoice } from '../src/drivers/procedures.js'
import { scenarioLibrary } from '../src/scenario/library.js'
import { paramText } from '../src/scenario/procedure-params.js'
import { procedureList } from '../src/scenario/procedures.js'
import { headText, reportText } from '../src/scenario/report-text.js'
import { runScenario, type ScenarioRun } from '../src/scenario/run.js'
import * as effects from '../src/synic/effects.js'
import { OP_NAMES } from '../src/synic/op.js'

/** What each entry of the zoo of known bugs breaks, in its own words and order. */
export const ZOO_INVARIANTS: Readonly<Record<string, string>> = {
  'BZ-01': 'I1 I2 I3 I6 I7',
  'BZ-02': 'I4',
  'BZ-03': 'I9',
  'BZ-04': 'I4 I9',
  'BZ-05': 'I6 I7',
  'BZ-06': 'I1 I3 I4 I7',
  'BZ-07': 'I4 I9',
  'BZ-08': 'I3 I4',
  'BZ-09': 'I2',
  'BZ-10': 'I2',
  'BZ-11': 'I6',
  'BZ-12': 'I6 I8',
  'BZ-13': 'I3',
  'BZ-14': 'I10 I23',
  'BZ-15': 'I7 I9',
  'BZ-16': 'I19 I20',
  'BZ-17': 'I6',
  'BZ-18': 'I7',
  'BZ-19': 'I7',
  'BZ-20': 'I7',
  'BZ-21': 'I7 I19',
  'BZ-22': 'I5 I6 I21',
  'BZ-23': 'I6',
  'BZ-24': 'I9 I11',
  'BZ-25': 'I6 I24',
  'BZ-26': 'I10 I24',
  'BZ-27': 'I6 I9 I15 I24',
  'BZ-28': 'I5 I9 I20',
  'BZ-29': 'I10 I21',
  'BZ-30': 'I15 I20',
  'BZ-31': 'I16',
  'BZ-32': 'I15 I16',
  'BZ-33': 'I16 I20',
  'BZ-34': 'I24',
  'BZ-35': 'I7 I15',
  'BZ-36': 'I22',
  'BZ-37': 'I9 I21 I24',
  'BZ-38': 'I12',
  'BZ-39': 'I11 I12',
  'BZ-40': 'I11',
  'BZ-41': 'I14',
  'BZ-42': 'I24',
  'BZ-43': 'I24',
  'BZ-44': 'I24',
  'BZ-45': 'I18',
  'BZ-46': 'I17 I18',
  'BZ-47': 'I14 I18',
  'BZ-48': 'I18',
  'BZ-49': 'I5 I24',
  'BZ-50': 'I19 I24',
  'BZ-51': 'I16',
  'BZ-52': 'I7 I10 I11 I14 I15',
  'BZ-53': 'I13 I24',
  'BZ-54': 'I7',
  'BZ-55': 'clean',
}

const README = new URL('../scenarios/README.md', import.meta.url)

/** Entries without a scenario, what they are about and why: the list in scenarios/README.md. */
export function untold(): Map<string, readonly [title: string, reason: string]> {
  const text = readFileSync(README, 'utf8').replace(/\n {2}/g, ' ')
  const entries = text.matchAll(/^- (BZ-\d\d) \((.*?)\): (.*)/gm)
  return new Map([...entries].map(([, entry, title, reason]) => [entry, [title, reason]]))
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |\n`).join('')

const inOrder = (names: Iterable<string>): string[] =>
  [...new Set(names)].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))

function expectedBy(expect: Expectation | undefined): string[] {
  if (expect === undefined || expect === 'clean') return []
  const patterns = expect.violations ?? []
  const invariantOf = (name: string) => RULES.find(({ rule }) => rule === name)?.invariant ?? name
  return patterns.map(({ invariant, rule }) => invariant ?? (rule === undefined ? 'any' : invariantOf(rule)))
}

/** Invariants that a scenario's runs broke; in brackets those that were only noted. */
function reportedBy(runs: readonly ScenarioRun[]): string[] {
  const all = runs.flatMap(({ report }) => report.violations)
  const errors = all.filter(({ severity }) => severity === 'error').map(({ invariant }) => invariant)
  const notes = all.map(({ invariant }) => invariant).filter((name) => !errors.includes(name))
  return [...inOrder(errors), ...inOrder(notes).map((name) => `(${name})`)]
}

/** `faulty, fixed`, or how many variants there are of what. */
function formOf({ variants = {} }: ScenarioDocument): string {
  const names = Object.keys(variants)
  const known = ['faulty', 'fixed'].filter((name) => names.includes(name))
  const others = names.length - known.length
  const rest = others === 0 ? [] : [`${others} ${known.length === 0 ? 'forms' : 'more'}`]
  return names.length === 0 ? 'one' : [...known, ...rest].join(', ')
}

function rowOf(entry: string, document: ScenarioDocument): string[] {
  const runs = runScenario(document)
  const { scenario, expect, variants = {} } = document
  const expected = [expect, ...Object.values(variants).map((each) => each.expect)].flatMap(expectedBy)
  const isFine = runs.every(({ report }) => report.verdict === 'as_expected')
  return [
    entry,
    `[${scenario}](../scenarios/${scenario}.yaml)`,
    formOf(document),
    ZOO_INVARIANTS[entry],
    inOrder(expected).join(' ') || 'clean',
    reportedBy(runs).join(' ') || 'nothing',
    isFine ? 'yes' : '**no**',
  ]
}

/** docs/zoo.md. */
export function zooPage(): string {
  const documents = [...scenarioLibrary().values()]
  const told = Object.keys(ZOO_INVARIANTS).flatMap((entry) =>
    documents.filter(({ zoo = [] }) => zoo.includes(entry)).map((document) => rowOf(entry, document)),
  )
  const head = ['entry', 'scenario', 'forms', 'the zoo names', 'expected', 'reported', 'as expected']
  return `# The zoo

Known bugs around the SynIC in Linux, KVM, QEMU, OpenVMM, Xen, Cloud Hypervisor and iPXE, and the scenarios
that tell them. This page is generated: \`npm run zoo\`.

A faulty form breaks what its row expects; a fixed form reports no error. An entry that expects \`clean\` is a
bug of an implementation that this machine does not share: its scenario holds the machine to the right
behaviour. The rules of every invariant that the zoo names are asked in it; a test counts that. Reported in
brackets: told as a note, because documented software or a documented machine behaves so.

Interleavings are not explored here: where an entry has one, its forms are the order that goes wrong and one
that does not. I19 is no rule: the library's test runs each story with a snapshot in it once more without, and
compares all answers.

${table(head, told)}
## Without a scenario

${table(
  ['entry', 'about', 'the zoo names', 'why'],
  [...untold()].map(([entry, [title, reason]]) => [entry, title, ZOO_INVARIANTS[entry], reason]),
)}`
}

const EFFECT_NAMES = new Map<number, string>([
  [GSI_NEWS, 'of GSIs that are out of the ordinary'],
  ...Object.entries(effects)
    .filter(([name, value]) => /^EFFECT_[A-Z_]+$/.test(name) && typeof value === 'number')
    .map(([name, value]) => [value as number, name.slice('EFFECT_'.length).toLowerCase()] as const),
])

function watches({ deep = false, more = [], ...rule }: Rule): string {
  const all = [rule, ...more]
  const ops = [...new Set(all.flatMap((each) => each.ops ?? []))].sort((a, b) => a - b)
  const registers = new Set(all.flatMap((each) => each.registers ?? []))
  const kinds = [...new Set(all.flatMap((each) => each.effects ?? []))]
  const parts = [
    ['ops', ops.map((code) => `\`${OP_NAMES[code]}\``)],
    ['writes of', [...registers].map((name) => (name === 'other' ? 'other registers' : name))],
    ['effects', kinds.map((kind) => EFFECT_NAMES.get(kind) ?? `${kind}`)],
    [deep ? 'whole states, where cost does not matter' : '', deep ? [''] : []],
  ] as const
  const told = parts.filter(([, names]) => names.length > 0)
  const texts = told.map(([what, names]) => `${what} ${names.join(', ')}`.trim())
  return texts.length === 0 ? 'what is left in the end' : texts.join('; ')
}

/** What an invariant is about; a rule of none of them is named itself. */
const TITLES: Readonly<Record<string, string>> = {
  I1: 'no write under a foreign disable',
  I2: 'written only by its owner',
  I3: 'release in the reverse order of use',
  I4: 'nothing armed points at freed memory',
  I5: 'reset equals creation',
  I6: 'every message meets exactly one fate',
  I7: 'a waiting message has someone who will come back for it',
  I8: 'type says who may write the slot',
  I9: 'pages are enabled, mapped and their own',
  I10: 'event flags',
  I11: 'the interrupt gate',
  I12: 'end of interrupt',
  I13: 'EOM and EOI act on the vCPU that writes them',
  I14: 'a wake is not lost',
  I15: 'the timer contract',
  I16: 'progress',
  I17: 'routes and acknowledgements agree',
  I18: 'resample pairs',
  I19: 'a snapshot is complete',
  I20: "the host's writes have no guest side effects",
  I21: 'paused means still',
  I22: 'time first',
  I23: 'offline is out of reach',
  I24: 'every input has a defined answer',
}

/** docs/invariants.md. */
export function invariantsPage(): string {
  const rows = inOrder(RULES.map(({ invariant }) => invariant)).flatMap((invariant) =>
    RULES.filter((each) => each.invariant === invariant).map((rule) => [
      invariant === rule.rule ? '' : `${invariant}, ${TITLES[invariant]}`,
      `\`${rule.rule}\``,
      rule.holds,
      watches(rule),
    ]),
  )
  return `# Invariants

What the auditor holds a partition to, rule by rule. This page is generated: \`npm run zoo\`.

A rule knows ops, results, state and claims, and no driver, scenario or bug. A finding is an error, or a note
where documented software or a documented machine behaves so. Whatever a rule watches, it may also judge what
is left when nothing is still to come. I19, that a snapshot is complete, compares two partitions and is asked
for by tests and harnesses (\`src/audit/rules/snapshot-complete.ts\`).

What is found follows from the order of the ops alone. Registers belong to whoever claimed them when it
attached, else to the driver whose role they are by the table of the partition's kind, in
\`src/audit/claims.ts\`, while that driver is there: from the first op it makes until it detaches, its kernel
ends or the machine is reset. What has no owner is held by whoever enabled it, by any name, until that one
leaves or hands on (\`src/audit/holders.ts\`).

A kernel hands over where it takes back its guest OS id, and where \`kernel.boot\` starts the next one. The
reset of a vCPU or of the machine is no handover, nor is the end of a recording: a reset may meet a guest in
the middle of everything (QEMU resets vCPUs first and zeroes their registers then), and a guest that is up
when nothing more is recorded has left nothing behind. What a reset must clear is I5's.

${table(['invariant', 'rule', 'what holds', 'watches'], rows)}`
}

const CHOICES: Readonly<Record<VcpuChoice, string>> = {
  each: 'each',
  one: 'one',
  boot: "the kernel's",
  none: '–',
}

/** docs/procedures.md. */
export function proceduresPage(): string {
  const list = procedureList()
  const code = (name: string) => `\`${name}\``
  const rows = list.map(({ name, says, chooses, takes }) => [
    code(name),
    says,
    CHOICES[chooses],
    takes
      .filter((each) => each !== 'vcpus')
      .map(code)
      .join(' '),
  ])
  const params = [...new Set(list.flatMap(({ takes }) => takes))].map((name) => {
    const { is, means } = paramText(name)
    const takers = list.filter(({ takes }) => takes.includes(name)).map((each) => code(each.name))
    return [code(name), is, means, name === 'vcpus' ? 'see above' : takers.join(' ')]
  })
  return `# Procedures

What a step of a scenario may run, such as \`{ run: linux.boot, with: { host: true, version: v4 } }\`.
[scenarios.md](scenarios.md) says how steps are written. \`synicd scenario procedures\` prints this list, and
\`synicd scenario procedures linux.boot\` one of it. This page is generated: \`npm run zoo\`.

\`vcpus\`, in \`with\` like all that a procedure takes, says on which vCPUs it acts:

- **each**: on those that are named, one after another; on all that its kernel has if none is.
- **one**: on a single one, the kernel's first unless another is named.
- **the kernel's**: on all that its kernel has; \`vcpus\` says which those are, where a kernel begins.
- **–**: where its driver does; it takes no \`vcpus\`.

${table(['procedure', 'what happens', 'vcpus', 'takes'], rows)}
## Parameters

A name means the same wherever it is taken.

${table(['name', 'is', 'means', 'taken by'], params)}`
}

const KEXEC = new URL('../docs/kexec.md', import.meta.url)
const SCENARIOS = new URL('../docs/scenarios.md', import.meta.url)
const PRINTED = /(`synicd scenario run (\S+) --driver mshv=(\S+)` prints:\n\n```text\n)[^`]*(?=```)/g

/** A page that is written by hand, with what the commands in it print. */
function printedPage(page: URL): string {
  return readFileSync(page, 'utf8').replace(PRINTED, (_, command: string, name: string, mshv: string) => {
    const document = scenarioLibrary().get(name)
    if (document === undefined) throw new Error(`${page.pathname} runs ${name}, which is no scenario`)
    const reports = runScenario(document, { mshv }).map(({ report }) => reportText(report))
    return `${command}${headText(document)}\n${reports.join('\n')}`
  })
}

export const kexecPage = () => printedPage(KEXEC)
export const scenariosPage = () => printedPage(SCENARIOS)

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('../docs/zoo.md', import.meta.url), zooPage())
  writeFileSync(new URL('../docs/invariants.md', import.meta.url), invariantsPage())
  writeFileSync(new URL('../docs/procedures.md', import.meta.url), proceduresPage())
  writeFileSync(KEXEC, kexecPage())
  writeFileSync(SCENARIOS, scenariosPage())
}
