/** `synicd/client` as a user gets it: built, installed, imported by plain Node, and type-checked. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { built } from '../support/built.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

let user: string

function run(...args: string[]): string {
  return execFileSync(process.execPath, args, { cwd: user, encoding: 'utf8', stdio: 'pipe' })
}

function write(name: string, content: string | object): void {
  writeFileSync(join(user, name), typeof content === 'string' ? content : JSON.stringify(content))
}

/** A package in the user's node_modules as npm would put it there: files of the build, and dependencies. */
beforeAll(() => {
  user = mkdtempSync(join(tmpdir(), 'synicd-user-'))
  const installed = join(user, 'node_modules/synicd')
  mkdirSync(installed, { recursive: true })
  copyFileSync(join(ROOT, 'package.json'), join(installed, 'package.json'))
  for (const name of ['zod', 'ws'])
    symlinkSync(join(ROOT, 'node_modules', name), join(user, 'node_modules', name))
  cpSync(built(), join(installed, 'dist'), { recursive: true })
  write('package.json', { type: 'module' })
})
afterAll(() => rmSync(user, { recursive: true, force: true }))

const PROGRAM = `
  import { type Op, type StreamEvent, SynicdClient, SynicdProblem } from 'synicd/client'
  const client = new SynicdClient('http://127.0.0.1:8440', { fetch })
  export async function main(signal: AbortSignal): Promise<string | undefined> {
    const ops: Op[] = [{ op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x1001' }]
    const { results } = await client.partition('p1').ops(ops, { signal })
    const made = await client.call.createPartition({ body: { profile: 'tlfs' } })
    const options: string = made.body.options.irqchip
    const stream = client.stream('p1', { kinds: ['message'], signal, WebSocket })
    for await (const event of stream) if (event.kind === 'message') return event.hex + options
    const seen = (event: StreamEvent): number => ('n' in event ? event.n : 0)
    return results[0]?.value ?? String(seen)
  }
  export const codeOf = (error: unknown) => (error instanceof SynicdProblem ? error.code : undefined)
`

describe('the installed package', () => {
  it('is imported by plain Node, and shows nothing else', () => {
    write('main.mjs', "import * as all from 'synicd/client'; console.log(Object.keys(all).sort().join())")
    expect(run('main.mjs').trim().split(',')).toEqual([
      'Partition',
      'SynicdBusy',
      'SynicdClient',
      'SynicdError',
      'SynicdInterrupted',
      'SynicdProblem',
      'SynicdStream',
      'SynicdStreamClosed',
      'SynicdTimeout',
      'SynicdTooLarge',
      'SynicdUnexpectedReply',
      'SynicdUnreachable',
      'jsonCodec',
    ])
    write('deep.mjs', "import 'synicd/dist/src/app.js'")
    expect(() => run('deep.mjs')).toThrow(/ERR_PACKAGE_PATH_NOT_EXPORTED/)
  })

  it.each([
    ['nodenext', 'nodenext', 'dom'],
    ['esnext', 'bundler', 'dom'],
    ['nodenext', 'nodenext', 'node'],
  ])('type-checks as %s with resolution %s and the globals of %s, libraries too', (...row) => {
    const [module, moduleResolution, globals] = row
    // Node 20 has no WebSocket to give.
    write('main.ts', globals === 'dom' ? PROGRAM : PROGRAM.replace(', WebSocket', ''))
    const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true }
    const compilerOptions = {
      module,
      moduleResolution,
      target: 'es2022',
      lib: globals === 'dom' ? ['es2023', 'dom'] : ['es2023'],
      types: globals === 'dom' ? [] : ['node'],
      typeRoots: [join(ROOT, 'node_modules/@types')],
      noEmit: true,
    }
    write('tsconfig.json', { compilerOptions: { ...compilerOptions, ...strict }, files: ['main.ts'] })
    expect(run(TSC, '-p', '.')).toBe('')
  })

  it('refuses what the contract does not have', () => {
    write('main.ts', PROGRAM.replace('value:', 'valve:'))
    expect(() => run(TSC, '-p', '.')).toThrow(
      expect.objectContaining({ stdout: expect.stringContaining('valve') }),
    )
  })
})
