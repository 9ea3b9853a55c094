/** Figures of `synicd bench` as people read them. */
import type { CycleCost } from './core.js'

export interface ProfileCosts {
  readonly profile: string
  readonly cycles: readonly CycleCost[]
}

export interface BenchReport {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly node: string }
  /** Of each partition. */
  readonly vcpus: number
  /** Of all times: nanoseconds a cycle. */
  readonly unit: 'ns'
  readonly results: readonly ProfileCosts[]
}

const NAME_WIDTH = 44
const CELL_WIDTH = 11

const ns = (value: number) => (value < 100 ? value.toFixed(1) : value.toFixed(0))
const row = (name: string, cells: readonly string[]) =>
  `${name.padEnd(NAME_WIDTH)}${cells.map((cell) => cell.padStart(CELL_WIDTH)).join('')}`

export function benchText({ machine, vcpus, results }: BenchReport): string {
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`,
    `one thread, ${vcpus} vCPUs; nanoseconds a cycle`,
  ]
  for (const { profile, cycles } of results) {
    lines.push('', row(profile, ['ns', 'slowest', 'M ops/s', 'audited', 'ratio']))
    for (const { what, ops, bare, audited } of cycles) {
      const millions = (ops * 1000) / bare.median
      const ratio = audited.median / bare.median
      const cells = [ns(bare.median), ns(bare.max), millions.toFixed(1), ns(audited.median), ratio.toFixed(2)]
      lines.push(row(`  ${what}`, cells))
    }
  }
  return `${lines.join('\n')}\n`
}
