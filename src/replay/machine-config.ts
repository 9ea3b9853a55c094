// What machine a trace is replayed on: its header's word, and the caller's over it.
import { z } from 'zod'
import { gpaLimitPages, PartitionCreate } from '../api/partition.js'
import type { PartitionKind } from '../hv/cpuid.js'
import { GPA_LIMIT_DEFAULT_PAGES, GPA_PAGE_BYTES } from '../hv/limits.js'
import type { OptionOverrides, ProfileName } from '../synic/profile.js'
import { ReplayInputError } from './input-error.js'
import type { TargetConfig } from './target.js'

/** What the caller says over the header: `--profile`, `--kind`, `--option`. */
export interface Overrides {
  readonly profile?: ProfileName | undefined
  readonly kind?: PartitionKind | undefined
  readonly options?: OptionOverrides | undefined
}

const { profile, kind, gpa_limit, vcpus, options } = PartitionCreate.shape

/** A header, as golden traces and downloaded logs begin with; what else it says is for people. */
export const Header = z.looseObject({
  trace: z.string().optional(),
  profile,
  kind,
  gpa_limit,
  vcpus,
  options,
  base_seq: z.int().min(0).optional(),
})
export type Header = z.infer<typeof Header>

export function gpaLimitText(pages: number): string {
  return `0x${(BigInt(pages) * BigInt(GPA_PAGE_BYTES)).toString(16)}`
}

/** The machine of a JSON trace. */
export function configOf(header: Header, over: Overrides, snapshot: object | undefined): TargetConfig {
  return {
    profile: over.profile ?? header.profile ?? 'tlfs',
    kind: over.kind ?? header.kind ?? 'guest',
    gpaLimit: gpaLimitText(gpaLimitPages(header.gpa_limit) ?? GPA_LIMIT_DEFAULT_PAGES),
    vcpus: header.vcpus ?? 0,
    options: { ...header.options, ...over.options },
    ...(snapshot === undefined ? {} : { snapshot }),
  }
}

/** `--option name=value`, checked; `cpuid.eax=0x80` reaches into the leaf. */
export function parseOptions(pairs: readonly string[]): OptionOverrides {
  const given: Record<string, unknown> = {}
  const cpuid: Record<string, unknown> = {}
  for (const pair of pairs) {
    const [, name, text] = /^([a-z0-9_.]+)=(.*)$/.exec(pair) ?? []
    if (name === undefined || text === undefined) throw badOption(pair, 'must be written name=value')
    if (name.startsWith('cpuid.')) cpuid[name.slice('cpuid.'.length)] = readValue(text)
    else given[name] = readValue(text)
  }
  if (Object.keys(cpuid).length > 0) given.cpuid = cpuid
  const parsed = options.safeParse(given)
  if (parsed.success) return parsed.data ?? {}
  const [issue] = parsed.error.issues
  if (issue.code !== 'unrecognized_keys') {
    throw badOption(issue.path.join('.'), issue.message.replace(/^Invalid \w+: /, ''))
  }
  const known = Object.keys(options.unwrap().shape).filter((name) => name !== 'cpuid')
  throw badOption(issue.keys.join(', '), `is none of ${known.join(', ')}, cpuid.eax, cpuid.ebx, cpuid.edx`)
}

function badOption(what: string, why: string): ReplayInputError {
  return new ReplayInputError(`--option ${what}: ${why}`)
}

function readValue(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^(?:\d{1,10}|0x[0-9a-fA-F]{1,8})$/.test(text) ? Number(text) : text
}
