/** Progress: only for who watches, only when it lasts. */
import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { Progress } from '../../src/cli/progress.js'

function terminal(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 100, cursorTo() {}, clearLine() {} })
  return { stream, text: () => String(stream.read() ?? '') }
}

function progress(isTTY: boolean) {
  const { stream, text } = terminal(isTTY)
  const clock = { ms: 0 }
  return { clock, text, bar: new Progress(stream, 'replay', () => clock.ms) }
}

it('says nothing to a pipe', () => {
  const { bar, clock, text } = progress(false)
  clock.ms = 5000
  bar.update(1024, 4096)
  bar.stop()
  expect(text()).toBe('')
})

it('says nothing of what ends within a second', () => {
  const { bar, clock, text } = progress(true)
  clock.ms = 900
  bar.update(1024, 4096)
  bar.stop()
  expect(text()).toBe('')
})

it.each([
  ['of a file', 4096],
  ['of a pipe, whose end is not known', undefined],
])('shows how far it is %s', (_what, total) => {
  const { bar, clock, text } = progress(true)
  clock.ms = 1100
  bar.update(1024, total)
  bar.update(2048, total)
  bar.stop()
  expect(text()).toContain('replay [')
})
