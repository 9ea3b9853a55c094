/** Every procedure that a scenario may run, by name. */
import { OTHER_PROCEDURES } from '../drivers/other-procedures.js'
import { PROCEDURES, type Procedure } from '../drivers/procedures.js'
import { paramsTaken } from './procedure-params.js'

const ALL: Readonly<Record<string, Procedure>> = { ...PROCEDURES, ...OTHER_PROCEDURES }

export function procedureOf(name: string): Procedure | undefined {
  return Object.hasOwn(ALL, name) ? ALL[name] : undefined
}

/** Names, what each does and what it takes, for people. */
export function procedureList(): { name: string; says: string; takes: readonly string[] }[] {
  return Object.entries(ALL).map(([name, procedure]) => ({
    name,
    says: procedure.says,
    takes: paramsTaken(name, procedure),
  }))
}
