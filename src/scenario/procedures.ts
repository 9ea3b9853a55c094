/** Every procedure that a scenario may run, by name. */
import type { Kernel } from '../drivers/kernel.js'
import { OTHER_PROCEDURES } from '../drivers/other-procedures.js'
import { type Params, PROCEDURES } from '../drivers/procedures.js'
import type { Strand } from '../drivers/step.js'
import { paramsTaken } from './procedure-params.js'

export type AnyProcedure = ((kernel: Kernel, params: Params) => Strand<unknown>) & { readonly says?: string }

const ALL: Readonly<Record<string, AnyProcedure>> = { ...PROCEDURES, ...OTHER_PROCEDURES }

export function procedureOf(name: string): AnyProcedure | undefined {
  return Object.hasOwn(ALL, name) ? ALL[name] : undefined
}

/** Names, what each does and what it takes besides `vcpus`, for people. */
export function procedureList(): { name: string; says: string; takes: readonly string[] }[] {
  return Object.entries(ALL).map(([name, { says = '' }]) => ({ name, says, takes: paramsTaken(name) }))
}
