/** Partitions that cannot be made as asked for, and lists that cannot be read so. */
import { describe, expect, it } from 'vitest'
import { testApp } from '../support/app.js'
import { expectProblem } from '../support/expect-problem.js'

const JSON_TYPE = { 'content-type': 'application/json' }

const CREATE: Readonly<Record<string, [body: unknown, type: string, status: number, at?: string]>> = {
  'a list': [[], 'invalid-request', 400, ''],
  null: [null, 'invalid-request', 400, ''],
  'an unknown field': [{ cpus: 1 }, 'invalid-request', 400, 'cpus'],
  'an unknown profile': [{ profile: 'xen' }, 'invalid-request', 400, 'profile'],
  'an unknown kind': [{ kind: 'child' }, 'invalid-request', 400, 'kind'],
  'an unknown option': [{ options: { apic: 1 } }, 'invalid-request', 400, 'options/apic'],
  'an option of the wrong type': [
    { options: { cpuid: { eax: -1 } } },
    'invalid-request',
    400,
    'options/cpuid/eax',
  ],
  'an id that is none': [{ id: '../x' }, 'invalid-request', 400, 'id'],
  'an id of 65 letters': [{ id: 'x'.repeat(65) }, 'invalid-request', 400, 'id'],
  'too many vCPUs': [{ vcpus: 1025 }, 'invalid-request', 400, 'vcpus'],
  'half a vCPU': [{ vcpus: 0.5 }, 'invalid-request', 400, 'vcpus'],
  'a limit inside a page': [{ gpa_limit: '0x1001' }, 'invalid-request', 400, 'gpa_limit'],
  'no memory at all': [{ gpa_limit: 0 }, 'invalid-request', 400, 'gpa_limit'],
  'more than 52 address bits': [{ gpa_limit: '0x20000000000000' }, 'invalid-request', 400, 'gpa_limit'],
  'an unknown clock': [{ clock: 'sundial' }, 'invalid-request', 400, 'clock'],
  'an unknown durability': [{ durability: 'stone' }, 'invalid-request', 400, 'durability'],
  'a snapshot that is none': [{ snapshot: {} }, 'invalid-snapshot', 400, 'snapshot/format'],
  'no room for provisioned pages': [
    { kind: 'root', gpa_limit: '0x2000' },
    'invalid-config',
    400,
    'gpa_limit',
  ],
  'an id that is taken': [{ id: 'p1' }, 'partition-exists', 409, 'id'],
}

describe('creating a partition', async () => {
  const test = await testApp({ service: { memoryPagesMax: 16 } })
  const path = await test.create({ id: 'p1' })

  it.each(Object.entries(CREATE))('from %s', async (_name, [body, type, status, at]) => {
    const reply = await test.post('/v1/partitions', JSON.stringify(body), JSON_TYPE)
    expectProblem(reply, status, type, at)
    expect(test.service.partitionCount).toBe(1)
    expect(test.service.vcpuCount).toBe(1)
  })

  it('from a snapshot with another field that it decides', async () => {
    const reply = await test.post('/v1/partitions', { snapshot: await test.snapshot(path), vcpus: 3 })
    expectProblem(reply, 400, 'invalid-request', 'vcpus')
  })

  it.each<[string, string, (state: Record<string, unknown>) => void]>([
    ['a vCPU twice', 'snapshot/vcpus/1', ({ vcpus }) => (vcpus as unknown[]).push((vcpus as unknown[])[0])],
    [
      'more memory than there may be',
      'snapshot/config/memory_pages_max',
      ({ config }) => Object.assign(config as object, { memory_pages_max: 17 }),
    ],
    [
      'a queue of a vCPU that is not there',
      'snapshot/queues/0',
      (state) =>
        (state.queues = [
          {
            vcpu: 9,
            nested: false,
            sint: 0,
            messages: [{ owner: -1, source: 0, type: 1, sender: '0x0', hex: '' }],
          },
        ]),
    ],
    [
      'a page mapped that no register points at',
      'snapshot/mapped_pages/0/pages/0',
      (state) => (state.mapped_pages = [{ gpa: '0x1000', pages: [{ vcpu: 0, nested: false, page: 0 }] }]),
    ],
    [
      'a timer due in the past',
      'snapshot/vcpus/0/timers/0/deadline',
      (state) => {
        state.now = 100
        const [vcpu] = state.vcpus as { timers: object[] }[]
        Object.assign(vcpu.timers[0], { config: '0x20003', count: '0x64', deadline: 99 })
      },
    ],
    ['a version of the future', 'snapshot/version', (state) => (state.version = 2)],
  ])('from a snapshot with %s', async (_name, at, change) => {
    const state = await test.snapshot(path)
    change(state)
    const reply = await test.post('/v1/partitions', { snapshot: state })
    expectProblem(reply, 400, 'invalid-snapshot', at)
    expect(test.service.partitionCount).toBe(1)
  })
})

it('a label of a name that none may have is told the rule of names', async () => {
  const test = await testApp()
  const reply = await test.post('/v1/partitions', { labels: { '-x': 'y' } })
  expectProblem(reply, 400, 'invalid-request', 'labels/-x')
  expect(reply.body).toMatchObject({
    errors: [{ message: expect.stringContaining('must have a name that is a label:') }],
  })
  expect(test.service.partitionCount).toBe(0)
})

describe('listing partitions', async () => {
  const test = await testApp()

  it.each([
    ['limit=0', 'invalid-request', 'limit'],
    ['limit=1001', 'invalid-request', 'limit'],
    ['limit=ten', 'invalid-request', 'limit'],
    ['cursor=MQ==', 'invalid-cursor', 'cursor'],
    ['cursor=', 'invalid-cursor', 'cursor'],
    ['label=nocolon', 'invalid-request', 'label/0'],
    ['sort=id', 'invalid-request', 'sort'],
  ])('by ?%s', async (query, type, at) => {
    const reply = await test.get(`/v1/partitions?${query}`)
    expectProblem(reply, 400, type, at)
  })
})
