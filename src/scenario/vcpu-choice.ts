/** On which vCPUs a procedure may be run: those that are there, as many as it chooses from. */
import type { ParamValues } from '../api/scenario.js'
import type { Procedure } from '../drivers/procedures.js'

/** The kernel that runs a procedure unless its step names one. */
export const FIRST_KERNEL = 'linux'

/** Which vCPUs there are, before a step. */
export interface Roster {
  /** Ascending. */
  readonly there: readonly number[]
  /** Those of each kernel that has begun. */
  readonly kernels: ReadonlyMap<string, readonly number[]>
}

/** A field of `with`, and what is wrong with it; no field: with the procedure here and now. */
export interface FieldProblem {
  readonly field?: string
  readonly message: string
}

const ascending = (vcpus: readonly number[]) => [...vcpus].sort((a, b) => a - b)
const words = (vcpus: readonly number[]) => `vCPU${vcpus.length === 1 ? '' : 's'} ${vcpus.join(', ')}`

/** The vCPUs of a kernel that begins with this procedure. */
export function kernelVcpus({ chooses }: Procedure, { vcpus }: ParamValues, { there }: Roster): number[] {
  return ascending(chooses === 'boot' && Array.isArray(vcpus) ? vcpus : there)
}

/** The first vCPU named that is not there. */
export function noVcpu(vcpus: readonly number[], { there }: Roster): string | undefined {
  const missing = vcpus.find((vcpu) => !there.includes(vcpu))
  if (missing === undefined) return undefined
  const has = there.length === 0 ? 'none' : words(there)
  return `there is no vCPU ${missing}: the partition has ${has} here; see partition/vcpus, or create it first`
}

/** What is wrong with the vCPUs that a procedure is given; the fields are of the right shape. */
export function vcpusProblem(
  name: string,
  { chooses }: Procedure,
  kernel: string,
  given: ParamValues,
  roster: Roster,
): FieldProblem | undefined {
  if (roster.there.length === 0) return { message: 'the partition has no vCPU here: create one first' }
  for (const field of ['vcpus', 'polled']) {
    const message = noVcpu((given[field] as number[] | undefined) ?? [], roster)
    if (message !== undefined) return { field, message }
  }
  const { vcpus } = given
  if (!Array.isArray(vcpus)) return undefined
  if (chooses === 'one' && vcpus.length !== 1) {
    return { field: 'vcpus', message: `${name} acts on one vCPU: name one, such as [${vcpus[0]}]` }
  }
  const known = roster.kernels.get(kernel)
  if (chooses !== 'boot' || known === undefined || `${ascending(vcpus)}` === `${known}`) return undefined
  const message =
    `${name} acts on all that its kernel has, and ${kernel} has begun with ${words(known)}: ` +
    'leave vcpus out, name another kernel, or give vcpus where this one begins'
  return { field: 'vcpus', message }
}
