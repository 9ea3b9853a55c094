// Programs of tests and benchmarks, made as what ships is made, for processes of their own.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bundle } from './bundle.mjs'

const FOLDER = '.bundles'

/** The project's folder, from here or from where a bundle lies. */
function root(): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

/** @param path of its source in the project, `.ts`; @returns the file to start with plain Node */
export async function bundled(path: string): Promise<string> {
  await bundle(root(), [path], FOLDER)
  return join(root(), FOLDER, path.replace(/\.ts$/, '.js'))
}
