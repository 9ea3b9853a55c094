// Checks src and routes and puts what ships into dist: the command and the client, drawn together, their
// types, and scenarios beside them. Leaves dist alone where there is nothing to build with, and where the
// sources do not compile.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const inRoot = (...parts) => join(root, ...parts)

/** What users start, and what they import: together, the command would have to look up what it shares (ADR 8). */
const PROGRAMS = [['src/cli/main.ts'], ['src/client/index.ts', 'src/client/binary.ts']]

/** npm runs `prepare` in an unpacked tarball and in a `--omit=dev` install too: dist is shipped there. */
function reasonToSkip() {
  if (!existsSync(inRoot('src', 'cli', 'main.ts'))) return 'no sources here'
  for (const name of ['typescript', 'rolldown']) {
    if (!existsSync(inRoot('node_modules', name))) return `${name} is not installed`
  }
  return undefined
}

/** What this build has not written is of files that are gone. dist is never empty: somebody may run it. */
function removeOlderThan(startMs) {
  for (const entry of readdirSync(inRoot('dist'), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && statSync(path).mtimeMs < startMs) rmSync(path)
  }
}

/** `rolldown` says itself what it needs, but in words of Node's insides. */
function tooOld() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major < 20 || (major === 20 && minor < 19)
}

const skipped = reasonToSkip()
if (skipped !== undefined) {
  console.log(`build: skipped, ${skipped}`)
} else {
  if (tooOld()) {
    console.error(`build: needs Node 20.19 or newer, this is ${process.versions.node}`)
    process.exit(1)
  }
  // A file system may keep whole seconds only.
  const startMs = Math.floor(Date.now() / 1000) * 1000
  const tsc = inRoot('node_modules', 'typescript', 'lib', 'tsc.js')
  const { status } = spawnSync(process.execPath, [tsc, '-p', inRoot('tsconfig.build.json')], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
  const { bundle } = await import('./bundle.mjs')
  for (const entries of PROGRAMS) await bundle(root, entries, 'dist')
  cpSync(inRoot('scenarios'), inRoot('dist', 'scenarios'), { recursive: true })
  removeOlderThan(startMs)
  chmodSync(inRoot('dist', 'src', 'cli', 'main.js'), 0o755)
  // By its date build-if-old.ts tells whether dist is old: what was saved during the build is not in it.
  utimesSync(inRoot('dist', 'src', 'cli', 'main.js'), startMs / 1000, startMs / 1000)
}
