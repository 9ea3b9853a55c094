/** QEMU's own routes are found by the GSI that is acknowledged, whatever copies or drops them. */
import { describe, expect, it } from 'vitest'
import { Service } from '../../src/engine/service.js'
import type { Machine } from '../../src/synic/machine.js'
import { QemuRoutes } from '../../src/synic/qemu-routes.js'

const write = (vcpu: number, msr: string, value: string) => ({ op: 'msr.write', vcpu, msr, value })
const post = (vcpu: number, sint: number) => ({ op: 'message.post', vcpu, sint, type: 1, hex: '01' })

/** Two vCPUs with a route each, and a third route that was made while SCONTROL was clear. */
function started() {
  const service = new Service()
  const host = service.create({ id: 'q', profile: 'qemu', vcpus: 3 })
  const ops = [0, 1].flatMap((vcpu) => [
    write(vcpu, 'SCONTROL', '0x1'),
    write(vcpu, 'SIMP', vcpu === 0 ? '0x10001' : '0x12001'),
    write(vcpu, 'SINT2', '0xf3'),
    post(vcpu, 2),
  ])
  host.applyBatch([...ops, post(2, 2)])
  return { service, host }
}

const gsisOf = ({ qemuRoutes }: Machine) =>
  [24, 25, 26].map((gsi) => {
    const route = qemuRoutes.ofGsi(gsi)
    return route === undefined ? undefined : [route.vp, route.sint]
  })
const BOTH = [[0, 2], [1, 2], undefined]

describe("a QEMU route's GSI", () => {
  it('finds the route; one without a GSI is found by none', () => {
    const { machine } = started().host.partition
    expect(machine.qemuRoutes.size).toBe(3)
    expect(gsisOf(machine)).toEqual(BOTH)
    expect(machine.qemuRoutes.ofGsi(-1)).toBeUndefined()
  })

  it('finds the copy in a fork and in what was restored', () => {
    const { service, host } = started()
    const fork = service.fork(host, 'f').partition.machine
    const restored = service.restore('r', service.snapshot(host)).partition.machine
    for (const copy of [fork, restored]) {
      expect(gsisOf(copy)).toEqual(BOTH)
      for (const route of copy.qemuRoutes.values()) {
        if (route.gsi >= 0) expect(copy.qemuRoutes.ofGsi(route.gsi)).toBe(route)
      }
      expect(copy.qemuRoutes.ofGsi(24)).not.toBe(host.partition.machine.qemuRoutes.ofGsi(24))
    }
  })

  it('finds nothing once a reset has dropped the routes', () => {
    const { host } = started()
    host.applyBatch([{ op: 'partition.reset' }])
    expect(gsisOf(host.partition.machine)).toEqual([undefined, undefined, undefined])
  })

  it('is never taken back alone', () => {
    expect(() => new QemuRoutes().delete()).toThrow('not taken back')
  })
})
