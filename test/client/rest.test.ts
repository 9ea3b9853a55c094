/** The REST client against a real server: every operation, its types, and everything that can go wrong. */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from 'vitest'
import { OPERATIONS } from '../../src/api/operations/all.js'
import type { PartitionView } from '../../src/api/partition.js'
import { ENDPOINTS } from '../../src/client/endpoints.js'
import {
  type CallReply,
  type OperationId,
  type ProblemCode,
  type Result,
  SynicdClient,
  SynicdProblem,
  SynicdTimeout,
  SynicdUnexpectedReply,
  SynicdUnreachable,
} from '../../src/client/index.js'
import { partitionWithSynic, startServer, stopServers, type TestServer } from './server.js'

let server: TestServer
let client: SynicdClient
beforeAll(async () => {
  server = await startServer()
  client = new SynicdClient(server.url)
})
afterAll(stopServers)

/** A stream is no call. */
const CALLS = OPERATIONS.filter(({ id }) => id !== 'openStream')

const caught = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

describe('every operation', () => {
  it('has the method and path of the contract', () => {
    const contract = CALLS.map(({ id, method, path, replies }) => {
      const type = Object.values(replies).find((reply) => reply.type !== undefined)?.type
      return [id, [method, path, type].filter(Boolean).join(' ')]
    })
    expect(ENDPOINTS).toEqual(Object.fromEntries(contract))
    expect(Object.keys(client.call).sort()).toEqual(Object.keys(ENDPOINTS).sort())
  })

  it('can be called, and answers as the contract says', async () => {
    const { call } = client
    const pid = 'all'
    const params = { pid }
    const vcpu = { pid, vp: 0 }
    const done = new Map<OperationId, number>()
    const ran = (id: OperationId, { status }: { status: number }) => done.set(id, status)
    ran('createPartition', await call.createPartition({ body: { id: pid, profile: 'tlfs', vcpus: 2 } }))
    ran('listPartitions', await call.listPartitions({ query: { limit: 5 } }))
    ran('getPartition', await call.getPartition({ params }))
    ran('patchPartition', await call.patchPartition({ params, body: { labels: { team: 'x' } } }))
    const ops = [{ op: 'msr.write', vcpu: 0, msr: 'SIMP', value: 0x10001 }] as const
    ran('postOps', await call.postOps({ params, body: { ops } }))
    ran('writeMsr', await call.writeMsr({ params: { ...vcpu, msr: 'SIEFP' }, body: { value: '0x11001' } }))
    await call.writeMsr({ params: { ...vcpu, msr: 'SINT2' }, body: { value: 0xf3 } })
    await call.writeMsr({
      params: { ...vcpu, msr: 'SCONTROL' },
      body: { value: 1, by: 'guest', actor: 'vmbus' },
    })
    ran('readMsr', await call.readMsr({ params: { ...vcpu, msr: 'SIMP' }, query: { by: 'host' } }))
    ran('listMsrs', await call.listMsrs({ params: vcpu }))
    ran('listVcpus', await call.listVcpus({ params }))
    ran('getVcpu', await call.getVcpu({ params: vcpu }))
    ran('postMessage', await call.postMessage({ params: vcpu, body: { sint: 2, type: 1, hex: '0a' } }))
    ran('getMessages', await call.getMessages({ params: vcpu, query: { nested: false } }))
    ran('completeMessage', await call.completeMessage({ params: { ...vcpu, sint: 2 } }))
    ran('signalEvent', await call.signalEvent({ params: vcpu, body: { sint: 2, flag: 7 } }))
    ran('getEvents', await call.getEvents({ params: vcpu }))
    ran('clearEvent', await call.clearEvent({ params: { ...vcpu, sint: 2, flag: 7 } }))
    ran('ackInterrupt', await call.ackInterrupt({ params: vcpu }))
    ran('endInterrupt', await call.endInterrupt({ params: vcpu, body: { actor: 'vmbus' } }))
    ran('putRoutes', await call.putRoutes({ params, body: { entries: [{ gsi: 5, vcpu: 0, sint: 2 }] } }))
    ran('getRoutes', await call.getRoutes({ params }))
    ran('bindIrqfd', await call.bindIrqfd({ params: { pid, gsi: 5 }, body: { resample: true } }))
    ran('assertGsi', await call.assertGsi({ params: { pid, gsi: 5 } }))
    ran('unbindIrqfd', await call.unbindIrqfd({ params: { pid, gsi: 5 } }))
    ran('createPort', await call.createPort({ params, body: { port: 1, type: 'message', sint: 2 } }))
    ran('listPorts', await call.listPorts({ params }))
    ran('listViolations', await call.listViolations({ params }))
    ran('createConnection', await call.createConnection({ params, body: { connection: 3, port: 1 } }))
    ran('listConnections', await call.listConnections({ params }))
    ran('deleteConnection', await call.deleteConnection({ params: { pid, connection: 3 } }))
    ran('deletePort', await call.deletePort({ params: { pid, port: 1 }, query: { actor: 'host' } }))
    ran('writeMemory', await call.writeMemory({ params: { pid, gpa: '0x2000' }, body: Uint8Array.of(1, 2) }))
    ran('readMemory', await call.readMemory({ params: { pid, gpa: '0x2000' }, query: { len: 2 } }))
    ran('advanceClock', await call.advanceClock({ params, body: { ticks: 10 } }))
    ran('getClock', await call.getClock({ params }))
    ran('getLog', await call.getLog({ params }))
    ran('getSnapshot', await call.getSnapshot({ params }))
    ran('forkPartition', await call.forkPartition({ params, body: { id: 'fork' } }))
    ran('deletePartition', await call.deletePartition({ params }))
    ran('listScenarios', await call.listScenarios())
    ran('getScenario', await call.getScenario({ params: { name: 'kexec-l1vh' } }))
    const run = await call.startRun({ params: { name: 'kexec-l1vh' }, body: { with: { mshv: 'v4' } } })
    ran('startRun', run)
    const document = { scenario: 'own', title: 'Own', source: 'here', steps: ['v0 SIMP=0x10001'] }
    const own = await call.startOwnRun({ body: { document } })
    ran('startOwnRun', own)
    const rid = { rid: own.body.id }
    await expect.poll(async () => (await call.getRun({ params: rid })).body.state).toBe('done')
    ran('listRuns', await call.listRuns({ query: { state: 'done' } }))
    ran('cancelRun', await call.cancelRun({ params: rid }))
    ran('getRun', await call.getRun({ params: rid }))
    ran('getRunTrace', await call.getRunTrace({ params: rid }))
    for (const id of ['livez', 'readyz', 'getMetrics', 'getOpenapi', 'getAsyncapi', 'getIndex'] as const) {
      ran(id, await call[id]())
    }
    ran('getDocs', await call.getDocs())
    for (const operation of CALLS) {
      const status = done.get(operation.id as OperationId)
      expect(Object.keys(operation.replies), operation.id).toContain(String(status))
    }
  })

  it('is typed by its schemas', () => {
    expectTypeOf<CallReply<'writeMsr'>['body']>().toEqualTypeOf<Result>()
    expectTypeOf<CallReply<'putRoutes'>['body']>().toEqualTypeOf<Result>()
    expectTypeOf<CallReply<'createPartition'>['body']>().toEqualTypeOf<PartitionView>()
    expectTypeOf<CallReply<'createPartition'>['status']>().toEqualTypeOf<201>()
    expectTypeOf<CallReply<'deletePartition'>['body']>().toEqualTypeOf<undefined>()
    expectTypeOf<CallReply<'readMemory'>['body']>().toEqualTypeOf<Uint8Array>()
    expectTypeOf<CallReply<'getLog'>['body']>().toEqualTypeOf<string>()
    expectTypeOf<CallReply<'getRoutes'>['status']>().toEqualTypeOf<200 | 304>()
    expectTypeOf<SynicdProblem['code']>().toEqualTypeOf<ProblemCode>()
    const { call } = client
    expectTypeOf(call.getPartition).parameter(0).toEqualTypeOf<{ params: { pid: string } }>()
    expectTypeOf(call.livez).toBeCallableWith()
    expectTypeOf(call.createPartition).toBeCallableWith({ body: { profile: 'kvm' } })
    expectTypeOf(call.postOps).toBeCallableWith({
      params: { pid: 'p1' },
      body: { ops: [{ op: 'page.claim', gpa: 0x1000, actor: 'vmbus' }] },
    })
    type Message = Parameters<typeof call.postMessage>[0]['body']
    expectTypeOf<Message>().toHaveProperty('sint').toEqualTypeOf<number>()
    expectTypeOf<Message>().not.toHaveProperty('vcpu')
    type Ops = Parameters<typeof call.postOps>[0]['body']['ops'][number]
    expectTypeOf<{ op: 'msr.write'; vcpu: number; msr: 'SIMP' }>().not.toExtend<Ops>()
    expectTypeOf<{ op: 'page.claim'; gpa: number }>().not.toExtend<Ops>()
    expectTypeOf<{ op: 'nonsense' }>().not.toExtend<Ops>()
  })

  it('carries bytes, lists in queries, entity tags and idempotency keys', async () => {
    const { call } = client
    await call.createPartition({ body: { id: 'tagged', labels: { a: '1', b: '2' } } })
    const found = await call.listPartitions({ query: { label: ['a:1', 'b:2'] } })
    expect(found.body.items.map(({ id }) => id)).toEqual(['tagged'])
    const params = { pid: 'tagged' }
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i)
    await call.writeMemory({ params: { pid: 'tagged', gpa: '0x1000' }, body: bytes })
    const read = await call.readMemory({ params: { pid: 'tagged', gpa: '0x1000' }, query: { len: 5000 } })
    expect(read.body).toEqual(bytes)
    const etag = (await call.getRoutes({ params })).headers.get('etag') ?? ''
    expect(await call.getRoutes({ params, headers: { 'if-none-match': etag } })).toMatchObject({
      status: 304,
      body: undefined,
    })
    const replace = () => call.putRoutes({ params, headers: { 'if-match': etag }, body: { entries: [] } })
    await replace()
    expect(await caught(replace())).toMatchObject({ code: 'revision-mismatch', status: 412 })
    const partition = client.partition('tagged')
    const once = () => partition.ops([{ op: 'partition.pause' }], { idempotencyKey: 'k1' })
    expect(await once()).toEqual(await once())
  })
})

describe('a partition handle', () => {
  it('has the calls made most', async () => {
    partitionWithSynic(server.service, 'handle')
    const partition = client.partition('handle')
    expect(await partition.get()).toMatchObject({ id: 'handle', vcpus: 2 })
    expect(await partition.writeMsr(0, 'SINT3', 0xf4)).toEqual({ ok: true })
    expect(await partition.writeMsr(0, 'SINT3', { value: '0x10000', by: 'host' })).toEqual({ ok: true })
    expect(await partition.readMsr(0, 'SINT3')).toEqual({ ok: true, value: '0x10000' })
    expect(await partition.postMessage(0, { sint: 2, type: 1 })).toMatchObject({ delivery: 'delivered' })
    expect(await partition.signalEvent(0, { sint: 2, flag: 3 })).toHaveProperty('ok')
    const { results } = await partition.ops(
      [
        { op: 'msr.read', vcpu: 0, msr: '0x40000000' },
        { op: 'msr.write', vcpu: 0, msr: 'SVERSION', value: 2 },
        { op: 'apic.ack', vcpu: 0 },
      ],
      { stopOnFault: true, actor: 'vmbus' },
    )
    expect(results.at(-1)).toEqual({ ok: false, fault: 'gp' })
    await partition.delete()
    expect(await caught(partition.get())).toMatchObject({ code: 'partition-not-found' })
  })
})

describe('a refusal', () => {
  it('is a SynicdProblem with all its parts', async () => {
    partitionWithSynic(server.service, 'refusing')
    const bad = client.partition('refusing').ops([
      { op: 'apic.ack', vcpu: 0 },
      { op: 'msr.read', vcpu: 0, msr: -1 },
    ])
    const error = await caught(bad)
    expect(error).toBeInstanceOf(SynicdProblem)
    expect(error).toMatchObject({ name: 'SynicdProblem', code: 'invalid-op', status: 400 })
    const { errors, requestId, message, detail } = error as SynicdProblem
    expect(errors[0].path).toBe('ops/1/msr')
    expect(requestId).toMatch(/\w/)
    expect(message).toBe(detail)
  })

  it.each(['', '.', '..'])('the id "%s" cannot be a path, and nothing is sent', async (pid) => {
    await expect(client.call.deletePartition({ params: { pid } })).rejects.toThrow(TypeError)
    expect(() => client.stream(pid)).toThrow(TypeError)
  })

  it.each(['a/b', 'a?b=c', '%2e', 'ä#', 'a b', '...'])('the id "%s" is no other path', async (pid) => {
    const error = await caught(client.call.getPartition({ params: { pid } }))
    expect(error).toMatchObject({ code: 'partition-not-found' })
  })

  it.each(['nowhere', 'ftp://127.0.0.1', ''])('the address "%s" is a mistake', (url) => {
    expect(() => new SynicdClient(url)).toThrow(TypeError)
  })

  it.each(['/', '/v1', '/v1/'])('an address may end in "%s"', async (end) => {
    const { body } = await new SynicdClient(server.url + end).call.livez()
    expect(body).toEqual({ status: 'ok' })
  })
})

describe('a server that', () => {
  let stub: Server
  let url: string
  let handle: RequestListener = () => {}
  beforeEach(async () => {
    stub = createServer((request, response) => handle(request, response))
    await new Promise<void>((resolve) => stub.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(stub.address() as AddressInfo).port}`
  })
  afterEach(() => {
    stub.close()
    stub.closeAllConnections()
  })

  const answer = (status: number, type: string, body: string) => {
    handle = (_request, response) => response.writeHead(status, { 'content-type': type }).end(body)
    return caught(new SynicdClient(url).call.getPartition({ params: { pid: 'p1' } }))
  }

  it.each([
    [502, 'text/html', '<h1>Bad gateway</h1>'],
    [404, 'application/json', '{"message":"no route"}'],
    [503, 'application/problem+json', '{"type":"about:blank","title":"Down"}'],
    [200, 'application/json', '{"id":'],
    [200, 'text/html', '<h1>Log in</h1>'],
    [302, 'text/html', ''],
  ])('is not synicd and says %i %s %s, is told by its own error', async (status, type, body) => {
    const error = await answer(status, type, body)
    expect(error).toBeInstanceOf(SynicdUnexpectedReply)
    expect(error).toMatchObject({ status, excerpt: body, url: `${url}/v1/partitions/p1` })
  })

  it('does not exist is unreachable, by its address and with the cause', async () => {
    const closed = createServer()
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
    const gone = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`
    await new Promise((resolve) => closed.close(resolve))
    const error = await caught(new SynicdClient(gone).call.livez())
    expect(error).toBeInstanceOf(SynicdUnreachable)
    expect(error).toMatchObject({ url: `${gone}/livez`, message: expect.stringContaining('ECONNREFUSED') })
    expect((error as Error).cause).toBeInstanceOf(Error)
  })

  it('hangs up within its answer is unreachable too', async () => {
    handle = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 }).write('{')
      setTimeout(() => response.destroy(), 20)
    }
    expect(await caught(new SynicdClient(url).call.livez())).toBeInstanceOf(SynicdUnreachable)
  })

  it.each(['before the head', 'within the body'])('stalls %s runs into the deadline', async (where) => {
    handle = (_request, response) => {
      if (where === 'within the body')
        response.writeHead(200, { 'content-type': 'application/json' }).write('{')
    }
    const error = await caught(new SynicdClient(url, { timeoutMs: 50 }).call.livez())
    expect(error).toBeInstanceOf(SynicdTimeout)
    expect(error).toMatchObject({ timeoutMs: 50, url: `${url}/livez` })
    const slower = caught(new SynicdClient(url, { timeoutMs: 0 }).call.livez({}, { timeoutMs: 40 }))
    expect(await slower).toMatchObject({ timeoutMs: 40 })
  })

  it('is not waited for any longer when the signal says so', async () => {
    let asked = 0
    let arrived = () => {}
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve
    })
    handle = () => {
      asked++
      arrived()
    }
    const call = (signal: AbortSignal) => caught(new SynicdClient(url).call.livez({}, { signal }))
    const reason = new Error('enough')
    expect(await call(AbortSignal.abort(reason))).toBe(reason)
    expect(asked).toBe(0)
    const controller = new AbortController()
    const during = call(controller.signal)
    await arrival
    controller.abort(reason)
    expect(await during).toBe(reason)
  })

  it('gets the token, the common headers, and those of the call', async () => {
    let seen: Record<string, unknown> = {}
    handle = (request, response) => {
      seen = request.headers
      response.writeHead(204).end()
    }
    const own = new SynicdClient(url, { token: 't0', headers: { 'x-team': 'hv' } })
    await own.call.postOps({ params: { pid: 'p' }, headers: { 'idempotency-key': 'k' }, body: { ops: [] } })
    expect(seen).toMatchObject({ authorization: 'Bearer t0', 'x-team': 'hv', 'idempotency-key': 'k' })
  })
})
