/** The form of a conformance row: a script for each profile that its row of docs/profiles.md names. */
import type { ProfileName } from '../../../src/synic/profile.js'
import type { MachineSetup } from '../../support/machine.js'
import type { Step } from '../../support/script.js'

export const COLUMNS = ['kvm-synic', 'kvm-synic2', 'qemu', 'openvmm', 'tlfs'] as const
export type Column = (typeof COLUMNS)[number]
export const K1 = 'kvm-synic'
export const K2 = 'kvm-synic2'
export const Q = 'qemu'
export const O = 'openvmm'
export const T = 'tlfs'
export const KVM: readonly Column[] = [K1, K2, Q]
export const ALL: readonly Column[] = [...COLUMNS]

/** A machine made otherwise than the column says. `kvm` is KVM before its capability is enabled. */
export type CaseSetup = Partial<MachineSetup> & { readonly profile?: ProfileName }

export interface RowCase {
  readonly columns: readonly Column[]
  /** What this profile does, as the test's name. */
  readonly why: string
  readonly steps: readonly Step[]
  readonly setup: CaseSetup
  /** Steps on the machine that this one is migrated to. */
  readonly afterwards: readonly Step[]
}

export interface Row {
  readonly row: number | '101a'
  readonly cases: readonly RowCase[]
}

export function on(
  columns: Column | readonly Column[],
  why: string,
  steps: readonly Step[],
  setup: CaseSetup = {},
): RowCase {
  return { columns: typeof columns === 'string' ? [columns] : columns, why, steps, setup, afterwards: [] }
}

/** A case that goes on elsewhere: the machine is migrated between the two scripts. */
export function migrated(
  columns: Column | readonly Column[],
  why: string,
  steps: readonly Step[],
  afterwards: readonly Step[],
): RowCase {
  return { ...on(columns, why, steps), afterwards }
}

export const row = (number: number | '101a', ...cases: readonly RowCase[]): Row => ({ row: number, cases })
