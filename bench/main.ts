// `npm run bench [-- core|rest|memory|scale|stream ...] [--json]`: each figure beside its baseline.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { bundled } from '../scripts/bundled.js'
import { tuneV8 } from '../src/cli/tune-v8.js'
import { type Row, table } from './measure.js'

/** Sections run in processes of their own: what one compiles and allocates does not weigh on the next. */
const SECTIONS: Readonly<Record<string, () => Promise<Row[]>>> = {
  core: async () => (await import('./core.js')).coreRows('kvm-synic2'),
  'core-tlfs': async () => (await import('./core.js')).coreRows('tlfs'),
  'core-qemu': async () => (await import('./core.js')).coreRows('qemu'),
  'core-openvmm': async () => (await import('./core.js')).coreRows('openvmm'),
  rest: async () => (await import('./rest.js')).restRows(),
  memory: async () => (await import('./memory.js')).memoryRows(),
  audit: async () => (await import('./audit.js')).auditRows(),
  scale: async () => (await import('./scale.js')).scaleRows(),
  clock: async () => (await import('./clock.js')).clockRows(),
  'stream-ops': async () => (await import('./stream/ops.js')).opRows(),
  'stream-fan-out': async () => (await import('./stream/fan-out.js')).fanOutRows(),
  'stream-delivery': async () => (await import('./stream/delivery.js')).deliveryRows(),
  'stream-idle': async () => (await import('./stream/idle.js')).idleRows(),
  'stream-metering': async () => (await import('./stream/metering.js')).meteringRows(),
}

async function inChild(program: string, section: string): Promise<Row[]> {
  const child = fork(program, ['--section', section], { execArgv: ['--expose-gc'] })
  const [rows] = (await once(child, 'message')) as [Row[]]
  return rows
}

async function main(args: readonly string[]): Promise<void> {
  if (args[0] === '--section') {
    tuneV8()
    process.send?.(await SECTIONS[args[1]]())
    process.disconnect()
    return
  }
  const json = args.includes('--json')
  const named = args.filter((arg) => !arg.startsWith('--'))
  const strange = named.filter((name) => !Object.keys(SECTIONS).some((section) => section.startsWith(name)))
  if (strange.length > 0) {
    process.stderr.write(
      `bench: no section ${strange.join(', ')}; there are ${Object.keys(SECTIONS).join(', ')}\n`,
    )
    process.exit(2)
  }
  const chosen = Object.keys(SECTIONS).filter(
    (name) => named.length === 0 || named.some((n) => name.startsWith(n)),
  )
  const machine = {
    cpu: cpus()[0].model,
    cores: cpus().length,
    node: process.version,
    date: new Date().toISOString(),
  }
  // What is measured is what ships: another compiler's output can be half as fast.
  const program = await bundled('bench/main.ts')
  const rows: Row[] = []
  for (const section of chosen) {
    process.stderr.write(`${section} ...\n`)
    rows.push(...(await inChild(program, section)))
  }
  if (json) process.stdout.write(`${JSON.stringify({ machine, rows }, null, 2)}\n`)
  else process.stdout.write(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}\n${table(rows)}\n`)
}

await main(process.argv.slice(2))
