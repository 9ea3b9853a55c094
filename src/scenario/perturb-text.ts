/** What came of a perturbed scenario, for people: a line a perturbation, and all about what was found. */
import type { PerturbFinding, PerturbReport, PerturbTally } from './perturb.js'
import { PERTURBATIONS } from './perturbations.js'
import { tableText } from './report-text.js'

const LOST_EDGE = 'I11: an edge came while it was closed, and the audit notes that'

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`

/** @param name what the command was given: the scenario again unless it is a file's */
export function perturbText(report: PerturbReport, name = report.scenario): string {
  const { scenario, variants, skipped, runs, left_out: leftOut, tallies, findings } = report
  const head = ['perturbation', 'runs', 'clean', 'allowed', 'findings']
  const rows = tallies.map((each) => [each.perturbation, each.runs, each.clean, each.allowed, each.findings])
  const found = tallies.reduce((sum, each) => sum + each.findings, 0)
  const unlisted = found - findings.length
  return [
    `${scenario}: ${count(variants.length, 'variant')}, ${count(runs, 'run')}\n`,
    skipped.length > 0 ? `left out, not clean by themselves: ${skipped.join(', ')}\n` : '',
    leftOut > 0
      ? `cut short: ${count(leftOut, 'more run')} would follow; choose with --variant or --only\n`
      : '',
    `\n${tableText([head, ...rows.map((row) => row.map(String))], '  ')}`,
    allowedText(tallies),
    ...alike(findings).map((group) => findingText(name, group)),
    unlisted > 0 ? `\nand ${unlisted} more\n` : '',
    `\n${sumText(runs, found)}\n`,
  ].join('')
}

function sumText(runs: number, found: number): string {
  if (runs === 0) return 'nothing was run: none of these perturbations can be put there'
  return found === 0 ? 'nothing was found' : count(found, 'finding')
}

function allowedText(tallies: readonly PerturbTally[]): string {
  const rows = tallies.flatMap(({ perturbation, by, at }) => {
    const { allows = [] } = PERTURBATIONS.find(({ name }) => name === perturbation) ?? {}
    const because = (wanted: string) => allows.find(({ rule }) => rule === wanted)?.because ?? LOST_EDGE
    return Object.entries(by).map(([rule, runs]) => [
      perturbation,
      rule,
      `${runs}`,
      placesText(at[rule] ?? {}),
      because(rule),
    ])
  })
  return rows.length === 0
    ? ''
    : `\n${tableText([['allowed', 'rule', 'runs', 'before steps', ''], ...rows], '  ')}`
}

/** `12-14, 18 of tlfs; 13 of kvm-synic, qemu`. */
function placesText(at: Readonly<Record<string, readonly number[]>>): string {
  const byText = new Map<string, string[]>()
  for (const [variant, steps] of Object.entries(at)) {
    const text = rangesText(steps)
    byText.set(text, [...(byText.get(text) ?? []), variant])
  }
  const texts = [...byText].map(
    ([text, variants]) => `${text}${variants[0] === '' ? '' : ' of '}${variants.join(', ')}`,
  )
  return texts.join('; ')
}

/** Ascending numbers, neighbours as one. */
function rangesText(steps: readonly number[]): string {
  const starts = steps.filter((step) => !steps.includes(step - 1))
  const ends = steps.filter((step) => !steps.includes(step + 1))
  return starts.map((start, i) => (start === ends[i] ? `${start}` : `${start}-${ends[i]}`)).join(', ')
}

/** What comes of the same thing at several steps of a variant is told once. */
function alike(findings: readonly PerturbFinding[]): PerturbFinding[][] {
  const groups = new Map<string, PerturbFinding[]>()
  for (const finding of findings) {
    const { variant, perturbation, lines, facts } = finding
    const key = JSON.stringify([variant, perturbation, lines, facts])
    groups.set(key, [...(groups.get(key) ?? []), finding])
  }
  return [...groups.values()]
}

function findingText(name: string, [finding, ...more]: readonly PerturbFinding[]): string {
  const { variant, step, op, perturbation, lines, verdict, facts } = finding
  const where = [variant, `step ${step}${op === '' ? '' : ` (${op})`}`]
    .filter((part) => part !== '')
    .join(', ')
  const chosen = variant === '' ? '' : ` --variant ${variant}`
  const rows = [
    ['here', lines.length === 0 ? 'the step is refused' : lines.join('; ')],
    ...facts.map((fact) => [verdict, fact]),
    ...(more.length === 0 ? [] : [['also at', `steps ${more.map((each) => each.step).join(', ')}`]]),
    ['again', `synicd scenario perturb ${name}${chosen} --only ${perturbation} --at ${step}`],
  ]
  return `\n${where}: ${perturbation}\n${tableText(rows, '  ')}`
}
