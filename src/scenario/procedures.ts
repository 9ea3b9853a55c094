/** Every procedure that a scenario may run, by name. */
import { OTHER_PROCEDURES } from '../drivers/other-procedures.js'
import { PROCEDURES, type Procedure, type VcpuChoice } from '../drivers/procedures.js'
import { paramsTaken } from './procedure-params.js'

const ALL: Readonly<Record<string, Procedure>> = { ...PROCEDURES, ...OTHER_PROCEDURES }

export function procedureOf(name: string): Procedure | undefined {
  return Object.hasOwn(ALL, name) ? ALL[name] : undefined
}

export interface ProcedureView {
  readonly name: string
  readonly says: string
  /** Which vCPUs it acts on. */
  readonly chooses: VcpuChoice
  /** Parameters, by name. */
  readonly takes: readonly string[]
}

/** All of them, for people. */
export function procedureList(): ProcedureView[] {
  return Object.entries(ALL).map(([name, procedure]) => {
    const { says, chooses } = procedure
    return { name, says, chooses, takes: paramsTaken(name, procedure) }
  })
}
