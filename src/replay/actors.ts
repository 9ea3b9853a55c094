// Who acts in a kernel trace: which process is which driver, and what drivers claim, as a caller says it.
import { parseClaim } from '../api/op.js'
import { NAME_PATTERN, NAME_RULE } from '../api/wire.js'
import { ReplayInputError } from './input-error.js'

/** Drivers by the names of the processes that run them. */
export interface ActorMap {
  readonly exact: ReadonlyMap<string, string>
  /** Longest first. */
  readonly prefixes: readonly (readonly [prefix: string, actor: string])[]
}

export interface StartClaims {
  readonly actor: string
  readonly claims: readonly string[]
}

export function actorOf({ exact, prefixes }: ActorMap, comm: string): string | undefined {
  return exact.get(comm) ?? prefixes.find(([prefix]) => comm.startsWith(prefix))?.[1]
}

/** The pairs, as they were given, that none of these processes fits. */
export function unmatchedIn({ exact, prefixes }: ActorMap, comms: ReadonlySet<string>): string[] {
  const all = [...comms]
  return [
    ...[...exact].filter(([comm]) => !comms.has(comm)).map(([comm, actor]) => `${comm}=${actor}`),
    ...prefixes
      .filter(([prefix]) => !all.some((comm) => comm.startsWith(prefix)))
      .map(([prefix, actor]) => `${prefix}*=${actor}`),
  ]
}

export function actorNames({ exact, prefixes }: ActorMap): string[] {
  return [...exact.values(), ...prefixes.map(([, actor]) => actor)]
}

/** `--actor comm=name`; a star at the end of the process name stands for any rest. */
export function parseActors(pairs: readonly string[]): ActorMap {
  const exact = new Map<string, string>()
  const prefixes: [string, string][] = []
  for (const pair of pairs) {
    const [comm, actor] = splitPair('--actor', pair, 'process=actor')
    if (comm.endsWith('*')) prefixes.push([comm.slice(0, -1), actor])
    else exact.set(comm, actor)
  }
  prefixes.sort(([a], [b]) => b.length - a.length)
  return { exact, prefixes }
}

/** `--claims actor=REGISTER,REGISTER`. */
export function parseClaims(pairs: readonly string[]): StartClaims[] {
  const byActor = new Map<string, string[]>()
  for (const pair of pairs) {
    const [actor, list] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
    if (!pair.includes('=')) throw mistake('--claims', pair, 'must be written actor=REGISTER,REGISTER')
    checkName('--claims', actor)
    const claims = list.split(',').map((text) => text.trim())
    const wrong = claims.find((text) => parseClaim(text) === undefined)
    if (wrong !== undefined) {
      throw mistake('--claims', `"${wrong}"`, 'is no register; write SIMP, 0x40000083 or v1.SINT2')
    }
    byActor.set(actor, [...(byActor.get(actor) ?? []), ...claims])
  }
  return [...byActor].map(([actor, claims]) => ({ actor, claims }))
}

/** At the last sign: a process may have one in its name, an actor may not. */
function splitPair(flag: string, pair: string, form: string): [string, string] {
  const at = pair.lastIndexOf('=')
  if (at <= 0) throw mistake(flag, pair, `must be written ${form}`)
  const name = pair.slice(at + 1)
  checkName(flag, name)
  return [pair.slice(0, at), name]
}

function checkName(flag: string, name: string): void {
  if (!NAME_PATTERN.test(name)) throw mistake(flag, `"${name}"`, `an actor is ${NAME_RULE}`)
}

function mistake(flag: string, what: string, why: string): ReplayInputError {
  return new ReplayInputError(`${flag} ${what}: ${why}`)
}
