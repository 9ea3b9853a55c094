/** Runs of a server: in turn, in slices, kept within bounds. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { checkScenario } from '../../src/scenario/document.js'
import { OPS_PER_TURN, RUNS_KEPT_MAX } from '../../src/scenario/limits.js'
import { Runs } from '../../src/scenario/runs.js'

const HEAD = { scenario: 'own', title: 't', source: 's' }
const small = checkScenario({ ...HEAD, steps: ['v0 SIMP=0x10001'] })
const long = checkScenario({ ...HEAD, steps: Array(10 * OPS_PER_TURN).fill('v0 SIMP?') })

async function finished(runs: Runs, id: string): Promise<void> {
  while (runs.get(id)?.state === 'running') await setImmediate()
}

describe('runs', () => {
  it('go on in turn, a slice at a time', async () => {
    const runs = new Runs()
    const [first, second] = [runs.start(long, undefined), runs.start(small, undefined)]
    for (let turns = 1; turns <= 9; turns++) {
      await setImmediate()
      expect(first.progress.ops).toBeLessThanOrEqual((turns + 1) * OPS_PER_TURN)
      expect([first.state, second.progress.ops]).toEqual(['running', 0])
    }
    await finished(runs, second.id)
    expect([first.state, second.state]).toEqual(['done', 'done'])
  })

  it('are forgotten when there are many: the oldest first', async () => {
    const runs = new Runs()
    for (let n = 0; n <= RUNS_KEPT_MAX; n++) await finished(runs, runs.start(small, undefined).id)
    expect(runs.get('r1')).toBeUndefined()
    expect(runs.get('r2')?.state).toBe('done')
  })

  it('are forgotten when they come to many bytes', async () => {
    const runs = new Runs({ keptMax: 10, runBytesMax: 5000, bytesMax: 5000 })
    const ids: string[] = []
    for (let n = 0; n < 8; n++) {
      const { id } = runs.start(small, undefined)
      await finished(runs, id)
      ids.push(id)
    }
    const kept = ids.filter((id) => runs.get(id) !== undefined)
    expect(kept.length).toBeGreaterThan(0)
    expect(kept).toEqual(ids.slice(-kept.length))
    expect(kept.reduce((sum, id) => sum + (runs.trace(id, '')?.length ?? 0), 0)).toBeLessThanOrEqual(5000)
  })

  it('fail when one of them comes to too many', async () => {
    const runs = new Runs({ keptMax: 10, runBytesMax: 5000, bytesMax: 5000 })
    const { id } = runs.start(long, undefined)
    await finished(runs, id)
    expect(runs.get(id)).toMatchObject({ state: 'failed', error: 'more than 5000 bytes of traces' })
  })

  it('begun behind one that was cancelled take no more of a turn', async () => {
    const runs = new Runs()
    runs.cancel(runs.start(long).id)
    const next = runs.start(long)
    await setImmediate()
    await setImmediate()
    expect(next.progress.ops).toBeLessThanOrEqual(2 * OPS_PER_TURN)
  })

  it('stop', async () => {
    const runs = new Runs()
    const { id } = runs.start(long, undefined)
    runs.stop()
    await setImmediate()
    await setImmediate()
    expect(runs.get(id)?.progress.ops).toBe(0)
  })
})
