/** One vCPU over REST: decoded, its registers, messages, event flags and interrupts. */
import { beforeEach, describe, expect, it } from 'vitest'
import { type TestApp, testApp } from '../support/app.js'

let test: TestApp
let path: string
let vcpu: string

beforeEach(async () => {
  test = await testApp()
  path = await test.create({ profile: 'kvm-synic2', vcpus: 2 })
  vcpu = `${path}/vcpus/0`
  const msrs = { SCONTROL: 1, SIEFP: 0x2001, SIMP: 0x1001, SINT2: 0xf3, SINT3: 0x200f4 }
  const writes = Object.entries(msrs).map(([msr, value]) => ({ op: 'msr.write', vcpu: 0, msr, value }))
  await test.ops(path, ...writes)
})

const seqOf = async () => (await test.get(path)).body.seq

describe('a vCPU', () => {
  it('is decoded for people', async () => {
    await test.ops(
      path,
      { op: 'message.post', vcpu: 0, sint: 2, type: 1, hex: '0a0b', sender: '0x7' },
      { op: 'event.signal', vcpu: 0, sint: 3, flag: 100 },
      { op: 'msr.write', vcpu: 0, msr: 'STIMER1_COUNT', value: 1000 },
      { op: 'msr.write', vcpu: 0, msr: 'STIMER1_CONFIG', value: '0x20003' },
      { op: 'msr.write', vcpu: 0, msr: 'STIMER2_CONFIG', value: '0x1ed0' },
    )
    const { body } = await test.get(vcpu)
    expect(body).toMatchObject({
      vcpu: 0,
      vp_index: 0,
      online: true,
      active: true,
      halted: false,
      apicv: { inhibited: true, auto_eoi_users: 1 },
      apic: { enabled: true, tpr: 0, irr: [0xf3, 0xf4], isr: [], deliverable: 0xf4 },
      synic: {
        enabled: true,
        scontrol: '0x1',
        simp: { value: '0x1001', enabled: true, gpa: '0x1000', readable: true },
        events: [{ sint: 3, flags: [100] }],
      },
    })
    const { synic, timers } = body as { synic: { sints: object[]; slots: object[] }; timers: object[] }
    expect(synic.sints[2]).toMatchObject({ vector: 0xf3, masked: false, auto_eoi: false, gsi: null })
    expect(synic.sints[3]).toMatchObject({ vector: 0xf4, masked: false, auto_eoi: true })
    expect(synic.sints[4]).toMatchObject({ value: '0x10000', masked: true })
    expect(synic.slots[2]).toEqual({
      sint: 2,
      state: 'full',
      type: '0x1',
      type_name: 'vmbus_channel_message',
      payload_size: 2,
      pending: false,
      flags: 0,
      sender: '0x7',
      hex: '0a0b',
      waiting: 0,
    })
    expect(timers[1]).toMatchObject({ enabled: true, periodic: true, direct: false, sint: 2, due: 1000 })
    expect(timers[2]).toMatchObject({ enabled: false, direct: true, vector: 0xed, due: null })
  })

  it('has two register files on a nested root', async () => {
    const nested = await test.create({ kind: 'nested_root', vcpus: 1 })
    const { body } = await test.get(`${nested}/vcpus/0`)
    expect(body.nested).toMatchObject({ active: true, slots: [] })
    expect(body.synic).toMatchObject({ sirbp: { enabled: false } })
    expect((await test.get(`${nested}/vcpus/0/events?nested=true`)).body.sints).toEqual([])
  })

  it('is listed with the others, in order of number', async () => {
    await test.ops(
      path,
      { op: 'vcpu.create', vcpu: 9 },
      { op: 'vcpu.create', vcpu: 4 },
      { op: 'vcpu.offline', vcpu: 9 },
    )
    const items = (await test.get(`${path}/vcpus`)).body.items as { vcpu: number; online: boolean }[]
    expect(items.map((item) => [item.vcpu, item.online])).toEqual([
      [0, true],
      [1, true],
      [4, true],
      [9, false],
    ])
  })
})

describe('registers', () => {
  it.each(['SINT2', 'sint2', '0x40000092', '0X40000092', `${0x4000_0092}`])(
    'are found as %s',
    async (msr) => {
      const seq = await seqOf()
      expect((await test.get(`${vcpu}/msrs/${msr}`)).body).toEqual({ ok: true, value: '0xf3' })
      expect(await seqOf()).toBe(seq)
      expect((await test.put(`${vcpu}/msrs/${msr}`, { value: '0xF5' })).body).toEqual({ ok: true })
      expect(await seqOf()).toBe((seq as number) + 1)
      expect((await test.get(`${vcpu}/msrs/SINT2`)).body.value).toBe('0xf5')
    },
  )

  it('refuse as hardware does: that is a result', async () => {
    expect((await test.put(`${vcpu}/msrs/SINT2`, { value: 0xf })).body).toEqual({ ok: false, fault: 'gp' })
    expect((await test.put(`${vcpu}/msrs/SINT2`, { value: 0xf, by: 'host' })).body).toEqual({ ok: true })
    expect((await test.get(`${vcpu}/msrs/0x12345`)).body).toEqual({ ok: false, fault: 'gp' })
    expect((await test.get(`${vcpu}/msrs/0x12345?by=host`)).body).toEqual({ ok: false, errno: -22 })
  })

  it('read as the op does, paused too', async () => {
    await test.ops(path, { op: 'partition.pause' })
    expect((await test.get(`${vcpu}/msrs/SINT2`)).body).toEqual({ ok: false, errno: -16 })
    expect((await test.get(`${vcpu}/msrs/SINT2?by=host`)).body).toEqual({ ok: true, value: '0xf3' })
  })

  it('are listed, each with what reading it gives', async () => {
    const items = (await test.get(`${vcpu}/msrs`)).body.items as { msr: string; name: string }[]
    expect(items.find(({ name }) => name === 'SIMP')).toEqual({
      msr: '0x40000083',
      name: 'SIMP',
      ok: true,
      value: '0x1001',
    })
    expect(items.find(({ name }) => name === 'NESTED_SIMP')).toMatchObject({ ok: false, fault: 'gp' })
    const host = (await test.get(`${vcpu}/msrs?by=host`)).body.items as { msr: string; name: string }[]
    expect(host.find(({ name }) => name === 'NESTED_SIMP')).toMatchObject({ ok: false, errno: -22 })
    for (const item of items.slice(0, 5)) {
      const { msr: _msr, name, ...reading } = item
      expect((await test.get(`${vcpu}/msrs/${name}`)).body).toEqual(reading)
    }
  })
})

describe('messages', () => {
  const body = { sint: 2, type: 1, hex: '0a' }

  it('are posted, seen, taken and acknowledged', async () => {
    const posted = (await test.post(`${vcpu}/messages`, body)).body
    expect(posted).toEqual({ ok: true, delivery: 'delivered', irqs: [{ vcpu: 0, vector: 0xf3 }] })
    expect((await test.post(`${vcpu}/messages`, body)).body).toMatchObject({ ok: false, errno: -11 })
    const { slots } = (await test.get(`${vcpu}/messages`)).body as { slots: object[] }
    expect(slots).toHaveLength(16)
    expect(slots[2]).toMatchObject({ state: 'full', pending: true, hex: '0a' })
    expect((await test.post(`${vcpu}/apic/ack`)).body).toEqual({ ok: true, vector: 0xf3 })
    expect((await test.post(`${vcpu}/messages/2/complete`, { actor: 'vmbus' })).body).toEqual({
      ok: true,
      value: '0x1',
    })
    expect((await test.post(`${vcpu}/apic/eoi`)).body).toEqual({ ok: true })
  })

  it('have no page while SIMP is disabled', async () => {
    await test.put(`${vcpu}/msrs/SIMP`, { value: 0 })
    expect((await test.get(`${vcpu}/messages`)).body).toEqual({
      page: { value: '0x0', enabled: false, gpa: '0x0', readable: true },
      slots: [],
    })
    expect((await test.post(`${vcpu}/messages`, body)).body.ok).toBe(false)
  })
})

describe('event flags', () => {
  it('are signalled, seen, and cleared as a guest does: in the log', async () => {
    for (const flag of [0, 7, 2047]) await test.post(`${vcpu}/events`, { sint: 2, flag })
    expect((await test.get(`${vcpu}/events`)).body.sints).toEqual([{ sint: 2, flags: [0, 7, 2047] }])
    expect((await test.delete(`${vcpu}/events/2/7`)).body).toEqual({ ok: true, value: '0x81' })
    expect((await test.get(`${vcpu}/events`)).body.sints).toEqual([{ sint: 2, flags: [0, 2047] }])
    const seq = await seqOf()
    const [, line] = (await test.get(`${path}/log?from=${seq}`)).text.split('\n')
    expect(JSON.parse(line).in).toEqual({
      op: 'mem.cas',
      gpa: '0x2200',
      len: 1,
      expect: '0x81',
      value: '0x1',
    })
    expect((await test.delete(`${vcpu}/events/2/7`)).body).toEqual({ ok: true, value: '0x1' })
  })

  it('cannot be cleared while paused, nor without a page, nor where there is no memory', async () => {
    await test.ops(path, { op: 'partition.pause' })
    expect((await test.delete(`${vcpu}/events/2/7`)).body).toEqual({ ok: false, errno: -16 })
    await test.ops(
      path,
      { op: 'partition.resume' },
      { op: 'msr.write', vcpu: 0, msr: 'SIEFP', value: '0xfffffffff001' },
    )
    expect((await test.delete(`${vcpu}/events/2/7`)).body.type).toBe('/problems/gpa-out-of-range')
    await test.put(`${vcpu}/msrs/SIEFP`, { value: 0 })
    expect((await test.delete(`${vcpu}/events/2/7`)).body.type).toBe('/problems/page-disabled')
  })
})
