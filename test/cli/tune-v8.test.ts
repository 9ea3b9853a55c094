/** The flags that are set at the start are flags of this V8, which tells others on standard error. */
import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { MAIN } from '../support/built.js'

it('V8 knows what it is told', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, '--version'], { encoding: 'utf8' })
  expect([status, stdout.trim(), stderr]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+$/), ''])
})
