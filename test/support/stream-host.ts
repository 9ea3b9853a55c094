/** Partitions for stream sessions without sockets, and all that such a session can change. */
import type { PartitionHost } from '../../src/engine/partition-host.js'
import { Service } from '../../src/engine/service.js'
import { savePartition } from '../../src/synic/save-state.js'
import type { MachineSetup } from './machine.js'

/** A partition of its own service, whose notifications are kept from the first. */
export function listenedHost(setup: MachineSetup): PartitionHost {
  const { profile, kind, vcpus, gpaPages, options } = setup
  const host = new Service().create({ id: 'p1', profile, kind, vcpus, gpaPages, options })
  host.notifications.listen(() => {})
  return host
}

/** All that ops can change, as one text. */
export function stateOf(host: PartitionHost): string {
  const names = Array.from({ length: host.partition.names.size }, (_, i) => host.partition.names.text(i))
  return JSON.stringify([savePartition(host.partition), host.notifications.lastN, names.sort()])
}
