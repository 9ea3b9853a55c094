/** What the auditor found, over REST: in the list, in results, in notifications' count, in metrics. */
import { describe, expect, it } from 'vitest'
import { testApp } from '../support/app.js'

const write = (actor: string, msr: string, value: number) => ({
  op: 'msr.write',
  vcpu: 0,
  msr,
  value,
  actor,
})
const UP = [write('vmbus', 'SIMP', 0x10001), write('vmbus', 'SINT2', 0xf3), write('vmbus', 'SCONTROL', 1)]

async function partition(extra: object = {}) {
  const { app } = await testApp()
  const post = async (url: string, payload: object) =>
    (await app.inject({ method: 'POST', url, payload })).json()
  const created = await post('/v1/partitions', { id: 'p1', profile: 'tlfs', kind: 'l1vh', ...extra })
  return {
    app,
    created,
    ops: (ops: object[]) => post('/v1/partitions/p1/ops', { ops }),
    violations: async (query = '') =>
      (await app.inject({ url: `/v1/partitions/p1/violations${query}` })).json(),
  }
}

describe('a partition under audit', () => {
  it('says in the result who wrote whose register, and keeps it', async () => {
    const { ops, violations, created } = await partition()
    expect(created.audit).toBe('observe')
    await ops(UP)
    const { results, seq } = await ops([write('mshv', 'SIMP', 0x10000)])
    const told = results[0].violations.find(({ rule }: { rule: string }) => rule === 'foreign_write')
    expect(told).toEqual({
      invariant: 'I2',
      rule: 'foreign_write',
      severity: 'error',
      vcpu: 0,
      msr: '0x40000083',
      register: 'SIMP',
      actor: 'mshv',
      other: 'vmbus',
      other_seq: 2,
      text: 'mshv writes SIMP, which belongs to vmbus',
    })
    const list = await violations('?severity=error')
    expect(list.items).toContainEqual({ seq, ...told })
    expect(list.total).toBeGreaterThanOrEqual(1)
  })

  it('answers ops that name nobody as the hardware does', async () => {
    const { ops } = await partition({ kind: 'guest' })
    const { results } = await ops([{ op: 'msr.write', vcpu: 0, msr: 'SIMP', value: 1 }])
    expect(results[0].violations).toBeUndefined()
  })

  it('pages through the list without a hole', async () => {
    const { ops, violations } = await partition()
    await ops(UP)
    await ops(Array.from({ length: 7 }, (_, i) => write('mshv', 'SIMP', 0x10001 + 4096 * i)))
    const all = (await violations('?limit=1000')).items
    const paged: unknown[] = []
    for (let cursor = ''; ; ) {
      const page = await violations(`?limit=3${cursor}`)
      paged.push(...page.items)
      if (page.next_cursor === undefined) break
      cursor = `&cursor=${page.next_cursor}`
    }
    expect(all.length).toBeGreaterThan(6)
    expect(paged).toEqual(all)
  })

  it('counts by invariant', async () => {
    const { app, ops } = await partition()
    await ops([...UP, write('mshv', 'SIMP', 0x10000)])
    const { body } = await app.inject({ url: '/metrics' })
    expect(body).toMatch(/synicd_violations_total\{invariant="I2"\} [1-9]/)
  })

  it('says nothing when it is off', async () => {
    const { ops, violations } = await partition({ audit: 'off', options: { disabled_write: 'allow' } })
    const { results } = await ops([...UP, write('mshv', 'SIMP', 0x10000)])
    expect(results[3]).toEqual({ ok: true })
    expect(await violations()).toEqual({ audit: 'off', items: [], total: 0 })
  })

  it('enforces: a teardown write to a disabled SynIC faults', async () => {
    const { ops, created } = await partition({ audit: 'enforce' })
    expect(created).toMatchObject({ audit: 'enforce', options: { disabled_write: 'fault' } })
    const { results } = await ops([...UP, write('mshv', 'SCONTROL', 0), write('vmbus', 'SINT2', 0x100f3)])
    expect(results[4]).toMatchObject({ ok: false, fault: 'gp' })
  })
})
