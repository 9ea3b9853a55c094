/** The schemas of the stream's frames are what the server writes: every kind, every form, field by field. */
import { once } from 'node:events'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { z } from 'zod'
import * as frames from '../../src/api/frames.js'
import {
  Answer,
  Gap,
  Hello,
  NOTIFICATIONS,
  Notification,
  ServerFrame,
  Subscribed,
} from '../../src/api/server-frames.js'
import { testApp } from '../support/app.js'
import type { MachineSetup, WireInput } from '../support/machine.js'
import { holds } from '../support/property.js'
import { randomOps, randomSetup } from '../support/random-ops.js'

const parsed = (schema: z.ZodType, value: unknown) => {
  const { error } = schema.safeParse(value)
  if (error !== undefined) throw new Error(`${JSON.stringify(value)}: ${error.message}`)
  return value
}

type ClientFrame = z.input<typeof frames.ClientFrame>

const { app, service } = await testApp({ service: { streamRing: 2 } })
const url = (await app.listen({ host: '127.0.0.1', port: 0 })).replace('http', 'ws')
afterAll(() => app.close())

/** Sends frames on a new stream of a partition; all it gets back, up to the answer to the last of them. */
async function exchange(pid: string, query: string, sent: readonly ClientFrame[]): Promise<ServerFrame[]> {
  const socket = new WebSocket(`${url}/v1/partitions/${pid}/stream${query}`, frames.JSON_PROTOCOL)
  const received: ServerFrame[] = []
  const answered = new Promise<void>((resolve, reject) => {
    socket.on('close', reject)
    socket.on('message', (text) => {
      const frame = JSON.parse(String(text))
      received.push(frame)
      if (frame.id === sent.at(-1)?.id) resolve()
    })
  })
  await once(socket, 'open')
  for (const frame of sent) socket.send(JSON.stringify(frame))
  await answered
  socket.terminate()
  return received.map((frame) => parsed(ServerFrame, frame) as ServerFrame)
}

/** What a new partition tells while ops are applied; it must be as the schemas say. */
async function told(setup: MachineSetup, ops: readonly WireInput[]): Promise<Notification[]> {
  const { profile, kind, vcpus, gpaPages, options } = setup
  const { id: pid } = service.create({ profile, kind, vcpus, gpaPages, options })
  const received = await exchange(pid, '', [{ id: 7, ops: [...ops] }])
  service.delete(pid)
  expect(Answer.safeParse(received.at(-1)).success).toBe(true)
  return received.filter((frame) => 'kind' in frame)
}

/** The kinds that a schema takes, read from its examples. */
function kindsOf(schema: z.ZodType): unknown[] {
  const examples = (schema.meta()?.examples ?? []) as { kind: string }[]
  for (const example of examples) parsed(schema, example)
  return [...new Set(examples.map(({ kind }) => kind))]
}

const write = (msr: string, value: number | string, vcpu = 0) => ({ op: 'msr.write', vcpu, msr, value })
const post = (rest: object = {}) => ({ op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a', ...rest })
const signal = (rest: object = {}) => ({ op: 'event.signal', vcpu: 0, sint: 2, flag: 5, ...rest })
const complete = { op: 'message.complete', vcpu: 0, sint: 2 }
const signalCall = { op: 'hv.signal_event', vcpu: 0, connection: 3 }
const onVcpu = (op: string) => ({ op, vcpu: 0 })

/** Pages and SINTs of one vCPU's file, so that deliveries arrive. */
const up = (prefix = '', vcpu = 0) => [
  write(`${prefix}SCONTROL`, 1, vcpu),
  write(`${prefix}SIMP`, 0x10001, vcpu),
  write(`${prefix}SIEFP`, 0x11001, vcpu),
  write(`${prefix}SINT2`, 0xf3, vcpu),
  write(`${prefix}SINT3`, 0xf4, vcpu),
]
const delivered = [...up(), post(), signal()]
const nested = [...up(), ...up('NESTED_'), post({ nested: true }), signal({ nested: true })]
const periodic = (config: number) => [...up(), write('STIMER0_COUNT', 100), write('STIMER0_CONFIG', config)]
const advance = { op: 'clock.advance', ticks: 1000 }
const gsi = [
  { op: 'gsi.route', entries: [{ gsi: 24, vcpu: 0, sint: 2 }] },
  { op: 'gsi.assert', gsi: 24 },
  onVcpu('apic.ack'),
  onVcpu('apic.eoi'),
]

/** A kind, the fields that tell its form, and a story that makes it. */
const STORIES: readonly [kind: string, form: object, setup: MachineSetup, ops: readonly WireInput[]][] = [
  ['message', { sint: 2, source: 'message' }, { profile: 'tlfs' }, delivered],
  ['message', { nested: true }, { profile: 'tlfs', kind: 'nested_root' }, nested],
  ['message', { source: 'timer' }, { profile: 'tlfs' }, [...periodic(0x20003), advance]],
  ['message', { pending: true }, { profile: 'tlfs' }, [...delivered, post(), post(), complete]],
  ['event', { sint: 2, flag: 5 }, { profile: 'tlfs' }, delivered],
  ['event', { nested: true }, { profile: 'tlfs', kind: 'nested_root' }, nested],
  ['interrupt', { sint: 2, source: 'message' }, { profile: 'kvm-synic2' }, delivered],
  ['interrupt', { source: 'event' }, { profile: 'openvmm' }, delivered],
  ['interrupt', { nested: true }, { profile: 'tlfs', kind: 'nested_root' }, nested],
  ['interrupt', { source: 'gsi' }, { profile: 'kvm-synic2' }, [...up(), ...gsi]],
  ['interrupt', { source: 'timer' }, { profile: 'tlfs' }, [...periodic(0x1ed3), advance]],
  ['interrupt', { source: 'ipi' }, { profile: 'tlfs' }, [write('ICR', 0x400f3)]],
  ['eom', { vcpu: 0 }, { profile: 'tlfs' }, [...delivered, onVcpu('apic.ack'), write('EOM', 0)]],
  ['eoi', { vector: 0xf3 }, { profile: 'kvm-synic2' }, [...up(), ...gsi]],
  ['exit', { msr: '0x40000080' }, { profile: 'kvm-synic2' }, up()],
  ['exit', { input: '0x1005d' }, { profile: 'kvm-synic2' }, [signalCall]],
  ['ack', { gsi: 24 }, { profile: 'kvm-synic2' }, [...up(), ...gsi]],
  ['fault', { fault: 'gp' }, { profile: 'tlfs' }, [write('SVERSION', 9)]],
  ['fault', { fault: 'ud' }, { profile: 'tlfs' }, [{ op: 'hypercall', vcpu: 0, control: '0x1005d' }]],
  [
    'violation',
    { register: 'SINT2' },
    { profile: 'tlfs', options: { disabled_write: 'audit' } },
    [write('SINT2', 0x10000)],
  ],
  ['lifecycle', { event: 'vcpu_created', vcpu: 1 }, { profile: 'tlfs' }, [{ op: 'vcpu.create', vcpu: 1 }]],
  ['lifecycle', { event: 'vcpu_reset', vcpu: 0 }, { profile: 'tlfs' }, [onVcpu('vcpu.reset')]],
  ['lifecycle', { event: 'vcpu_offline', vcpu: 0 }, { profile: 'tlfs' }, [onVcpu('vcpu.offline')]],
  [
    'lifecycle',
    { event: 'vcpu_online', vcpu: 0 },
    { profile: 'tlfs' },
    [onVcpu('vcpu.offline'), onVcpu('vcpu.online')],
  ],
  ['lifecycle', { event: 'paused' }, { profile: 'tlfs' }, [{ op: 'partition.pause' }]],
  [
    'lifecycle',
    { event: 'resumed' },
    { profile: 'tlfs' },
    [{ op: 'partition.pause' }, { op: 'partition.resume' }],
  ],
  ['lifecycle', { event: 'reset' }, { profile: 'tlfs' }, [{ op: 'partition.reset' }]],
  [
    'lifecycle',
    { event: 'kernel_boot' },
    { profile: 'tlfs' },
    [{ op: 'kernel.boot', kernel: 'k2', cause: 'kexec' }],
  ],
  ['lifecycle', { event: 'system_reset' }, { profile: 'tlfs' }, [write('RESET', 1)]],
  ['lifecycle', { event: 'crash' }, { profile: 'tlfs' }, [write('CRASH_CTL', '0x8000000000000000')]],
]

describe('notifications', () => {
  it.each(STORIES)('are told as the schema says: %s, %o', async (kind, form, setup, ops) => {
    const kinds = (await told(setup, ops)).filter((notification) => notification.kind === kind)
    expect(kinds).toContainEqual(expect.objectContaining(form))
  })

  it('have a schema and a story for each kind', () => {
    const kinds = NOTIFICATIONS.map((schema) => kindsOf(schema))
    expect(kinds).toEqual(frames.NOTIFICATION_KINDS.map((kind) => [kind]))
    expect(new Set(STORIES.map(([kind]) => kind))).toEqual(new Set(frames.NOTIFICATION_KINDS))
  })

  it('and results have no other fields, whatever is done', async () => {
    await holds(
      fc.asyncProperty(randomSetup, randomOps(80), async (setup, ops) => {
        const each = [0, 1, 2].flatMap((vcpu) => [
          { op: 'cap.enable', vcpu, cap: 'synic2' },
          ...up('', vcpu),
          ...up('NESTED_', vcpu),
        ])
        // A batch that leaves a vCPU blocked is answered only once it wakes.
        const answered = ops.filter(({ op }) => op !== 'vcpu.halt')
        await told(setup, [...each, ...answered])
      }),
      200,
    )
  })

  it.each([
    ['a kind nobody knows', { kind: 'gossip' }],
    ['a field of another kind', { kind: 'eom', vcpu: 0, vector: 3 }],
    ['a field missing', { kind: 'eoi', vcpu: 0 }],
    ['both forms of an exit', { kind: 'exit', vcpu: 0, msr: '0x1', input: '0x1', params: ['0x0', '0x0'] }],
    ['a vCPU where there is none', { kind: 'ack', vcpu: 0, gsi: 3 }],
    ['no vCPU where there is one', { kind: 'lifecycle', event: 'vcpu_reset' }],
  ])('are refused with %s', (_what, rest) => {
    expect(ServerFrame.safeParse({ n: 1, seq: 1, t: 0, ...rest }).success).toBe(false)
  })
})

describe('the other frames', () => {
  it('are as the schemas say', async () => {
    const host = service.create({ id: 'p1' })
    // The first stream has notifications kept; its ring forgets most of them.
    await exchange('p1', '', [{ id: 1, ops: [] }])
    host.applyBatch(Array.from({ length: 2000 }, () => onVcpu('vcpu.reset')))
    const received = await exchange('p1', '?since=1', [
      { id: 1, subscribe: { kinds: [] } },
      { id: 2, ops: [onVcpu('synic.dump')] },
    ])
    for (const schema of [Hello, Gap, Notification, Subscribed, Answer]) {
      expect(received.filter((frame) => schema.safeParse(frame).success)).not.toEqual([])
    }
  })
})

describe('close codes', () => {
  it('have a meaning each', () => {
    const codes = Object.entries(frames).filter(([name]) => /^CLOSE_(?!CODES)/.test(name))
    expect(Object.keys(frames.CLOSE_CODES).map(Number)).toEqual(codes.map(([, code]) => code).sort())
  })
})
