// Reports as a person reads them.
import type { WireOp } from '../api/op-decode.js'
import { CHECKS, type FtraceSummary, type Unknown } from './ftrace-report.js'
import type { ReplayReport } from './replay.js'
import type { PastOp, TraceDifference, TraceReport } from './trace-replay.js'

/** Characters of an op or value shown: a memory write can hold 128 KiB of hex. */
const SHOWN_MAX = 300

export function reportText(report: ReplayReport): string {
  const lines = report.format === 'trace' ? traceLines(report) : ftraceLines(report)
  return `${lines.join('\n')}\n`
}

const plural = (count: number, one: string, many = `${one}s`) => `${count} ${count === 1 ? one : many}`

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… (${text.length} characters)` : text
}

function opLine({ line, seq, op }: { line: number; seq: number; op: WireOp }): string {
  return `line ${line}, seq ${seq}: ${shown(op)}`
}

function differenceLines(file: string, difference: TraceDifference): string[] {
  const { line, seq, op, fields, before } = difference
  return [
    `${file}:${line}: the result of op ${seq} differs`,
    ...before.map((past: PastOp) => `  before  ${opLine(past)}`),
    `  op      ${shown(op)}`,
    ...fields.flatMap(({ field, expected, actual }) => [
      `  ${field}`,
      `    expected  ${shown(expected)}`,
      `    actual    ${shown(actual)}`,
    ]),
    '',
  ]
}

function traceLines(report: TraceReport): string[] {
  const { file, ops, compared, differences, listed, complete, description } = report
  const machine =
    report.profile === undefined
      ? 'machine of the snapshot'
      : `profile ${report.profile}, kind ${report.kind}`
  const more = differences - listed.length
  return [
    `${file}: ${description ?? 'trace'}`,
    `replayed in ${report.target}, ${machine}`,
    '',
    ...listed.flatMap((difference) => differenceLines(file, difference)),
    ...(more > 0 ? [`and ${plural(more, 'more difference')}`, ''] : []),
    `${plural(ops, 'op')} replayed, ${plural(compared, 'result')} compared: ` +
      plural(differences, 'difference'),
    ...(complete ? [] : ['stopped at the first difference; --keep-going shows all']),
  ]
}

const CHECK_NAMES: Readonly<Record<(typeof CHECKS)[number], string>> = {
  reads: 'register reads',
  writes: 'register writes that succeeded',
  faults: 'accesses that faulted, or should have',
  interrupts: 'interrupts raised and accepted',
  injections: 'interrupts taken',
  eois: 'EOIs',
  acknowledgements: 'acknowledgements of SINTs',
  timer_starts: 'timer starts',
  timer_expirations: 'timer expiries',
  hypercalls: 'hypercall statuses',
}

function section(title: string, entries: readonly string[]): string[] {
  return entries.length === 0 ? [] : [title, ...entries.map((entry) => `  ${entry}`), '']
}

const unknownLine = ({ what, count, first_line }: Unknown) => `${count} × ${what} (first: line ${first_line})`

function ftraceLines(report: FtraceSummary): string[] {
  const { file, lines, checked, mismatches, mismatch_count: mismatchCount } = report
  const where = report.source === 'host' ? 'kernel events of a KVM host' : "a guest kernel's own MSR accesses"
  const used = Object.entries(report.events_used).map(([event, count]) => `${event} ${count}`)
  const checks = CHECKS.filter((check) => checked[check] > 0)
  const total = checks.reduce((sum, check) => sum + checked[check], 0)
  const more = mismatchCount - mismatches.length
  return [
    `${file}: ${where}`,
    `replayed in ${report.target}, profile ${report.profile}, kind ${report.kind}, ` +
      plural(report.vcpus, 'vCPU'),
    `${plural(lines.total, 'line')}: ${plural(lines.events, 'event')}, ` +
      `${lines.comments} comments and blank, ${lines.unknown} not understood`,
    '',
    ...section('events used', used.length === 0 ? [] : [used.join(', ')]),
    ...section(
      'events skipped',
      report.events_skipped.map(({ event, why, count }) => `${event} ${count}: ${why}`),
    ),
    ...section(
      'checked',
      checks.map((check) => `${checked[check]} ${CHECK_NAMES[check]}`),
    ),
    ...section('not checked', report.not_checked.map(unknownLine)),
    ...mismatches.flatMap((mismatch) => [
      `${file}:${mismatch.line}: mismatch at ${mismatch.time.toFixed(6)} s`,
      `  ${mismatch.event}`,
      `  trace       ${mismatch.expected}`,
      `  simulation  ${mismatch.actual}`,
      `  ${mismatch.explanation}`,
      '',
    ]),
    ...(more > 0 ? [`and ${plural(more, 'more mismatch', 'more mismatches')}`, ''] : []),
    `certainty: ${report.certainty}`,
    ...report.uncertain.map((unknown) => `  ${unknownLine(unknown)}`),
    ...(report.adopted > 0
      ? [`${plural(report.adopted, 'register')} taken from the trace: set before the recording began`]
      : []),
    `${total} statements of the trace checked: ${plural(mismatchCount, 'mismatch', 'mismatches')}`,
  ]
}
