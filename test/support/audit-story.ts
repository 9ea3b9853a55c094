/** Stories of drivers at one SynIC, as a JSON trace and as kernel events, and what an audit says of them. */
import { Readable } from 'node:stream'
import { parseMsr } from '../../src/api/wire.js'
import { parseActors, parseClaims } from '../../src/replay/actors.js'
import { type AuditOptions, auditFile } from '../../src/replay/audit.js'
import { type AuditFinding, AuditReport } from '../../src/replay/audit-report.js'

/** Who, on which vCPU, which register, and what is written; undefined: it is read. */
export type Step = readonly [actor: 'vmbus' | 'mshv', vcpu: number, register: string, value?: number]

/** The kernel threads that run each driver in the stories. */
const THREADS = { vmbus: ['kworker/0:1', 77], mshv: ['modprobe', 912] } as const
export const ACTOR_FLAGS = ['--actor', 'kworker/*=vmbus', '--actor', 'modprobe=mshv']
const ACTORS = ['kworker/*=vmbus', 'modprobe=mshv']

const vmbusUp = (v: number): Step[] => [
  ['vmbus', v, 'SIMP', 0x1_0001 + v * 0x1_0000],
  ['vmbus', v, 'SIEFP', 0x1_1001 + v * 0x1_0000],
  ['vmbus', v, 'SINT2', 0xf3],
  ['vmbus', v, 'SCONTROL', 1],
]
const vmbusDown = (v: number): Step[] => [
  ['vmbus', v, 'SINT2', 0x1_00f3],
  ['vmbus', v, 'SIMP', 0],
  ['vmbus', v, 'SIEFP', 0],
  ['vmbus', v, 'SCONTROL', 0],
]
const mshvUp = (v: number): Step[] => [
  ['mshv', v, 'SINT0', 0xf3],
  ['mshv', v, 'SINT5', 0xf3],
]
const mshvDown = (v: number): Step[] => [
  ['mshv', v, 'SINT0', 0x1_00f3],
  ['mshv', v, 'SINT5', 0x1_00f3],
]

/** MSHV on L1VH takes VMBus's registers along at kexec (Linux before "limit SynIC management"). */
export const COLLISION: readonly Step[] = [
  ...vmbusUp(0),
  ['mshv', 0, 'SIEFP', 0x1_1000],
  ['mshv', 0, 'SIMP', 0x1_0000],
  ['mshv', 0, 'SCONTROL', 0],
  ...vmbusDown(0),
]

/** MSHV masks its own SINTs and nothing else. */
export const FIXED: readonly Step[] = [...vmbusUp(0), ...mshvUp(0), ...mshvDown(0), ...vmbusDown(0)]

/** As Linux goes about it: each register is read before it is written. On two vCPUs, and up again. */
export const LONG: readonly Step[] = [
  ...[0, 1].flatMap((v) => [...vmbusUp(v), ...mshvUp(v)]),
  ...[0, 1].flatMap((v): Step[] => [
    ...mshvDown(v),
    ['mshv', v, 'SIEFP', 0x1_1000 + v * 0x1_0000],
    ['mshv', v, 'SIMP', 0x1_0000 + v * 0x1_0000],
    ['mshv', v, 'SCONTROL', 0],
    ...vmbusDown(v),
  ]),
  ...[0, 1].flatMap((v) => [...vmbusUp(v), ...mshvUp(v), ...mshvDown(v), ...vmbusDown(v)]),
].flatMap((step): Step[] => [[step[0], step[1], step[2]], step])

export function traceOf(steps: readonly Step[], signed = true): string[] {
  const header = { trace: 'story', profile: 'tlfs', kind: 'l1vh', vcpus: 2 }
  const lines = steps.map(([actor, vcpu, msr, value], i) => {
    const what =
      value === undefined ? { op: 'msr.read' } : { op: 'msr.write', value: `0x${value.toString(16)}` }
    return { seq: i + 1, in: { ...what, vcpu, msr, ...(signed ? { actor } : {}) } }
  })
  return [header, ...lines].map((line) => JSON.stringify(line))
}

/** `msr:*` events; what is read is what was written last. */
export function eventsOf(steps: readonly Step[]): string[] {
  const values = new Map<string, number>()
  return steps.map(([actor, vcpu, register, value], i) => {
    const [comm, pid] = THREADS[actor]
    const key = `${vcpu}.${register}`
    const now = value ?? values.get(key) ?? (register.startsWith('SINT') ? 0x1_0000 : 0)
    values.set(key, now)
    const event = value === undefined ? 'read_msr' : 'write_msr'
    const body = `${parseMsr(register)?.toString(16)}, value ${now.toString(16)}`
    return `  ${comm}-${pid}   [00${vcpu}] ....  12.${String(100_000 + 50 * i)}: ${event}: ${body}`
  })
}

export interface AuditAsk extends Partial<Omit<AuditOptions, 'actors' | 'claims'>> {
  readonly actors?: readonly string[]
  readonly claims?: readonly string[]
}

export async function auditLines(lines: readonly string[], ask: AuditAsk = {}): Promise<AuditReport> {
  const { actors = ACTORS, claims = [], ...rest } = ask
  const stdin = Readable.from([Buffer.from(`${lines.join('\n')}\n`)])
  const options = { ...rest, actors: parseActors(actors), claims: parseClaims(claims), stdin }
  return AuditReport.parse(await auditFile('-', options))
}

export const errorsIn = ({ findings }: AuditReport): AuditFinding[] =>
  findings.filter(({ severity }) => severity === 'error')

/** `line rule actor/other@line`: both sides of each error. */
export const told = (report: AuditReport): string[] =>
  errorsIn(report).map(
    ({ line, rule, actor, other, other_line }) => `${line} ${rule} ${actor}/${other}@${other_line}`,
  )
