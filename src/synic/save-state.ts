/**
 * The whole state as one plain document, hidden state included, and back (delivery rules: "a snapshot is
 * complete").
 */
import { bitsSet, setBit } from '../hv/bits.js'
import { hexOfBytes } from '../hv/hex.js'
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import { SINT_COUNT, STIMER_COUNT } from '../hv/registers.js'
import { hex64 } from './dump.js'
import { Effects } from './effects.js'
import { routeEntries } from './gsi-routes.js'
import * as at from './layout.js'
import { CRASH_P0, GUEST_OS_ID, HYPERCALL, Machine, type PartitionConfig, REFERENCE_TSC } from './machine.js'
import { NO_TICKET, type QueuedMessage } from './message-queue.js'
import { MESSAGE_PAGE, type SynicPage } from './pages.js'
import { Partition } from './partition.js'
import type { Connection, Doorbell, Port } from './ports.js'
import { MODEL_OPENVMM } from './profile.js'
import * as saved from './saved-state.js'
import { setSintGsi, sintGsi } from './sint.js'
import { timerAt } from './stimer.js'

const indices = (count: number) => Array.from({ length: count }, (_, i) => i)

function saveMessage(message: QueuedMessage): saved.SavedMessage {
  const { owner, source, type, bytes } = message
  const payload = new Uint8Array(message.words.buffer, message.words.byteOffset, bytes)
  const sender = hex64(Int32Array.of(message.senderLo, message.senderHi), 0)
  return { owner, source, type: type >>> 0, sender, hex: hexOfBytes(payload) }
}

/** Bytes of a frame up to the last that is not zero; null for a frame that was never made. */
function saveFrame(m: Machine, frame: number): string | null {
  if (frame === 0) return null
  const view = m.memory.view(frame)
  let words = view.length
  while (words > 0 && view[words - 1] === 0) words--
  return hexOfBytes(new Uint8Array(view.buffer, view.byteOffset, words * 4))
}

function saveFile(m: Machine, f: number): saved.SavedFile {
  const { w } = m
  const ram = m.profile.pages === 'ram'
  return {
    scontrol: hex64(w, f + at.SCONTROL),
    sversion: hex64(w, f + at.SVERSION),
    siefp: hex64(w, f + at.SIEFP),
    simp: hex64(w, f + at.SIMP),
    sirbp: hex64(w, f + at.SIRBP),
    sints: indices(SINT_COUNT).map((sint) => hex64(w, f + at.SINTS + 2 * sint)),
    sint_to_gsi: indices(SINT_COUNT).map((sint) => sintGsi(m, f, sint)),
    vectors: bitsSet(w, f + at.VECTORS),
    auto_eoi_vectors: bitsSet(w, f + at.AUTO_EOI_VECTORS),
    sint_masks: w[f + at.SINT_MASKS],
    flags: w[f + at.FILE_FLAGS],
    // On plain RAM the pages are part of guest memory.
    // A page of zeros may or may not have a frame; nobody can tell, so the document does not either.
    message_page: ram ? null : saveFrame(m, w[f + at.MESSAGE_FRAME]) || null,
    event_page: ram ? null : saveFrame(m, w[f + at.EVENT_FRAME]) || null,
  }
}

function saveVcpu(m: Machine, v: number): saved.SavedVcpu {
  const { w } = m
  const row = v / m.stride
  return {
    id: w[v + at.VCPU_ID],
    vp_index: w[v + at.VP_INDEX],
    files: m.filesOf(v).map((f) => saveFile(m, f)),
    irr: bitsSet(w, v + at.IRR),
    isr: bitsSet(w, v + at.ISR),
    tpr: w[v + at.TPR],
    flags: w[v + at.FLAGS],
    vp_assist: hex64(w, v + at.VP_ASSIST),
    timers: indices(STIMER_COUNT).map((i) => {
      const t = timerAt(v, i)
      const due = m.due.dueOf(row * STIMER_COUNT + i)
      return {
        config: hex64(w, t + at.CONFIG),
        count: hex64(w, t + at.COUNT),
        exp_time: hex64(w, t + at.EXP_TIME),
        deadline: Number.isFinite(due) ? due : null,
      }
    }),
  }
}

/** A place in the slab that holds a register file, as it is named in a document. */
function filePlace(m: Machine, f: number): saved.SavedPlace {
  return { vcpu: m.vcpuId(m.rowOfFile(f)), nested: m.isNestedFile(f) }
}

const byKey = <T>(map: ReadonlyMap<number, T>) => [...map].sort(([a], [b]) => a - b)

/** Takes the state; the partition goes on. Two partitions in the same state give the same document. */
export function savePartition(partition: Partition): saved.SavedState {
  const m = partition.machine
  const place = (key: number) => ({ ...filePlace(m, Math.floor(key / 16)), sint: key % 16 })
  return {
    format: saved.SNAPSHOT_FORMAT,
    version: saved.SNAPSHOT_VERSION,
    config: {
      kind: m.config.kind,
      profile: m.config.profile,
      gpa_limit: gpaText(m.config.gpaPages),
      memory_pages_max: m.config.memoryPagesMax,
      options: m.options,
    },
    seq: partition.seq,
    now: m.now,
    paused: m.paused,
    kernel: m.kernel,
    guest_os_id: hex64(m.shared, GUEST_OS_ID),
    hypercall: hex64(m.shared, HYPERCALL),
    reference_tsc: hex64(m.shared, REFERENCE_TSC),
    crash: indices(6).map((i) => hex64(m.shared, CRASH_P0 + 2 * i)),
    other_registers: byKey(m.plain).map(([key, value]) => ({ key, value: hex64(Int32Array.from(value), 0) })),
    vcpus: indices(m.vcpuCount).map((row) => saveVcpu(m, row * m.stride)),
    memory: m.memory
      .gpns()
      .map((gpn) => ({ gpa: gpaText(gpn), hex: saveFrame(m, m.memory.frameAt(gpn)) ?? '' })),
    mapped_pages: byKey(m.synicPages).map(([gpn, keys]) => ({
      gpa: gpaText(gpn),
      pages: keys.map((key) => ({ ...filePlace(m, key >> 1), page: key & 1 })),
    })),
    queues: byKey(m.queues).map(([key, queue]) => ({ ...place(key), messages: queue.map(saveMessage) })),
    qemu_routes: byKey(m.qemuRoutes).map(([key, route]) => ({
      ...place(key),
      vp_index: route.vp,
      gsi: route.gsi,
      staged: route.staged === null ? null : saveMessage(route.staged),
    })),
    bottom_halves: m.bottomHalves.map(({ f, sint }) => place(m.queueKey(f, sint))),
    gsi_routes: routeEntries(m),
    irqfds: byKey(m.irqfds).map(([gsi, state]) => ({ gsi, state })),
    eventfds: [...m.eventfds].sort((a, b) => a - b),
    ports: byKey(m.ports).map(([id, port]) => savePort(id, port)),
    connections: [...m.connections].map(([id, connection]) => saveConnection(id, connection)),
    rings: byKey(m.rings).map(([key, ring]) => ({
      ...place(key),
      head: ring.head,
      waiting: [...ring.waiting],
    })),
    split_deliveries: m.splits.map(({ f, sint, message, state }) => ({
      ...filePlace(m, f),
      sint,
      state,
      message: saveMessage(message),
    })),
    page_holders: byKey(m.pageHolders).map(([gpn, actor]) => ({ gpa: gpaText(gpn), actor })),
    actors: [...m.actors].map(([name, { claims }]) => ({
      name,
      claims: claims.map(({ vcpu, msr }) => ({ vcpu, msr: msr >>> 0 })),
    })),
  }
}

function gpaText(gpn: number): string {
  return `0x${(BigInt(gpn) * BigInt(GPA_PAGE_BYTES)).toString(16)}`
}

function gpnOfText(gpa: string): number {
  return Number(BigInt(gpa) / BigInt(GPA_PAGE_BYTES))
}

function restoreMessage(document: saved.SavedMessage): QueuedMessage {
  const { owner, source, type, sender, hex } = document
  const bytes = hex.length / 2
  const words = new Int32Array((bytes + 3) >> 2)
  saved.fillBytes(new Uint8Array(words.buffer), hex)
  const [senderLo, senderHi] = saved.halvesOf(sender)
  return { owner, source, type: type | 0, bytes, senderLo, senderHi, words, at: 0, ticket: NO_TICKET }
}

function put64(words: Int32Array, to: number, text: string): void {
  const [lo, hi] = saved.halvesOf(text)
  words[to] = lo
  words[to + 1] = hi
}

function restoreFrame(m: Machine, hex: string | null): number {
  if (hex === null) return 0
  const frame = m.memory.allocate()
  saved.fillBytes(m.memory.bytes(frame), hex)
  return frame
}

function restoreFile(m: Machine, f: number, file: saved.SavedFile): void {
  const { w } = m
  put64(w, f + at.SCONTROL, file.scontrol)
  put64(w, f + at.SVERSION, file.sversion)
  put64(w, f + at.SIEFP, file.siefp)
  put64(w, f + at.SIMP, file.simp)
  put64(w, f + at.SIRBP, file.sirbp)
  file.sints.forEach((sint, i) => {
    put64(w, f + at.SINTS + 2 * i, sint)
  })
  file.sint_to_gsi.forEach((gsi, sint) => {
    setSintGsi(m, f, sint, gsi)
  })
  for (const vector of file.vectors) setBit(w, f + at.VECTORS, vector)
  for (const vector of file.auto_eoi_vectors) setBit(w, f + at.AUTO_EOI_VECTORS, vector)
  if (m.profile.model !== MODEL_OPENVMM && file.auto_eoi_vectors.length > 0) m.autoEoiUsers++
  w[f + at.SINT_MASKS] = file.sint_masks
  w[f + at.FILE_FLAGS] = file.flags
  w[f + at.MESSAGE_FRAME] = restoreFrame(m, file.message_page)
  w[f + at.EVENT_FRAME] = restoreFrame(m, file.event_page)
}

function restoreVcpu(m: Machine, vcpu: saved.SavedVcpu): void {
  m.growRows()
  const row = m.vcpuCount++
  const v = row * m.stride
  const { w } = m
  w[v + at.VCPU_ID] = vcpu.id
  w[v + at.VP_INDEX] = vcpu.vp_index
  m.filesOf(v).forEach((f, i) => {
    restoreFile(m, f, vcpu.files[i])
  })
  for (const vector of vcpu.irr) setBit(w, v + at.IRR, vector)
  for (const vector of vcpu.isr) setBit(w, v + at.ISR, vector)
  w[v + at.TPR] = vcpu.tpr
  w[v + at.FLAGS] = vcpu.flags
  if ((vcpu.flags & at.IN_TIMER_ROWS) !== 0) m.timerRows.push(v)
  if ((vcpu.flags & at.IN_SCAN_ROWS) !== 0) m.scanRows.push(v)
  put64(w, v + at.VP_ASSIST, vcpu.vp_assist)
  vcpu.timers.forEach((timer, i) => {
    const t = timerAt(v, i)
    put64(w, t + at.CONFIG, timer.config)
    put64(w, t + at.COUNT, timer.count)
    put64(w, t + at.EXP_TIME, timer.exp_time)
    if (timer.deadline !== null) m.due.arm(row * STIMER_COUNT + i, timer.deadline)
  })
}

/** Lays the pages where they were, in the order in which they were mapped. */
function restoreMappings(m: Machine, mapped: saved.SavedState['mapped_pages'], fileAt: FileAt): void {
  for (const { gpa, pages } of mapped) {
    const gpn = gpnOfText(gpa)
    const keys = pages.map((page) => fileAt(page) * 2 + page.page)
    m.synicPages.set(gpn, keys)
    for (const key of keys) {
      const map = ((key & 1) as SynicPage) === MESSAGE_PAGE ? at.MESSAGE_MAP : at.EVENT_MAP
      put64(m.w, (key >> 1) + map, `0x${(gpn + 1).toString(16)}`)
    }
  }
}

type FileAt = (place: saved.SavedPlace) => number

function restoreQueues(m: Machine, state: saved.SavedState, fileAt: FileAt): void {
  const keyOf = (place: saved.SavedPlace & { sint: number }) => m.queueKey(fileAt(place), place.sint)
  for (const queue of state.queues) m.queues.set(keyOf(queue), queue.messages.map(restoreMessage))
  for (const route of state.qemu_routes) {
    const { vp_index: vp, sint, gsi } = route
    const staged = route.staged === null ? null : restoreMessage(route.staged)
    m.qemuRoutes.set(keyOf(route), { f: fileAt(route), vp, sint, gsi, staged, scheduled: false })
  }
  for (const place of state.bottom_halves) {
    const route = m.qemuRoutes.get(keyOf(place))
    if (route === undefined) continue
    route.scheduled = true
    m.bottomHalves.push(route)
  }
  for (const ring of state.rings) m.rings.set(keyOf(ring), { head: ring.head, waiting: [...ring.waiting] })
  for (const split of state.split_deliveries) {
    const { sint, state: progress } = split
    m.splits.push({ f: fileAt(split), sint, state: progress, message: restoreMessage(split.message) })
  }
}

function savePort(id: number, { type, vp, sint, baseFlag, flagCount }: Port): saved.SavedPort {
  return { id, type, vp_index: vp, sint, flag_base: baseFlag, flag_count: flagCount }
}

function saveConnection(id: number, { port, doorbell }: Connection): saved.SavedConnection {
  if (doorbell === null) return { id, port, doorbell }
  const { gpaLo, gpaHi, valueLo, valueHi, flags } = doorbell
  const words = Int32Array.of(gpaLo, gpaHi, valueLo, valueHi)
  return { id, port, doorbell: { gpa: hex64(words, 0), value: hex64(words, 2), flags: flags >>> 0 } }
}

function restorePorts(m: Machine, state: saved.SavedState): void {
  for (const { id, type, vp_index: vp, sint, flag_base: baseFlag, flag_count: flagCount } of state.ports) {
    m.ports.set(id, { type, vp, sint, baseFlag, flagCount })
  }
  for (const { id, port, doorbell } of state.connections) {
    m.connections.set(id, { port, doorbell: doorbell === null ? null : restoreDoorbell(doorbell) })
    if (doorbell !== null) m.doorbells++
  }
}

function restoreDoorbell({ gpa, value, flags }: NonNullable<saved.SavedConnection['doorbell']>): Doorbell {
  const [gpaLo, gpaHi] = saved.halvesOf(gpa)
  const [valueLo, valueHi] = saved.halvesOf(value)
  return { gpaLo, gpaHi, valueLo, valueHi, flags: flags | 0 }
}

/** A partition in the state a document describes. The document's shape has been checked before. */
export function restorePartition(state: saved.SavedState, effects = new Effects()): Partition {
  const config: PartitionConfig = {
    kind: state.config.kind,
    profile: state.config.profile,
    gpaPages: gpnOfText(state.config.gpa_limit),
    memoryPagesMax: state.config.memory_pages_max,
    options: state.config.options,
  }
  const m = new Machine(config, effects)
  m.reserveRows(state.vcpus.length)
  m.now = state.now
  m.paused = state.paused
  m.kernel = state.kernel
  put64(m.shared, GUEST_OS_ID, state.guest_os_id)
  put64(m.shared, HYPERCALL, state.hypercall)
  put64(m.shared, REFERENCE_TSC, state.reference_tsc)
  state.crash.forEach((value, i) => {
    put64(m.shared, CRASH_P0 + 2 * i, value)
  })
  for (const { key, value } of state.other_registers) m.plain.set(key, saved.halvesOf(value))
  for (const { gpa, hex } of state.memory) {
    const frame = m.memory.writableFrameAt(gpnOfText(gpa))
    saved.fillBytes(m.memory.bytes(frame), hex)
  }
  for (const vcpu of state.vcpus) restoreVcpu(m, vcpu)
  const fileAt: FileAt = ({ vcpu, nested }) => m.rowOf(vcpu) + (nested ? at.NESTED_FILE : 0)
  restoreMappings(m, state.mapped_pages, fileAt)
  restoreQueues(m, state, fileAt)
  saved.restoreRoutes(m, state.gsi_routes)
  for (const { gsi, state: bound } of state.irqfds) m.irqfds.set(gsi, bound)
  for (const conn of state.eventfds) m.eventfds.add(conn)
  restorePorts(m, state)
  for (const { gpa, actor } of state.page_holders) m.pageHolders.set(gpnOfText(gpa), actor)
  for (const { name, claims } of state.actors) {
    m.actors.set(name, { claims: claims.map(({ vcpu, msr }) => ({ vcpu, msr: msr | 0 })) })
  }
  const partition = new Partition(config, m)
  partition.seq = state.seq
  return partition
}
