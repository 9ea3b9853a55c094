/** The snapshot document: its shape, and the values in it. Format and version change together with docs. */

import { fromBigInt } from '../hv/bits.js'
import type { PartitionKind } from '../hv/cpuid.js'
import type { Source } from './effects.js'
import type { RouteEntry } from './gsi-routes.js'
import type { Machine } from './machine.js'
import type { Options, ProfileName } from './profile.js'

export const SNAPSHOT_FORMAT = 'synicd-snapshot'
export const SNAPSHOT_VERSION = 1

/** A register file, by vCPU id; `nested` means the second file of a nested root. */
export interface SavedPlace {
  readonly vcpu: number
  readonly nested: boolean
}

export interface SavedMessage {
  /** Port id, or -1 host, -2 intercept, -3 - i timer i. */
  readonly owner: number
  readonly source: Source
  readonly type: number
  readonly sender: string
  readonly hex: string
}

export interface SavedFile {
  readonly scontrol: string
  readonly sversion: string
  readonly siefp: string
  readonly simp: string
  readonly sirbp: string
  readonly sints: readonly string[]
  readonly sint_to_gsi: readonly number[]
  readonly vectors: readonly number[]
  readonly auto_eoi_vectors: readonly number[]
  /** Words of layout.ts, taken over as they are. */
  readonly sint_masks: number
  readonly flags: number
  /** Overlay content, trailing zeros left out; null = never touched, or plain guest RAM. */
  readonly message_page: string | null
  readonly event_page: string | null
}

export interface SavedVcpu {
  readonly id: number
  readonly vp_index: number
  readonly files: readonly SavedFile[]
  readonly irr: readonly number[]
  readonly isr: readonly number[]
  readonly tpr: number
  readonly flags: number
  readonly vp_assist: string
  readonly timers: readonly {
    readonly config: string
    readonly count: string
    readonly exp_time: string
    /** When the host timer behind it fires; null = it does not run. */
    readonly deadline: number | null
  }[]
}

export interface SavedPort {
  readonly id: number
  readonly type: number
  /** 4294967295 = any. */
  readonly vp_index: number
  readonly sint: number
  readonly flag_base: number
  readonly flag_count: number
}

export interface SavedConnection {
  readonly id: number
  readonly port: number
  readonly doorbell: { readonly gpa: string; readonly value: string; readonly flags: number } | null
}

export interface SavedState {
  readonly format: typeof SNAPSHOT_FORMAT
  readonly version: typeof SNAPSHOT_VERSION
  readonly config: {
    readonly kind: PartitionKind
    readonly profile: ProfileName
    readonly gpa_limit: string
    readonly memory_pages_max: number
    readonly options: Options
  }
  readonly seq: number
  readonly now: number
  readonly paused: boolean
  readonly kernel: string
  readonly guest_os_id: string
  readonly hypercall: string
  readonly reference_tsc: string
  /** CRASH_P0 to P4, then CRASH_CTL. */
  readonly crash: readonly string[]
  /** Registers that only hold a value: row * 0x1000 + low twelve bits of the MSR. */
  readonly other_registers: readonly { readonly key: number; readonly value: string }[]
  readonly vcpus: readonly SavedVcpu[]
  readonly memory: readonly { readonly gpa: string; readonly hex: string }[]
  /** SynIC pages where they lie, oldest mapping first; page 0 = message, 1 = event flags. */
  readonly mapped_pages: readonly {
    readonly gpa: string
    readonly pages: readonly (SavedPlace & { readonly page: number })[]
  }[]
  readonly queues: readonly (SavedPlace & {
    readonly sint: number
    readonly messages: readonly SavedMessage[]
  })[]
  readonly qemu_routes: readonly (SavedPlace & {
    readonly sint: number
    readonly vp_index: number
    readonly gsi: number
    readonly staged: SavedMessage | null
  })[]
  readonly bottom_halves: readonly (SavedPlace & { readonly sint: number })[]
  readonly gsi_routes: readonly RouteEntry[]
  readonly irqfds: readonly { readonly gsi: number; readonly state: number }[]
  readonly eventfds: readonly number[]
  readonly ports: readonly SavedPort[]
  readonly connections: readonly SavedConnection[]
  readonly rings: readonly (SavedPlace & {
    readonly sint: number
    readonly head: number
    readonly waiting: readonly number[]
  })[]
  readonly split_deliveries: readonly (SavedPlace & {
    readonly sint: number
    readonly state: number
    readonly message: SavedMessage
  })[]
  readonly page_holders: readonly { readonly gpa: string; readonly actor: string }[]
  readonly actors: readonly {
    readonly name: string
    readonly claims: readonly { readonly vcpu: number; readonly msr: number }[]
  }[]
}

/** lo and hi of a u64 in a document. */
export function halvesOf(text: string): readonly [number, number] {
  const { lo, hi } = fromBigInt(BigInt(text))
  return [lo, hi]
}

/** Writes hex text into `to`, from its start. */
export function fillBytes(to: Uint8Array, hex: string): void {
  for (let i = 0; i < hex.length; i += 2) to[i >> 1] = Number.parseInt(hex.slice(i, i + 2), 16)
}

/** Puts the table back as it was; what SINTs notify was saved with them. */
export function restoreRoutes(m: Machine, entries: readonly RouteEntry[]): void {
  const highest = entries.reduce((max, { gsi }) => Math.max(max, gsi), -1)
  m.routes = new Int32Array((highest + 1) * 2)
  m.routed = new Uint8Array(highest + 1)
  for (const { gsi, vcpu, sint } of entries) {
    m.routed[gsi] = 1
    m.routes[2 * gsi] = vcpu
    m.routes[2 * gsi + 1] = sint
  }
}
