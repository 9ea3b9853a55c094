// An audit's report in SARIF 2.1.0 (OASIS), for code hosts and editors that list findings.
import { createHash } from 'node:crypto'
import { isAbsolute, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { AuditFinding, AuditReport } from './audit-report.js'
import { installedVersion } from './installed.js'

const SCHEMA = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json'

const ruleId = ({ invariant, rule }: { invariant: string; rule: string }) => `synicd/${invariant}/${rule}`

export function sarifOf(report: AuditReport): object {
  const version = installedVersion()
  const ids = report.checked.map(ruleId)
  const uri = uriOf(report.file)
  const seen = new Map<string, number>()
  return {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: { name: 'synicd', version, semanticVersion: version, rules: rulesOf(report) },
        },
        invocations: [{ executionSuccessful: true, toolExecutionNotifications: notificationsOf(report) }],
        artifacts: [{ location: { uri } }],
        results: report.findings.map((finding) => resultOf(finding, uri, ids, seen)),
        properties: { certainty: report.certainty, notListed: report.not_listed },
      },
    ],
  }
}

/** The help is a text: an address would be one on the machine that wrote it. */
function rulesOf({ checked }: AuditReport): object[] {
  return checked.map((rule) => ({
    id: ruleId(rule),
    name: rule.rule,
    shortDescription: { text: rule.holds },
    help: {
      text: `${rule.invariant}: ${rule.holds} docs/invariants.md of synicd lists what each rule watches.`,
    },
  }))
}

/** What was not meant so, what lowers the certainty, and what could not be judged. */
function notificationsOf({ warnings, uncertain, checked, not_checked }: AuditReport): object[] {
  const note = (text: string) => ({ level: 'note', message: { text } })
  const doubtful = checked.filter((rule) => rule.uncertain !== undefined)
  return [
    ...warnings.map((text) => ({ level: 'warning', message: { text } })),
    ...uncertain.map(({ what, count, first_line }) => note(`${count} × ${what} (first: line ${first_line})`)),
    ...doubtful.map((rule) => note(`not for certain: ${ruleId(rule)}: ${rule.uncertain}`)),
    ...not_checked.map((each) => note(`not checked: ${ruleId(each)}: ${each.why}`)),
  ]
}

function resultOf(
  finding: AuditFinding,
  uri: string,
  ids: readonly string[],
  seen: Map<string, number>,
): object {
  const { line, severity, text, uncertain, other, other_line, vcpu, actor, register, time } = finding
  const at = (startLine: number) => ({
    physicalLocation: { artifactLocation: { uri, index: 0 }, region: { startLine } },
  })
  const id = ruleId(finding)
  const index = ids.indexOf(id)
  const earlier = { text: other === undefined ? 'the earlier op' : `the earlier op of ${other}` }
  return {
    ruleId: id,
    ...(index < 0 ? {} : { ruleIndex: index }),
    level: severity,
    message: { text: uncertain === undefined ? text : `${text} (uncertain: ${uncertain})` },
    locations: [at(line)],
    ...(other_line === undefined
      ? {}
      : { relatedLocations: [{ id: 1, message: earlier, ...at(other_line) }] }),
    partialFingerprints: { 'synicdFinding/v1': fingerprint(id, finding, seen) },
    properties: { seq: finding.seq, time, vcpu, actor, other, register },
  }
}

/** The same finding in a longer recording of the same run: without lines, and numbered among its like. */
function fingerprint(id: string, finding: AuditFinding, seen: Map<string, number>): string {
  const { vcpu, actor, other, register, text } = finding
  const hash = createHash('sha256')
    .update(JSON.stringify([id, vcpu, actor, other, register, text]))
    .digest('hex')
  const number = (seen.get(hash) ?? 0) + 1
  seen.set(hash, number)
  return `${hash.slice(0, 32)}:${number}`
}

function uriOf(path: string): string {
  if (isAbsolute(path)) return pathToFileURL(path).href
  return path.split(sep).map(encodeURIComponent).join('/')
}
