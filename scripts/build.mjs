// Compiles src and routes into an emptied dist, scenarios beside them; leaves dist alone where there is
// nothing to compile with.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const inRoot = (...parts) => join(root, ...parts)

/** npm runs `prepare` in an unpacked tarball and in a `--omit=dev` install too: dist is shipped there. */
function reasonToSkip() {
  if (!existsSync(inRoot('src', 'cli', 'main.ts'))) return 'no sources here'
  if (!existsSync(inRoot('node_modules', 'typescript'))) return 'typescript is not installed'
  return undefined
}

const skipped = reasonToSkip()
if (skipped !== undefined) {
  console.log(`build: skipped, ${skipped}`)
} else {
  rmSync(inRoot('dist'), { recursive: true, force: true })
  const tsc = inRoot('node_modules', 'typescript', 'bin', 'tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', inRoot('tsconfig.build.json')], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
  cpSync(inRoot('scenarios'), inRoot('dist', 'scenarios'), { recursive: true })
  chmodSync(inRoot('dist', 'src', 'cli', 'main.js'), 0o755)
}
