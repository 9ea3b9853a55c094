// Sees to it that dist is what the sources say: tests and benchmarks run what ships.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
/** What dist is made of, and with. */
const FOLDERS = ['src', 'routes', 'scenarios']
const FILES = ['tsconfig.json', 'tsconfig.build.json', 'scripts/build.mjs', 'scripts/bundle.mjs']

const modified = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** A folder among the paths is as new as what was last added to it or taken away. */
function sources(): string[] {
  const inFolders = FOLDERS.flatMap((folder) => {
    const paths = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    return [folder, ...paths.map((path) => join(folder, path))]
  })
  return [...FILES, ...inFolders].map((path) => join(root, path))
}

export function buildIfOld(): void {
  const newestMs = Math.max(...sources().map(modified))
  if (modified(join(root, 'dist', 'src', 'cli', 'main.js')) > newestMs) return
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'build.mjs')], { stdio: 'inherit' })
  if (status !== 0) throw new Error('the build failed')
}
