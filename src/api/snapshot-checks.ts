/** What must fit together in a snapshot, so that restoring it makes a machine that could have become so. */
import { gpnOf } from '../hv/bits.js'
import { FIRST_VALID_VECTOR, PAGE_ENABLE, SINT_AUTO_EOI, SINT_MASKED, SINT_VECTOR } from '../hv/registers.js'
import * as at from '../synic/layout.js'
import { MODEL_OPENVMM, MODEL_QEMU, MODEL_TLFS, PROFILES, type Profile } from '../synic/profile.js'
import {
  halvesOf,
  type SavedFile,
  type SavedMessage,
  type SavedPlace,
  type SavedState,
  type SavedVcpu,
} from '../synic/saved-state.js'

export interface Misfit {
  readonly path: string
  readonly rule: string
}

/** As many as help; a document that fits nowhere needs no longer list. */
const MISFITS_MAX = 20
/** Registers that only hold what was written, by the low twelve bits of their numbers. */
const PLAIN_REGISTERS = new Set([0x10, 0x22, 0x23, 0x71, 0x114, 0x115])
const TIMER_MESSAGE_HEX = 48
const ENABLE_BIT = 1
const FIRST_QEMU_GSI = 24

class Checker {
  readonly misfits: Misfit[] = []
  readonly profile: Profile
  readonly nested: boolean
  /** Files by vCPU id. */
  readonly vcpus: ReadonlyMap<number, SavedVcpu>
  readonly ports: ReadonlySet<number>

  constructor(readonly state: SavedState) {
    this.profile = PROFILES[state.config.profile]
    this.nested = this.profile.microsoftRegisters && state.config.kind === 'nested_root'
    this.vcpus = new Map(state.vcpus.map((vcpu) => [vcpu.id, vcpu]))
    this.ports = new Set(state.ports.map(({ id }) => id))
  }

  must(holds: boolean, path: string, rule: string): void {
    if (!holds && this.misfits.length < MISFITS_MAX) this.misfits.push({ path, rule })
  }

  /** Every key once; with `sorted`, in ascending order. */
  keys(keys: readonly (number | string | bigint)[], path: string, sorted: boolean): void {
    const seen = new Set<number | string | bigint>()
    keys.forEach((key, i) => {
      this.must(!seen.has(key), `${path}/${i}`, 'the only entry of its kind')
      if (sorted) this.must(i === 0 || key >= keys[i - 1], `${path}/${i}`, 'in ascending order')
      seen.add(key)
    })
  }

  fileAt({ vcpu, nested }: SavedPlace): SavedFile | undefined {
    return this.vcpus.get(vcpu)?.files[nested ? 1 : 0]
  }

  /** Does a place name a register file that exists? */
  place(place: SavedPlace, path: string): boolean {
    const exists = this.fileAt(place) !== undefined
    this.must(exists, path, 'a register file of a vCPU of this document')
    return exists
  }
}

const placeKey = ({ vcpu, nested }: SavedPlace, more: number) => `${vcpu}.${nested ? 1 : 0}.${more}`

export function checkSnapshot(state: SavedState): readonly Misfit[] {
  const c = new Checker(state)
  c.must(state.config.gpa_limit !== '0x0', 'config/gpa_limit', 'above 0x0')
  c.keys(
    state.vcpus.map(({ id }) => id),
    'vcpus',
    false,
  )
  state.vcpus.forEach((vcpu, i) => {
    checkVcpu(c, vcpu, `vcpus/${i}`)
  })
  checkRegisters(c)
  checkMemory(c)
  checkMappings(c)
  checkQueues(c)
  checkQemu(c)
  checkTables(c)
  return c.misfits
}

function checkVcpu(c: Checker, vcpu: SavedVcpu, path: string): void {
  const { model, kvm } = c.profile
  c.must(vcpu.files.length === (c.nested ? 2 : 1), `${path}/files`, c.nested ? 'two files' : 'one file')
  vcpu.files.forEach((file, i) => {
    checkFile(c, file, `${path}/files/${i}`)
  })
  const has = (bits: number) => (vcpu.flags & bits) !== 0
  const listed = !has(at.TIMER_PENDING) || has(at.IN_TIMER_ROWS) || has(at.OFFLINE)
  c.must(listed, `${path}/flags`, 'flags where pending timers are listed')
  const scans = model === MODEL_OPENVMM
  const waits = vcpu.files.some((file) => file.sint_masks >>> at.REQUESTED_SHIFT !== 0) || has(at.MSG_PENDING)
  c.must(scans ? !waits || has(at.IN_SCAN_ROWS) : !has(at.IN_SCAN_ROWS), `${path}/flags`, 'flags that fit')
  c.must(kvm || scans || !has(at.MSG_PENDING), `${path}/flags`, 'flags without a waiting expiry')
  c.must(model === MODEL_TLFS || !has(at.TIMER_QUEUED), `${path}/flags`, 'flags without a queued timer')
  vcpu.timers.forEach((timer, i) => {
    const runs = (halvesOf(timer.config)[0] & ENABLE_BIT) !== 0 && timer.count !== '0x0'
    const due = timer.deadline
    const where = `${path}/timers/${i}/deadline`
    c.must(due === null || runs, where, 'null: this timer does not run')
    c.must(due === null || due >= c.state.now, where, 'not in the past')
  })
}

/** Vectors of the unmasked SINTs; with `auto`, of those with auto-EOI. */
function vectorsOf(file: SavedFile, auto: boolean): string {
  const vectors = new Set<number>()
  for (const text of file.sints) {
    const [lo] = halvesOf(text)
    const vector = lo & SINT_VECTOR
    if ((lo & SINT_MASKED) !== 0 || vector < FIRST_VALID_VECTOR) continue
    if (!auto || (lo & SINT_AUTO_EOI) !== 0) vectors.add(vector)
  }
  return [...vectors].sort((a, b) => a - b).join()
}

function checkFile(c: Checker, file: SavedFile, path: string): void {
  const { kvm, model, pages } = c.profile
  c.must(file.vectors.join() === vectorsOf(file, false), `${path}/vectors`, 'the vectors of unmasked SINTs')
  const auto = `${path}/auto_eoi_vectors`
  if (model === MODEL_OPENVMM) {
    c.must((file.auto_eoi_vectors[0] ?? 255) >= FIRST_VALID_VECTOR, auto, 'vectors from 16 up')
  } else {
    c.must(file.auto_eoi_vectors.join() === vectorsOf(file, true), auto, 'the vectors of auto-EOI SINTs')
  }
  const masks = `${path}/sint_masks`
  if (kvm) {
    const routed = file.sint_to_gsi.reduce((bits, gsi, sint) => (gsi < 0 ? bits : bits | (1 << sint)), 0)
    c.must(file.sint_masks === routed, masks, 'one bit for each SINT with a GSI')
    c.must(file.flags !== at.DONT_ZERO_PAGES, `${path}/flags`, 'flags of a SynIC')
  } else {
    c.must(file.flags === at.ACTIVE, `${path}/flags`, 'active')
    if (model === MODEL_TLFS) c.must(file.sint_masks >>> at.REQUESTED_SHIFT === 0, masks, 'within 16 bits')
  }
  const own = file.message_page !== null || file.event_page !== null
  c.must(pages !== 'ram' || !own, path, 'without pages of its own: they are guest memory')
}

function checkRegisters(c: Checker): void {
  const keys = c.state.other_registers.map(({ key }) => key)
  c.keys(keys, 'other_registers', true)
  keys.forEach((key, i) => {
    const known = PLAIN_REGISTERS.has(key % 0x1000) && key < c.state.vcpus.length * 0x1000
    c.must(known, `other_registers/${i}/key`, 'a register that holds what is written')
  })
}

function checkMemory(c: Checker): void {
  const { memory, page_holders: holders } = c.state
  c.keys(
    memory.map(({ gpa }) => BigInt(gpa)),
    'memory',
    true,
  )
  c.keys(
    holders.map(({ gpa }) => BigInt(gpa)),
    'page_holders',
    true,
  )
}

/** GPN where a page register lays its page; -1 for nowhere. QEMU takes address 0 for "none". */
function mappedTo(c: Checker, register: string): number {
  const [lo, hi] = halvesOf(register)
  if ((lo & PAGE_ENABLE) === 0) return -1
  const gpn = gpnOf(lo, hi)
  return c.profile.model === MODEL_QEMU && gpn === 0 ? -1 : gpn
}

/** Pages lie exactly where the registers say. */
function checkMappings(c: Checker): void {
  const expected = new Map<string, number>()
  for (const { id, files } of c.state.vcpus) {
    files.forEach((file, i) => {
      for (const [page, register] of [file.simp, file.siefp].entries()) {
        const gpn = mappedTo(c, register)
        if (gpn >= 0) expected.set(placeKey({ vcpu: id, nested: i === 1 }, page), gpn)
      }
    })
  }
  const mapped = c.state.mapped_pages
  c.keys(
    mapped.map(({ gpa }) => BigInt(gpa)),
    'mapped_pages',
    true,
  )
  const ram = new Set(c.state.memory.map(({ gpa }) => BigInt(gpa)))
  mapped.forEach(({ gpa, pages }, i) => {
    // OpenVMM holds the page that will take an overlay's bytes; a later one might go beyond memory_pages_max.
    const held = c.profile.pages !== 'overwriting-overlay' || ram.has(BigInt(gpa))
    c.must(held, `mapped_pages/${i}/gpa`, 'a page of memory, which lies underneath')
    pages.forEach((page, j) => {
      const key = placeKey(page, page.page)
      const there = expected.get(key) === Number(BigInt(gpa) >> 12n)
      c.must(there, `mapped_pages/${i}/pages/${j}`, 'where an enabled SIMP or SIEFP points, once')
      expected.delete(key)
    })
  })
  c.must(expected.size === 0, 'mapped_pages', 'complete: every enabled SIMP and SIEFP lays a page')
}

function checkQueues(c: Checker): void {
  const { queues, vcpus } = c.state
  const { model } = c.profile
  const has = model === MODEL_TLFS || model === MODEL_OPENVMM
  c.must(has || queues.length === 0, 'queues', 'empty: this profile has no queues')
  c.keys(
    queues.map((queue) => placeKey(queue, queue.sint)),
    'queues',
    false,
  )
  const timers = new Map<number, number>()
  queues.forEach((queue, i) => {
    const path = `queues/${i}`
    if (!has || !c.place(queue, path)) return
    const masks = c.fileAt(queue)?.sint_masks ?? 0
    const bit = model === MODEL_TLFS ? queue.sint : queue.sint + at.REQUESTED_SHIFT
    c.must(((masks >>> bit) & 1) !== 0, path, 'marked in sint_masks')
    queue.messages.forEach((message, j) => {
      checkQueued(c, message, queue, timers, `${path}/messages/${j}`)
    })
  })
  vcpus.forEach(({ id, flags }, i) => {
    const queued = (flags & at.TIMER_QUEUED) >> at.TIMER_QUEUED_SHIFT
    c.must(queued === (timers.get(id) ?? 0), `vcpus/${i}/flags`, 'flags with a bit for each queued timer')
  })
}

function checkQueued(
  c: Checker,
  message: SavedMessage,
  place: SavedPlace,
  timers: Map<number, number>,
  path: string,
): void {
  checkOwner(c, message, path)
  const timer = -3 - message.owner
  if (timer < 0) return
  const bits = timers.get(place.vcpu) ?? 0
  const first = ((bits >> timer) & 1) === 0 && !place.nested && c.profile.model === MODEL_TLFS
  c.must(first, path, 'the only message of its timer, in its first file')
  c.must(message.hex.length === TIMER_MESSAGE_HEX, `${path}/hex`, 'the 24 bytes of an expiry')
  timers.set(place.vcpu, bits | (1 << timer))
}

function checkOwner(c: Checker, { owner }: SavedMessage, path: string): void {
  const known = owner < 0 || c.ports.has(owner)
  c.must(known, `${path}/owner`, 'a port of this document')
}

function checkQemu(c: Checker): void {
  const { qemu_routes: routes, bottom_halves: halves, gsi_routes: table } = c.state
  const qemu = c.profile.model === MODEL_QEMU
  c.must(qemu || routes.length === 0, 'qemu_routes', 'empty: only the profile qemu makes them')
  const keys = routes.map((route) => placeKey(route, route.sint))
  const scheduled = halves.map((half) => placeKey(half, half.sint))
  c.keys(keys, 'qemu_routes', false)
  c.keys(scheduled, 'bottom_halves', false)
  const known = new Set(keys)
  scheduled.forEach((key, i) => {
    c.must(known.has(key), `bottom_halves/${i}`, 'one of qemu_routes')
  })
  const taken = new Set(table.map(({ gsi }) => gsi))
  const waiting = new Set(scheduled)
  routes.forEach((route, i) => {
    const path = `qemu_routes/${i}`
    c.place(route, path)
    c.must(route.gsi < 0 || (route.gsi >= FIRST_QEMU_GSI && !taken.has(route.gsi)), `${path}/gsi`, 'free')
    taken.add(route.gsi)
    const due = route.staged !== null || !waiting.has(keys[i])
    c.must(due, `${path}/staged`, 'there, for its completion is due')
    if (route.staged !== null) c.must(route.staged.owner < 0, `${path}/staged/owner`, 'the host')
  })
}

function checkTables(c: Checker): void {
  const { state } = c
  c.keys(
    state.gsi_routes.map(({ gsi }) => gsi),
    'gsi_routes',
    true,
  )
  c.keys(
    state.irqfds.map(({ gsi }) => gsi),
    'irqfds',
    true,
  )
  c.keys(
    state.ports.map(({ id }) => id),
    'ports',
    true,
  )
  state.ports.forEach(({ type, flag_base, flag_count }, i) => {
    const fits = type !== 2 || (flag_count > 0 && flag_base + flag_count <= 2048)
    c.must(fits, `ports/${i}/flag_count`, 'flags of one SINT')
  })
  c.keys(
    state.connections.map(({ id }) => id),
    'connections',
    false,
  )
  c.keys(
    state.rings.map((ring) => placeKey(ring, ring.sint)),
    'rings',
    false,
  )
  state.rings.forEach((ring, i) => {
    c.place(ring, `rings/${i}`)
  })
  state.split_deliveries.forEach((split, i) => {
    c.place(split, `split_deliveries/${i}`)
    checkOwner(c, split.message, `split_deliveries/${i}/message`)
  })
  c.keys(
    state.actors.map(({ name }) => name),
    'actors',
    false,
  )
}
