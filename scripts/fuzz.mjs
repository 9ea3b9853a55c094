// `npm run fuzz [-- SEED [FILE ...]]`: every property with a fresh seed, or a given one, and many times the runs.
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const TIMES = 20
const root = join(import.meta.dirname, '..')

const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .map((path) => join('test', path))
  .filter(
    (path) =>
      path.endsWith('.test.ts') && readFileSync(join(root, path), 'utf8').includes("/support/property.js'"),
  )

const [seed = randomInt(2 ** 31), ...chosen] = process.argv.slice(2)
console.log(`seed ${seed}; again with: npm run fuzz -- ${[seed, ...chosen].join(' ')}`)
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...(chosen.length > 0 ? chosen : files),
    '--testTimeout=0',
    '--reporter=default',
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, FUZZ_SEED: String(seed), FUZZ_TIMES: String(TIMES) },
  },
)
console.log(`seed ${seed}`)
process.exitCode = status ?? 1
