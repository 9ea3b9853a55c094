/** What came of a scenario, for people: who did what to whom, at which op, and whether it was to be so. */
import type { ScenarioDocument, ScenarioReport, ScenarioViolation } from '../api/scenario.js'

/** Rows listed in full; the JSON report has all of them. */
const ROWS_MAX = 50

/** Nothing was to be otherwise. */
export function isFine({ verdict }: ScenarioReport): boolean {
  return verdict !== 'not_as_expected'
}

/** Columns as wide as their widest cell; the last one ends where it ends. */
export function tableText(rows: readonly (readonly string[])[], indent = ''): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i])).join('  ')
  return rows.map((row) => `${indent}${line(row).trimEnd()}\n`).join('')
}

function limited(rows: readonly (readonly string[])[]): string {
  const more = rows.length - ROWS_MAX - 1
  return tableText(rows.slice(0, ROWS_MAX + 1), '  ') + (more > 0 ? `  and ${more} more\n` : '')
}

export function headText({ scenario, title, source }: ScenarioDocument): string {
  return `${scenario}: ${title}\nsource: ${source}\n`
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`

function paramsText({ params }: ScenarioReport): string {
  const words = Object.entries(params).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return words.join(' ')
}

/** `pre-series (mshv=pre-series): 44 ops, 3 violations, 4 faults`. */
function titleText(report: ScenarioReport): string {
  const { variant, ops, violations, faults, refused } = report
  const params = paramsText(report)
  const name = variant === '' ? params || 'the scenario' : params === '' ? variant : `${variant} (${params})`
  const sums = `${count(ops, 'op')}, ${count(violations.length, 'violation')}, ${count(faults, 'fault')}`
  return `${name}: ${sums}${refused === 0 ? '' : `, ${refused} refused`}`
}

const registerText = ({ vcpu, register }: { vcpu?: number | undefined; register?: string | undefined }) =>
  register === undefined ? (vcpu === undefined ? '' : `v${vcpu}`) : `v${vcpu ?? 0}.${register}`

function violationRow(v: ScenarioViolation): string[] {
  const against = [v.other ?? '', v.other_seq === undefined ? '' : `op ${v.other_seq}`]
  const rule = v.severity === 'note' ? `${v.rule} (note)` : v.rule
  const whom = against.filter((part) => part !== '').join(', ')
  return [`${v.seq}`, v.actor ?? '', v.op ?? 'at the end', registerText(v), rule, whom, v.text]
}

function violationsText({ violations }: ScenarioReport): string {
  if (violations.length === 0) return ''
  const head = ['seq', 'actor', 'op', 'register', 'breaks', 'against', '']
  return limited([head, ...violations.map(violationRow)])
}

function faultsText({ faulted }: ScenarioReport): string {
  if (faulted.length === 0) return ''
  const rows = faulted.map((each) => [
    `${each.seq}`,
    each.step,
    each.actor ?? '',
    each.op,
    registerText(each),
    each.value ?? '',
  ])
  return limited([['seq', 'step', 'actor', 'faults', 'register', 'value'], ...rows])
}

const VERDICTS = {
  as_expected: 'as expected',
  not_as_expected: 'NOT as expected',
  unjudged: 'unjudged: the scenario says nothing of these parameters',
} as const

export function reportText(report: ScenarioReport): string {
  const { verdict, missing, unexpected } = report
  const parts = [violationsText(report), faultsText(report)].filter((part) => part !== '')
  const verdictLines = [
    ...missing.map((each) => `  missing     ${each}\n`),
    ...unexpected.map((each) => `  unexpected  ${each}\n`),
    `  ${VERDICTS[verdict]}\n`,
  ]
  return `${titleText(report)}\n${[...parts, verdictLines.join('')].join('\n')}`
}

/** One row of many. */
export function lineText(report: ScenarioReport): string[] {
  const { scenario, variant, verdict, ops, violations, faults } = report
  const sums = `${count(ops, 'op')}, ${count(violations.length, 'violation')}, ${count(faults, 'fault')}`
  return [verdict === 'not_as_expected' ? 'NO' : 'ok', scenario, variant, sums]
}
