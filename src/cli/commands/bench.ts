/** `synicd bench`: what an op costs on this machine, profile by profile. */
import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { promisify } from 'node:util'
import { Command, InvalidArgumentError, Option } from 'commander'
import { costOf, cyclesOf } from '../../bench/core.js'
import { VCPUS } from '../../bench/cycles.js'
import { type BenchReport, benchText, type ProfileCosts } from '../../bench/report.js'
import { PROFILE_NAMES, type ProfileName } from '../../synic/profile.js'
import type { Terminal } from '../program.js'

const EXAMPLES = `
Op records are applied to a partition of ${VCPUS} vCPUs in this process: no
sockets, no JSON. "audited" is the same with the auditor watching, as it does
in partitions that are made without "audit": "off". Of each, the median of
nine rounds in turn; "slowest" is the slowest round and tells whether the
machine was busy. A profile has a process of its own, so that none warms up
another's code. What a server carries over its sockets: synicd load.

Examples:
  synicd bench
  synicd bench --profile kvm-synic2 --seconds 10
  synicd bench --json > today.json`

/** Without `kvm`, which is `kvm-synic2` behind a capability. */
const PROFILES = PROFILE_NAMES.filter((name) => name !== 'kvm')
const SECONDS_MAX = 3600

interface Flags {
  readonly profile?: ProfileName
  readonly seconds: number
  readonly json?: boolean
  readonly inProcess?: boolean
}

const run = promisify(execFile)
const CLEAR = '\r\x1b[K'

export function benchCommand(terminal: Terminal): Command {
  return (
    new Command('bench')
      .description('measure what ops cost on this machine')
      .addOption(new Option('--profile <name>', 'this profile only').choices(PROFILE_NAMES))
      .addOption(
        new Option('--seconds <count>', 'about how long it may take in all, at most')
          .argParser(secondsOf)
          .default(15),
      )
      .option('--json', 'print one JSON document')
      // For what this command starts itself.
      .addOption(new Option('--in-process').hideHelp())
      .addHelpText('after', EXAMPLES)
      .action((flags: Flags) => bench(terminal, flags))
  )
}

function secondsOf(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && value > 0 && value <= SECONDS_MAX) return value
  throw new InvalidArgumentError(`give a number of seconds, more than 0 and at most ${SECONDS_MAX}`)
}

async function bench({ stdout, stderr, exit }: Terminal, flags: Flags): Promise<void> {
  const profiles = flags.profile === undefined ? PROFILES : [flags.profile]
  const seconds = flags.seconds / profiles.length
  const results: ProfileCosts[] = []
  for (const profile of profiles) {
    if (stderr.isTTY === true)
      stderr.write(`${CLEAR}${profile}, ${results.length + 1} of ${profiles.length} ...`)
    results.push(flags.inProcess === true ? measure(profile, seconds) : await inChild(profile, seconds))
  }
  if (stderr.isTTY === true) stderr.write(CLEAR)
  const machine = { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: cpus().length, node: process.version }
  const document: BenchReport = { machine, vcpus: VCPUS, unit: 'ns', results }
  stdout.write(flags.json === true ? `${JSON.stringify(document, null, 2)}\n` : benchText(document))
  exit(0)
}

function measure(profile: ProfileName, seconds: number): ProfileCosts {
  const cycles = cyclesOf(profile)
  return { profile, cycles: cycles.map((cycle) => costOf(profile, cycle, (seconds * 1000) / cycles.length)) }
}

/** This program once more, for one profile. */
async function inChild(profile: ProfileName, seconds: number): Promise<ProfileCosts> {
  const args = ['bench', '--profile', profile, '--seconds', `${seconds}`, '--json', '--in-process']
  const { stdout } = await run(process.execPath, [...process.execArgv, process.argv[1], ...args])
  return (JSON.parse(stdout) as BenchReport).results[0]
}
