// An audit's report as a person reads it: a table of findings, what was not checked, and a sum.
import type { AuditFinding, AuditReport } from './audit-report.js'

/** Findings shown; the JSON document has more of them. */
const ROWS_MAX = 200

const SOURCES: Readonly<Record<AuditReport['source'], string>> = {
  trace: 'trace',
  host: 'kernel events of a KVM host',
  guest: "a guest kernel's own MSR accesses",
}

const plural = (count: number, one: string) => `${count} ${count === 1 ? one : `${one}s`}`

export function auditText(report: AuditReport): string {
  const { file, source, profile, kind, replayed } = report
  const machine = profile === undefined ? 'machine of the snapshot' : `profile ${profile}, kind ${kind}`
  const what = source === 'trace' ? 'op' : 'line'
  const lines = [
    `${file}: ${SOURCES[source]}`,
    `${plural(replayed, what)} replayed, ${machine}`,
    '',
    ...findingLines(report),
    ...notCheckedLines(report),
    ...report.warnings.map((text) => `warning: ${text}`),
    ...report.uncertain.map(
      (doubt) => `uncertain: ${doubt.count} × ${doubt.what} (first: line ${doubt.first_line})`,
    ),
    summary(report),
  ]
  return `${lines.join('\n')}\n`
}

function summary({ errors, notes, certainty, checked, not_checked }: AuditReport): string {
  const left =
    not_checked.length === 0 ? 'all was checked' : `${not_checked.length} not checked, as said above`
  const found = `${plural(errors, 'error')}, ${plural(notes, 'note')}`
  const doubtful = checked.filter(({ uncertain }) => uncertain !== undefined).length
  const doubt = doubtful === 0 ? '' : `, ${doubtful} of them not for certain`
  return `${found}; certainty ${certainty}; ${plural(checked.length, 'rule')} checked${doubt}, ${left}`
}

/** Errors go first where not all can be shown; those shown stand in the order of the recording. */
function findingLines({ findings, errors, notes }: AuditReport): string[] {
  if (findings.length === 0) return []
  const first = findings.filter(({ severity }) => severity === 'error').slice(0, ROWS_MAX)
  const rest = findings.filter(({ severity }) => severity === 'note').slice(0, ROWS_MAX - first.length)
  const chosen = new Set([...first, ...rest])
  const shown = findings.filter((finding) => chosen.has(finding))
  const more = errors + notes - shown.length
  return [
    ...table(shown),
    '',
    ...(more === 0 ? [] : [`and ${plural(more, 'more finding')}; --json lists up to 10000 of each kind`, '']),
  ]
}

interface Column {
  readonly title: string
  readonly isNumber: boolean
  readonly cell: (finding: AuditFinding) => string
}

const text = (value: number | string | undefined) => (value === undefined ? '' : String(value))

const COLUMNS: readonly Column[] = [
  { title: 'line', isNumber: true, cell: ({ line }) => text(line) },
  { title: 'seq', isNumber: true, cell: ({ seq }) => text(seq) },
  { title: 'time', isNumber: true, cell: ({ time }) => time?.toFixed(6) ?? '' },
  { title: 'severity', isNumber: false, cell: ({ severity }) => severity },
  { title: 'vCPU', isNumber: true, cell: ({ vcpu }) => text(vcpu) },
  { title: 'actor', isNumber: false, cell: ({ actor }) => text(actor) },
  { title: 'register', isNumber: false, cell: ({ register }) => text(register) },
  { title: 'what', isNumber: false, cell: sentence },
]

function sentence({ text, invariant, rule, other, other_line, uncertain }: AuditFinding): string {
  const name = invariant === rule ? rule : `${invariant} ${rule}`
  const side =
    other_line === undefined ? '' : ` (${other === undefined ? '' : `${other}: `}line ${other_line})`
  return `${text}${side} [${name}]${uncertain === undefined ? '' : `; uncertain: ${uncertain}`}`
}

/** Columns that nobody has anything in are left out. */
function table(findings: readonly AuditFinding[]): string[] {
  const columns = COLUMNS.flatMap(({ title, isNumber, cell }) => {
    const cells = findings.map(cell)
    if (cells.every((each) => each === '')) return []
    const all = [title, ...cells]
    const width = Math.max(...all.map((each) => each.length))
    return [all.map((each) => (isNumber ? each.padStart(width) : each.padEnd(width)))]
  })
  return columns[0].map((_, row) =>
    columns
      .map((column) => column[row])
      .join('  ')
      .trimEnd(),
  )
}

/** Rules that lack the same thing stand on one line. */
function notCheckedLines({ not_checked }: AuditReport): string[] {
  const byWhy = new Map<string, string[]>()
  for (const { rule, invariant, why } of not_checked) {
    const name = invariant === rule ? rule : `${invariant} ${rule}`
    byWhy.set(why, [...(byWhy.get(why) ?? []), name])
  }
  const lines = [...byWhy].map(([why, names]) => `  ${why}: ${names.join(', ')}`)
  return lines.length === 0 ? [] : ['not checked', ...lines, '']
}
