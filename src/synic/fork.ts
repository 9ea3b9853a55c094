/** A second partition with the same state, cheaply: registers are copied, pages are shared until written. */
import { Effects } from './effects.js'
import { Machine } from './machine.js'
import { Partition } from './partition.js'

/**
 * Neither partition sees what later happens to the other.
 * @param effects where the fork's ops say what they did
 */
export function forkPartition(partition: Partition, effects = new Effects()): Partition {
  const machine = copyMachine(partition.machine, effects)
  const fork = new Partition(machine.config, machine, partition.names.copy())
  fork.seq = partition.seq
  return fork
}

function copyMachine(m: Machine, effects: Effects): Machine {
  const copy = new Machine(m.config, effects)
  copy.w = m.w.slice()
  copy.vcpuCount = m.vcpuCount
  copy.shared = m.shared.slice()
  copy.plain = new Map(m.plain)
  copy.now = m.now
  copy.paused = m.paused
  copy.memory = m.memory.fork()
  copy.due = m.due.copy()
  copy.autoEoiUsers = m.autoEoiUsers
  copy.timerRows = [...m.timerRows]
  copy.scanRows = [...m.scanRows]
  copy.synicPages = new Map([...m.synicPages].map(([gpn, keys]) => [gpn, [...keys]]))
  // Messages are never changed in place but for a timer's delivery time, written when it leaves the queue.
  copy.queues = new Map(
    [...m.queues].map(([key, queue]) => [
      key,
      queue.map((message) => ({ ...message, words: message.words.slice() })),
    ]),
  )
  for (const [key, route] of m.qemuRoutes) copy.qemuRoutes.set(key, { ...route })
  copy.bottomHalves = m.bottomHalves.flatMap(({ f, sint }) => copy.qemuRoutes.get(m.queueKey(f, sint)) ?? [])
  copy.routes = m.routes
  copy.routed = m.routed
  copy.irqfds = new Map(m.irqfds)
  copy.eventfds = new Set(m.eventfds)
  copy.ports = new Map(m.ports)
  copy.connections = new Map(m.connections)
  copy.doorbells = m.doorbells
  copy.rings = new Map(
    [...m.rings].map(([key, ring]) => [key, { head: ring.head, waiting: [...ring.waiting] }]),
  )
  copy.splits = m.splits.map((split) => ({ ...split }))
  copy.pageHolders = new Map(m.pageHolders)
  copy.actors = new Map(m.actors)
  copy.kernel = m.kernel
  return copy
}
