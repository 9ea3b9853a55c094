/** Flags and environment to a frozen, validated Config; the only reader of process.env. */
import { z } from 'zod'
import { didYouMean } from './api/did-you-mean.js'
import { DEFAULT_LIMITS } from './engine/limits.js'
import { DEFAULT_SESSION_LIMITS } from './streams/session.js'
import { LOG_LEVELS } from './telemetry/logger.js'

const MIB = 1024 * 1024

function whole(min: number, max: number) {
  const error = `give a whole number from ${min} to ${max}`
  return z.coerce.number({ error }).int({ error }).min(min, { error }).max(max, { error })
}

/** Names of hosts, or any. */
const HOST_LIST = /^(?:\*|[\w-]+(?:\.[\w-]+)*\.?(?: *, *[\w-]+(?:\.[\w-]+)*\.?)*)$/

/** One setting: how its text is read, its default, and what `--help` says of it. */
interface Setting {
  readonly schema: z.ZodType
  readonly fallback: string | number | boolean
  readonly help: string
}

/** Every setting by flag name; `--log-level` is also SYNICD_LOG_LEVEL. */
export const SETTINGS = {
  host: {
    schema: z.string().min(1, { error: 'give an address' }),
    fallback: '127.0.0.1',
    help: 'address to listen on',
  },
  port: { schema: whole(0, 65_535), fallback: 8440, help: 'port to listen on; 0 = any free one, printed' },
  'log-level': {
    schema: z.enum(LOG_LEVELS, { error: 'there is no such level' }),
    fallback: 'info',
    help: `one of ${LOG_LEVELS.join(', ')}`,
  },
  insecure: {
    schema: z.union([z.boolean(), z.enum(['true', 'false', '1', '0'])], {
      error: 'give true, false, 1 or 0',
    }),
    fallback: false,
    help: 'listen without authentication on an address other machines can reach',
  },
  'allowed-hosts': {
    schema: z.string().regex(HOST_LIST, { error: 'give names with commas between, without ports, or *' }),
    fallback: 'auto',
    help: 'names with a dot that it may be called by; * = any, auto = any with --insecure, else none',
  },
  'max-partitions': {
    schema: whole(1, 1e6),
    fallback: DEFAULT_LIMITS.partitionsMax,
    help: 'partitions hosted',
  },
  'max-vcpus': { schema: whole(1, 1e7), fallback: DEFAULT_LIMITS.vcpusMax, help: 'vCPUs of all partitions' },
  'max-memory-pages': {
    schema: whole(1, 1e8),
    fallback: DEFAULT_LIMITS.memoryPagesMax,
    help: 'pages of guest memory a partition may touch, 4 KiB each',
  },
  'max-body-bytes': { schema: whole(1024, 1024 * MIB), fallback: 64 * MIB, help: 'largest request body' },
  'max-ops': { schema: whole(1, 1e6), fallback: DEFAULT_LIMITS.opsPerBatchMax, help: 'ops in one batch' },
  'max-rate': { schema: whole(0, 1e9), fallback: 0, help: 'requests a second and client; 0 = no limit' },
  'log-ops': {
    schema: whole(0, 1e9),
    fallback: DEFAULT_LIMITS.logOpsMax,
    help: 'ops the log of a partition keeps at least; 512 more at most',
  },
  'log-bytes': {
    schema: whole(0, 1e12),
    fallback: DEFAULT_LIMITS.logBytesMax,
    help: 'bytes that log may take',
  },
  'max-streams': { schema: whole(0, 1e6), fallback: 16_384, help: 'streams that are open at a time' },
  'stream-ring': {
    schema: whole(1, 1e8),
    fallback: DEFAULT_LIMITS.streamRing,
    help: 'notifications a partition keeps for streams that come back',
  },
  'stream-budget-bytes': {
    schema: whole(64 * 1024, 1024 * MIB),
    fallback: DEFAULT_SESSION_LIMITS.budgetBytes,
    help: 'bytes a stream may leave unread before it misses notifications; at four times as many it ends',
  },
  'drain-seconds': {
    schema: whole(0, 3600),
    fallback: 10,
    help: 'time given to requests in flight at SIGTERM',
  },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof SETTINGS

export interface Config {
  readonly host: string
  readonly port: number
  readonly logLevel: (typeof LOG_LEVELS)[number]
  readonly insecure: boolean
  /** Names besides addresses and names without a dot; `*` means any. */
  readonly allowedHosts: readonly string[]
  readonly maxPartitions: number
  readonly maxVcpus: number
  readonly maxMemoryPages: number
  readonly maxBodyBytes: number
  readonly maxOps: number
  readonly maxRate: number
  readonly logOps: number
  readonly logBytes: number
  readonly maxStreams: number
  readonly streamRing: number
  readonly streamBudgetBytes: number
  readonly drainSeconds: number
}

/** A setting that stops the start, told in one line. */
export class ConfigError extends Error {}

export function environmentName(name: string): string {
  return `SYNICD_${name.toUpperCase().replaceAll('-', '_')}`
}

const camelCase = (name: string) => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/

/**
 * Flags win over environment, environment over defaults.
 * @param flags by camel-case name, as the command line parser gives them
 * @throws ConfigError with one line that names the flag, the value and the rule
 */
export function loadConfig(flags: Record<string, unknown>, env: NodeJS.ProcessEnv = process.env): Config {
  const values = Object.entries(SETTINGS).map(([name, setting]) => {
    const flag = flags[camelCase(name)]
    const variable = environmentName(name)
    const given = flag ?? env[variable]
    if (given === undefined) return [camelCase(name), setting.fallback]
    const parsed = setting.schema.safeParse(given)
    if (!parsed.success || given === '') {
      const source = flag === undefined ? variable : `--${name}`
      const rule = parsed.error?.issues[0]?.message ?? 'give a value'
      throw new ConfigError(`${source}: "${given}" is not valid: ${rule} (${setting.help})`)
    }
    return [camelCase(name), parsed.data]
  })
  const { insecure: said, allowedHosts, ...rest } = Object.fromEntries(values)
  const insecure = said === true || said === 'true' || said === '1'
  const config: Config = { ...rest, insecure, allowedHosts: hostList(allowedHosts, insecure) }
  refuseUnknown(env)
  if (!config.insecure && !LOOPBACK.test(config.host)) {
    throw new ConfigError(
      `--host: ${config.host} can be reached by other machines, and no authentication is configured; ` +
        'say --insecure if that is meant',
    )
  }
  return Object.freeze(config)
}

/** Who may be reached by other machines may have any name among them, unless it is said which. */
function hostList(names: string, insecure: boolean): string[] {
  if (names === 'auto') return insecure ? ['*'] : []
  return names.split(/ *, */)
}

/** A misspelt variable would otherwise be a setting silently not made. */
function refuseUnknown(env: NodeJS.ProcessEnv): void {
  const known = new Set(Object.keys(SETTINGS).map(environmentName))
  const stranger = Object.keys(env).find((name) => name.startsWith('SYNICD_') && !known.has(name))
  if (stranger === undefined) return
  throw new ConfigError(`${stranger}: no such setting${didYouMean(stranger, [...known])}`)
}
