/** Scenarios over REST: the library, runs and their traces, one's own documents, mistakes, bounds. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { Run } from '../../src/api/scenario.js'
import { isClean, replayFile } from '../../src/replay/replay.js'
import { TEXT_BYTES_MAX } from '../../src/scenario/limits.js'
import { type TestApp, testApp } from '../support/app.js'
import { expectProblem } from '../support/expect-problem.js'

const STEPS = ['v0 vmbus SIMP=0x10001 SINT2=0xf3 SCONTROL=1', 'post v0 s2 t=1 #A -> delivered']
const OWN = { scenario: 'own', title: 'Own', source: 'here', partition: { profile: 'tlfs' }, steps: STEPS }
const wait = (polls: number) => [{ run: 'ipxe.wait', with: { polls } }]

let test: TestApp
const folder = mkdtempSync(join(tmpdir(), 'synicd-runs-'))
beforeAll(async () => {
  test = await testApp()
})
afterAll(async () => {
  await test.app.close()
  rmSync(folder, { recursive: true })
})

const own = (part: object = {}, extra: object = {}) =>
  test.post('/v1/runs', { document: { ...OWN, ...part }, ...extra })

async function finished({ status, headers, body }: Awaited<ReturnType<typeof own>>): Promise<Run> {
  expect(status).toBe(202)
  expect(headers.location).toBe(`/v1/runs/${body.id}`)
  expect(body).toMatchObject({ state: 'running', reports: [] })
  await expect.poll(async () => (await test.get(headers.location)).body.state).not.toBe('running')
  return (await test.get(headers.location)).body as Run
}

describe('the library', () => {
  it('is listed, and each is shown as a document', async () => {
    const { items } = (await test.get('/v1/scenarios')).body as {
      items: { name: string; variants: string[] }[]
    }
    const { body } = await test.get('/v1/scenarios/kexec-l1vh')
    expect(body).toMatchObject({ scenario: 'kexec-l1vh', partition: { kind: 'l1vh' } })
    const listed = items.find(({ name }) => name === 'kexec-l1vh')
    expect(listed?.variants).toEqual(Object.keys(body.variants as object))
  })

  it('is run: every variant, or the one that the parameters ask for', async () => {
    const all = await finished(await test.post('/v1/scenarios/kexec-l1vh/runs'))
    expect(all.state).toBe('done')
    expect(all.progress).toMatchObject({ done: all.reports.length, of: all.reports.length })
    expect(all.progress.ops).toBe(all.reports.reduce((sum, { ops }) => sum + ops, 0))
    const body = { with: { mshv: 'pre-series' } }
    const [report, ...more] = (await finished(await test.post('/v1/scenarios/kexec-l1vh/runs', body))).reports
    expect(more).toEqual([])
    expect(report).toMatchObject({ variant: 'pre-series', params: body.with })
    expect(report.violations).toContainEqual(
      expect.objectContaining({ rule: 'foreign_write', actor: 'mshv', other: 'vmbus', op: 'msr.write' }),
    )
  })
})

describe("a client's own scenario", () => {
  it('is run', async () => {
    const { state, reports } = await finished(await own({ expect: 'clean' }))
    expect(state).toBe('done')
    expect(reports).toMatchObject([{ scenario: 'own', verdict: 'as_expected', ops: 5, faults: 0 }])
  })

  it('with a fault that nobody announced is not as expected', async () => {
    const { reports } = await finished(await own({ steps: ['v0 SVERSION=1'], expect: 'clean' }))
    expect(reports).toMatchObject([{ verdict: 'not_as_expected', faulted: [{ step: 'steps/0' }] }])
    expect(reports[0].unexpected).toEqual([expect.stringMatching(/^steps\/0 .*: #GP .* "-> gp"/)])
  })

  it.each([
    [{ steps: [...STEPS, 'nonsense'] }, 'document/steps/2', /begins no step/],
    [{ stepps: [] }, 'document/stepps', /absent/],
    [{ expect: { registers: { SIMPP: 1 } } }, 'document/expect/registers/SIMPP', /is no register/],
    [{ steps: [{ op: 'apic.ack' }] }, 'document/steps/0/vcpu', /an integer/],
  ])('that is wrong is refused: %o', async (part, path, message) => {
    const { status, body } = await own(part)
    expect({ status, type: body.type }).toEqual({ status: 400, type: '/problems/invalid-scenario' })
    expect(body.errors).toContainEqual({ path, message: expect.stringMatching(message) })
  })

  it.each([
    [{}, '/problems/invalid-scenario', ''],
    [{ document: OWN, with: { x: 1 } }, '/problems/invalid-request', 'with/x'],
    [{ document: OWN, speed: 9 }, '/problems/invalid-request', 'speed'],
    [[], '/problems/invalid-request', ''],
  ])('%o is no request', async (body, type, path) => {
    const reply = await test.post('/v1/runs', body)
    expect(reply.body).toMatchObject({ status: 400, type })
    if (path !== '') expect((reply.body.errors as { path: string }[])[0].path).toBe(path)
  })

  it('that cannot go on is a failed run, with what was done', async () => {
    const variants = { good: { expect: 'clean' }, bad: { steps: ['settle', 'restore x'], expect: 'clean' } }
    const run = await finished(await own({ variants }))
    expect(run).toMatchObject({ state: 'failed', error: 'variants/bad/steps/1: there is no snapshot x' })
    expect(run.reports.map(({ variant }) => variant)).toEqual(['good'])
  })

  it('that is long lets others in between, and is told how far it is', async () => {
    const { headers } = await own({ steps: wait(2000) })
    const seen: number[] = []
    for (let state = 'running'; state === 'running'; ) {
      const { body } = await test.get(headers.location)
      state = (body as Run).state
      seen.push((body as Run).progress.ops)
      await setImmediate()
    }
    expect(seen.length).toBeGreaterThan(10)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
  })

  it('that is endless fails', async () => {
    const run = await finished(await own({ steps: wait(1e9) }))
    expect(run).toMatchObject({
      state: 'failed',
      error: expect.stringMatching(/^steps\/0: more than 100000 ops$/),
    })
  })
})

describe('one variant', () => {
  const variants = { a: { expect: 'clean' }, b: { expect: 'clean' } }

  it('is run by its name', async () => {
    const library = { variant: 'pre-series' }
    const [report, ...more] = (await finished(await test.post('/v1/scenarios/kexec-l1vh/runs', library)))
      .reports
    expect([report.variant, more]).toEqual(['pre-series', []])
    const { reports, progress } = await finished(await own({ variants }, { variant: 'b' }))
    expect([reports.map(({ variant }) => variant), progress.of]).toEqual([['b'], 1])
  })

  it.each([
    [{ variant: 'pre-serie' }, 'variant', /^must be one of .*v4.*; did you mean "pre-series"/],
    [{ variant: 'pre-series', with: { mshv: 'v4' } }, 'with/mshv', /contradicts the variant pre-series/],
    [{ variant: 4 }, 'variant', /^must be a text/],
  ])('that is none, or another, is refused: %j', async (body, path, message) => {
    const reply = await test.post('/v1/scenarios/kexec-l1vh/runs', body)
    expect([reply.status, reply.body.errors]).toEqual([
      400,
      [{ path, message: expect.stringMatching(message) }],
    ])
  })

  it('of a scenario without any is refused', async () => {
    const { status, body } = await own({}, { variant: 'b' })
    expect([status, body.errors]).toEqual([
      400,
      [{ path: 'variant', message: 'must be absent: the scenario has no variants' }],
    ])
  })
})

describe('runs', () => {
  it('are listed as they were begun, by pages and by state', async () => {
    const other = await testApp()
    const document = { ...OWN, expect: 'clean' }
    const start = async () => (await other.post('/v1/runs', { document })).body.id
    const ids = [await start(), await start(), await start()]
    await expect
      .poll(async () => (await other.get('/v1/runs?state=done')).body.items)
      .toEqual(
        ids.map((id) => ({ id, scenario: 'own', state: 'done', progress: { done: 1, of: 1, ops: 5 } })),
      )
    const first = (await other.get('/v1/runs?limit=2')).body as { items: Run[]; next_cursor: string }
    const second = (await other.get(`/v1/runs?limit=2&cursor=${first.next_cursor}`)).body as typeof first
    expect([first.items, second.items].map((items) => items.map(({ id }) => id))).toEqual([
      ids.slice(0, 2),
      ids.slice(2),
    ])
    expect(second.next_cursor).toBeUndefined()
    expect((await other.get('/v1/runs?state=running')).body.items).toEqual([])
    expectProblem(await other.get('/v1/runs?cursor=x'), 400, 'invalid-cursor', 'cursor')
    expectProblem(await other.get('/v1/runs?state=over'), 400, 'invalid-request', 'state')
  })

  it('are cancelled: they end at once, keep what was done, and leave nothing behind', async () => {
    const steps = Array(3).fill(wait(15_000)[0])
    const variants = { good: { steps: STEPS, expect: 'clean' }, long: { steps, expect: 'clean' } }
    const { headers, body } = await own({ variants })
    const waiting = await own()
    await expect.poll(async () => (await test.get(headers.location)).body.reports).toHaveLength(1)
    const cancelled = await test.delete(headers.location)
    expect([cancelled.status, cancelled.body]).toMatchObject([200, { id: body.id, state: 'cancelled' }])
    expect(cancelled.body.reports).toMatchObject([{ variant: 'good' }])
    expect((await finished(waiting)).state).toBe('done')
    // Nor does it go on: as many ops as there were, and no other ending.
    expect((await test.get(headers.location)).body).toEqual(cancelled.body)
    expect((await test.get(`${headers.location}/trace`)).status).toBe(200)
    expect(test.service.partitionCount).toBe(0)
  })

  it('that wait make room when they are cancelled', async () => {
    const other = await testApp()
    const document = { ...OWN, steps: wait(15_000) }
    const locations: string[] = []
    let reply = await other.post('/v1/runs', { document })
    for (; reply.status === 202; reply = await other.post('/v1/runs', { document })) {
      locations.push(reply.headers.location)
    }
    expectProblem(reply, 409, 'limit-runs')
    const [, second] = locations
    await other.delete(second)
    expect((await other.post('/v1/runs', { document })).status).toBe(202)
    await other.app.close()
  })

  it('that have ended, or never were, cannot be', async () => {
    const { headers } = await own()
    await expect.poll(async () => (await test.get(headers.location)).body.state).toBe('done')
    expect((await test.delete(headers.location)).body).toEqual((await test.get(headers.location)).body)
    expectProblem(await test.delete('/v1/runs/r9999'), 404, 'run-not-found')
  })
})

describe('a scenario as YAML', () => {
  const TEXT = `scenario: own\ntitle: t\nsource: s\nsteps:\n  - 'post v0 s2 t=1 #A'\nexpect: clean\n`
  const send = (text: string, type = 'application/yaml') =>
    test.post('/v1/runs', text, { 'content-type': type })

  it.each(['application/yaml', 'text/yaml', 'application/yaml; charset=utf-8'])(
    'is run as %s',
    async (type) => {
      const { reports, state } = await finished(await send(TEXT.replace(' #A', ' #A -> dropped'), type))
      expect(state).toBe('done')
      expect(reports).toMatchObject([{ scenario: 'own', ops: 2 }])
    },
  )

  it('that is wrong is told as the command tells it: with line and field', async () => {
    const { status, body } = await send(`${TEXT}stpes: []\npartition: { vcpu: 2 }\n`)
    expect({ status, type: body.type }).toEqual({ status: 400, type: '/problems/invalid-scenario' })
    expect(body.errors).toEqual([
      { path: 'partition/vcpu', line: 8, message: expect.stringMatching(/did you mean "vcpus"\?$/) },
      { path: 'stpes', line: 7, message: expect.stringMatching(/did you mean "steps"\?$/) },
    ])
    expect((await send('steps: [')).body.errors).toMatchObject([{ path: '', line: 1 }])
    expect((await send('{}')).body.errors).toContainEqual({
      path: 'title',
      line: 1,
      message: 'is missing: must be a text',
    })
  })

  it('names a variant in the query, as JSON may', async () => {
    const steps = `steps:\n  - v0 SIMP=$page\n`
    const variants = `variants:\n  a: { with: { page: 1 }, expect: clean }\n  b: { expect: clean }\n`
    const two = `scenario: own\ntitle: t\nsource: s\nwith: { page: 0 }\n${steps}${variants}`
    const ask = (query: string, headers = {}) =>
      test.post(`/v1/runs${query}`, two, { 'content-type': 'application/yaml', ...headers })
    expect((await finished(await ask(''))).reports).toMatchObject([{ variant: 'a' }, { variant: 'b' }])
    expect((await finished(await ask('?variant=b'))).reports).toMatchObject([{ variant: 'b' }])
    expectProblem(await ask('?variant=bb'), 400, 'invalid-request', 'variant')
    const none = await test.post('/v1/runs?variant=a', TEXT, { 'content-type': 'text/yaml' })
    expectProblem(none, 400, 'invalid-request', 'variant')
    expect(none.body.detail).toBe('variant must be absent: the scenario has no variants')
    const key = { 'idempotency-key': 'one-variant' }
    expect((await ask('?variant=a', key)).status).toBe(202)
    expectProblem(await ask('?variant=b', key), 422, 'idempotency-conflict')

    const document = parse(two)
    const json = (query: string, variant?: string) => test.post(`/v1/runs${query}`, { document, variant })
    expect((await finished(await json('?variant=a'))).reports).toMatchObject([{ variant: 'a' }])
    expect((await finished(await json('?variant=a', 'a'))).reports).toMatchObject([{ variant: 'a' }])
    expectProblem(await json('?variant=a', 'b'), 400, 'invalid-request', 'variant')
    expect((await inject('/v1/runs?vraiant=a', 'application/json', '{}')).statusCode).toBe(400)
  })

  it('that cannot go on fails with the line', async () => {
    const run = await finished(await send(`${TEXT.replace("'post v0 s2 t=1 #A'", 'restore x')}`))
    expect(run).toMatchObject({ state: 'failed', error: 'line 5: steps/0: there is no snapshot x' })
  })

  it.each([
    ['text/plain', 'application/json or application/yaml or text/yaml'],
    ['application/octet-stream', 'application/json or application/yaml or text/yaml'],
  ])('is not taken as %s, and told as what', async (type, types) => {
    const { statusCode, body } = await inject('/v1/runs', type, TEXT)
    expect([statusCode, JSON.parse(body).detail]).toEqual([415, `content-type must be ${types}`])
  })

  it('is taken nowhere else', async () => {
    const { statusCode, body } = await inject('/v1/scenarios/kexec-l1vh/runs', 'application/yaml', 'with: {}')
    expect([statusCode, JSON.parse(body).detail]).toEqual([
      415,
      expect.stringMatching(/must be application\/json$/),
    ])
  })

  it('is refused where it is too long to be read in between', async () => {
    const { statusCode } = await inject('/v1/runs', 'text/yaml', `${TEXT}#${'x'.repeat(TEXT_BYTES_MAX)}`)
    expect(statusCode).toBe(413)
  })

  // What openapi.yaml does not have.
  const inject = (url: string, type: string, payload: string) =>
    test.app.inject({ method: 'POST', url, headers: { 'content-type': type }, payload })
})

describe('a trace', () => {
  it('is replayed without a difference', async () => {
    const { id, reports } = await finished(await test.post('/v1/scenarios/kexec-l1vh/runs'))
    for (const { variant, ops } of reports) {
      const { text, headers } = await test.get(`/v1/runs/${id}/trace?variant=${variant}`)
      expect(headers['content-type']).toMatch(/^application\/x-ndjson/)
      const file = join(folder, `${variant}.jsonl`)
      writeFileSync(file, text)
      const report = await replayFile(file, { stdin: Readable.from([]), keepGoing: true })
      expect(report).toMatchObject({ ops, compared: ops })
      expect(isClean(report)).toBe(true)
    }
  })

  it('needs no variant where there is one, and a good one where there are more', async () => {
    const one = await finished(await own())
    expect((await test.get(`/v1/runs/${one.id}/trace`)).text.split('\n')).toHaveLength(7)
    const more = await finished(await test.post('/v1/scenarios/kexec-l1vh/runs'))
    for (const query of ['', '?variant=nothing']) {
      const { status, body } = await test.get(`/v1/runs/${more.id}/trace${query}`)
      expect(status).toBe(400)
      expect(body.errors).toEqual([
        { path: 'variant', message: expect.stringMatching(/^must be one of .*v4/) },
      ])
    }
  })
})
