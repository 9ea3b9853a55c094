/** The machine's C compiler, and programs run by it to their end. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Werror', '-O1', '-g']
const SANITIZE = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']

export const run = promisify(execFile)

/** A folder for what is compiled. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), 'synicd-c-'))

  /** Whether a compiler is there and makes programs that run, with these flags. */
  has(compiler: string, flags: readonly string[] = []): boolean {
    const program = join(this.folder, `probe-${compiler}`)
    const source = this.write('probe.c', 'int main(void) { return 0; }\n')
    const compiled = spawnSync(compiler, [...flags, source, '-o', program])
    return compiled.status === 0 && spawnSync(program).status === 0
  }

  write(name: string, text: string): string {
    writeFileSync(join(this.folder, name), text)
    return join(this.folder, name)
  }

  /** exercise.c, compiled with every check there is; its path. */
  async exercise(): Promise<string> {
    if (!this.has('cc')) throw new Error('these tests need a C compiler: there is no `cc` that works')
    const flags = ['-std=c99', ...STRICT, ...(this.has('cc', SANITIZE) ? SANITIZE : [])]
    const program = join(this.folder, 'exercise')
    await run('cc', [...flags, join(ROOT, 'test/clients/exercise.c'), '-o', program])
    return program
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export interface Ended {
  readonly status: number
  readonly lines: string[]
  readonly stderr: string
}

/** What a program printed and how it ended, even when that is a failure. */
export async function ended(program: string, ...args: string[]): Promise<Ended> {
  const { code, stdout, stderr } = await run(program, args, { timeout: 100_000 }).then(
    (output) => ({ code: 0, ...output }),
    (error) => error,
  )
  return { status: code, lines: stdout.trimEnd().split('\n'), stderr }
}
