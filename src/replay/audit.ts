// Audits a recording: replays it in this process and reports what rules say of it, and how sure that is.
import { readFile } from 'node:fs/promises'
import type { AuditReport } from './audit-report.js'
import { scopeOf } from './audit-scope.js'
import { type AuditSetup, AuditTarget } from './audit-target.js'
import { ReplayInputError, reasonOf } from './input-error.js'
import { parseSnapshot, type ReplayOptions, type ReplayReport, replayFile } from './replay.js'

export interface AuditOptions
  extends AuditSetup,
    Omit<ReplayOptions, 'url' | 'token' | 'target' | 'keepGoing'> {
  /** The trace is whole: what is left over at its end is judged too. */
  readonly settled?: boolean | undefined
}

export async function auditFile(path: string, options: AuditOptions): Promise<AuditReport> {
  const target = new AuditTarget(options)
  const replay = await replayFile(path, { ...options, keepGoing: true, target })
  target.finish()
  const settled = options.settled === true
  if (settled && target.source === 'trace') target.settle()
  return reportOf(replay, target, settled)
}

function reportOf(replay: ReplayReport, target: AuditTarget, settled: boolean): AuditReport {
  const { source, counts, unlisted } = target
  const uncertain = [...doubtsOf(replay), ...target.uncertain]
  const scope = scopeOf(source, { hasActors: target.hasActors, settled, found: target.found })
  const mismatch = mismatchOf(replay)
  const findings = target.findings.map((finding) => {
    const isLed = mismatch !== undefined && finding.line >= mismatch.first_line
    if (!isLed || finding.severity !== 'error') return finding
    const why = `the machine went another way at line ${mismatch.first_line}`
    return { ...finding, severity: 'note' as const, uncertain: why }
  })
  // Beyond the list nobody knows which came first: after a mismatch none of them is an error.
  const moreErrors = mismatch === undefined ? unlisted.error : 0
  const moreNotes = unlisted.error + unlisted.note - moreErrors
  const errors = findings.filter(({ severity }) => severity === 'error').length + moreErrors
  return {
    file: replay.file,
    source,
    ...(replay.profile === undefined ? {} : { profile: replay.profile }),
    ...(replay.kind === undefined ? {} : { kind: replay.kind }),
    replayed: replay.format === 'trace' ? replay.ops : replay.lines.total,
    errors,
    notes: counts.error + counts.note - errors,
    findings,
    not_listed: { errors: moreErrors, notes: moreNotes },
    certainty: uncertain.length === 0 ? 'exact' : 'lowered',
    uncertain,
    warnings: target.warnings,
    checked: [...scope.checked],
    not_checked: [...scope.notChecked],
  }
}

/** Where the recording and the simulation part. */
function mismatchOf(replay: ReplayReport): AuditReport['uncertain'][number] | undefined {
  const isTrace = replay.format === 'trace'
  const count = isTrace ? replay.differences : replay.mismatch_count
  if (count === 0) return undefined
  const lines = (isTrace ? replay.listed : replay.mismatches).map(({ line }) => line)
  return {
    what: 'the machine went another way (synicd replay shows it)',
    count,
    first_line: Math.min(...lines),
  }
}

function doubtsOf(replay: ReplayReport): AuditReport['uncertain'] {
  const mismatch = mismatchOf(replay)
  const others = replay.format === 'trace' ? [] : replay.uncertain
  return mismatch === undefined ? [...others] : [mismatch, ...others]
}

/** The state a log begins from, for the command line. */
export async function readSnapshot(path: string): Promise<object> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new ReplayInputError(`--snapshot: cannot read ${path}: ${reasonOf(error)}`)
  })
  return parseSnapshot(path, text)
}
