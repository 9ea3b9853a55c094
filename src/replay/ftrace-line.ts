// One line of Linux kernel trace text to an event: `trace-cmd report`, `trace`, `trace_pipe`, `perf script`
// (arch/x86/kvm/trace.h).

/** A register's access as `kvm_msr`, `read_msr` and `write_msr` print it. */
export interface MsrBody {
  readonly write: boolean
  readonly msr: number
  readonly value: bigint
  /** The access faulted. */
  readonly gp: boolean
}

export type Body =
  | ({ readonly name: 'kvm_msr' } & MsrBody)
  | ({ readonly name: 'read_msr' | 'write_msr' } & MsrBody)
  | {
      readonly name: 'kvm_hv_synic_set_msr'
      readonly vcpu: number
      readonly msr: number
      readonly value: bigint
      readonly host: boolean
    }
  | {
      readonly name: 'kvm_hv_stimer_set_config' | 'kvm_hv_stimer_set_count'
      readonly vcpu: number
      readonly timer: number
      readonly value: bigint
      readonly host: boolean
    }
  | {
      readonly name: 'kvm_hv_synic_set_irq'
      readonly vcpu: number
      readonly sint: number
      readonly vector: number
      readonly ret: number
    }
  | { readonly name: 'kvm_hv_synic_send_eoi' | 'kvm_eoi'; readonly vcpu: number; readonly vector: number }
  | { readonly name: 'kvm_hv_notify_acked_sint'; readonly vcpu: number; readonly sint: number }
  | {
      readonly name: 'kvm_hv_stimer_start_periodic' | 'kvm_hv_stimer_start_one_shot'
      readonly vcpu: number
      readonly timer: number
      readonly now: bigint
      /** When it is due: `exp_time`, or the count of a one-shot timer. */
      readonly due: bigint
    }
  | {
      readonly name: 'kvm_hv_stimer_callback' | 'kvm_hv_stimer_cleanup'
      readonly vcpu: number
      readonly timer: number
    }
  | {
      readonly name: 'kvm_hv_stimer_expiration'
      readonly vcpu: number
      readonly timer: number
      readonly direct: boolean
      readonly result: number
    }
  | {
      readonly name: 'kvm_hv_hypercall'
      readonly code: number
      readonly fast: boolean
      readonly variable: number
      readonly reps: number
      readonly first: number
      readonly input: bigint
      readonly output: bigint
    }
  | { readonly name: 'kvm_hv_hypercall_done'; readonly result: bigint }
  | {
      readonly name: 'kvm_apic_accept_irq'
      readonly vcpu: number
      readonly vector: number
      /** Fixed or lowest priority, edge: what a SINT's interrupt is. */
      readonly fixed: boolean
    }
  | {
      readonly name: 'kvm_inj_virq'
      readonly vector: number
      readonly soft: boolean
      readonly reinjected: boolean
    }
  | { readonly name: 'kvm_entry' | 'kvm_exit'; readonly vcpu: number | undefined }

type EventName = Body['name']

export interface FtraceEvent {
  readonly line: number
  /** As it stands in the file, without a mail's quote signs. */
  readonly text: string
  readonly pid: number
  readonly cpu: number
  /** Ticks of 100 ns since boot. */
  readonly at: number
  readonly body: Body
}

export type ParsedLine =
  | { readonly kind: 'blank' | 'comment' | 'untimed' | 'unknown' }
  /** The kernel says that it dropped events here. */
  | { readonly kind: 'lost'; readonly text: string }
  /** An event this program has no use for. */
  | { readonly kind: 'other'; readonly name: string }
  /** An event it knows, with a body it cannot read. */
  | { readonly kind: 'unreadable'; readonly name: string }
  | { readonly kind: 'event'; readonly event: FtraceEvent }

const QUOTE = /^(?:\s*>)+ ?/
/** comm-pid (perf: comm pid, or comm group/pid), thread group, CPU, flags. */
const PID = String.raw`(?:-|\s(?:\d+/)?)(\d+)`
const THREAD = String.raw`${PID}\s+(?:\(\s*[-\d]+\)\s+)?\[(\d+)\]\s+(?:[^\s:]{4,6}\s+)?`
const EVENT = String.raw`:\s+(?:\w+:)?(\w+):\s*(.*)$`
const LINE = new RegExp(String.raw`${THREAD}(\d+)\.(\d{6}|\d{9})${EVENT}`)
/** Stamped by a clock that counts something else than seconds. */
const UNTIMED = new RegExp(String.raw`${THREAD}\d+${EVENT}`)
const LOST = /\[(?:LOST )?\d+ EVENTS(?: DROPPED)?\]|LOST \d+ EVENTS|PERF_RECORD_LOST/
const CHATTER = /^(?:cpus=\d+|CPU \d+ is empty|version = .*|trace-cmd .*)$/

const hex = (text: string): number => Number.parseInt(text, 16)
const big = (text: string): bigint => BigInt(`0x${text}`)

type Reader = (groups: readonly string[]) => Body
const reader = (pattern: RegExp, read: Reader) => ({ pattern, read })

const timerWrite =
  (name: 'kvm_hv_stimer_set_config' | 'kvm_hv_stimer_set_count') => (g: readonly string[]) => ({
    name,
    vcpu: Number(g[1]),
    timer: Number(g[2]),
    value: BigInt(g[3]),
    host: g[4] !== '0',
  })
const timerStart =
  (name: 'kvm_hv_stimer_start_periodic' | 'kvm_hv_stimer_start_one_shot') => (g: readonly string[]) => ({
    name,
    vcpu: Number(g[1]),
    timer: Number(g[2]),
    now: BigInt(g[3]),
    due: BigInt(g[4]),
  })
const timerOnly = (name: 'kvm_hv_stimer_callback' | 'kvm_hv_stimer_cleanup') =>
  reader(/^vcpu_id (\d+) timer ([0-3])$/, (g) => ({ name, vcpu: Number(g[1]), timer: Number(g[2]) }))
const guestMsr = (name: 'read_msr' | 'write_msr') =>
  reader(/^([0-9a-f]+), value ([0-9a-f]+)( #GP)?$/, (g) => ({
    name,
    write: name === 'write_msr',
    msr: hex(g[1]),
    value: big(g[2]),
    gp: g[3] !== undefined,
  }))
const entry = (name: 'kvm_entry' | 'kvm_exit') =>
  reader(/^(?:vcpu (\d+)\b)?/, (g) => ({ name, vcpu: g[1] === undefined ? undefined : Number(g[1]) }))

const HEX = '0x([0-9a-f]+)'
const IN_OUT = `in ${HEX} out ${HEX}`

/** How the body of each event reads. */
const READERS: ReadonlyMap<string, ReturnType<typeof reader>> = new Map(
  Object.entries({
    kvm_msr: reader(/^msr_(read|write) ([0-9a-f]+) = 0x([0-9a-f]+)( \(#GP\))?$/, (g) => ({
      name: 'kvm_msr',
      write: g[1] === 'write',
      msr: hex(g[2]),
      value: big(g[3]),
      gp: g[4] !== undefined,
    })),
    read_msr: guestMsr('read_msr'),
    write_msr: guestMsr('write_msr'),
    kvm_hv_synic_set_msr: reader(/^vcpu_id (\d+) msr 0x([0-9a-f]+) data 0x([0-9a-f]+) host ([01])$/, (g) => ({
      name: 'kvm_hv_synic_set_msr',
      vcpu: Number(g[1]),
      msr: hex(g[2]),
      value: big(g[3]),
      host: g[4] !== '0',
    })),
    kvm_hv_stimer_set_config: reader(
      /^vcpu_id (\d+) timer ([0-3]) config (0x[0-9a-f]+) host ([01])$/,
      timerWrite('kvm_hv_stimer_set_config'),
    ),
    kvm_hv_stimer_set_count: reader(
      /^vcpu_id (\d+) timer ([0-3]) count (\d+) host ([01])$/,
      timerWrite('kvm_hv_stimer_set_count'),
    ),
    kvm_hv_synic_set_irq: reader(/^vcpu_id (\d+) sint (\d+) vector (\d+) ret (-?\d+)$/, (g) => ({
      name: 'kvm_hv_synic_set_irq',
      vcpu: Number(g[1]),
      sint: Number(g[2]),
      vector: Number(g[3]),
      ret: Number(g[4]),
    })),
    kvm_hv_synic_send_eoi: reader(/^vcpu_id (\d+) vector (\d+)$/, (g) => ({
      name: 'kvm_hv_synic_send_eoi',
      vcpu: Number(g[1]),
      vector: Number(g[2]),
    })),
    kvm_eoi: reader(/^apicid ([0-9a-f]+) vector (-?\d+)$/, (g) => ({
      name: 'kvm_eoi',
      vcpu: hex(g[1]),
      vector: Number(g[2]),
    })),
    kvm_hv_notify_acked_sint: reader(/^vcpu_id (\d+) sint (\d+)$/, (g) => ({
      name: 'kvm_hv_notify_acked_sint',
      vcpu: Number(g[1]),
      sint: Number(g[2]),
    })),
    kvm_hv_stimer_start_periodic: reader(
      /^vcpu_id (\d+) timer ([0-3]) time_now (\d+) exp_time (\d+)$/,
      timerStart('kvm_hv_stimer_start_periodic'),
    ),
    kvm_hv_stimer_start_one_shot: reader(
      /^vcpu_id (\d+) timer ([0-3]) time_now (\d+) count (\d+)$/,
      timerStart('kvm_hv_stimer_start_one_shot'),
    ),
    kvm_hv_stimer_callback: timerOnly('kvm_hv_stimer_callback'),
    kvm_hv_stimer_cleanup: timerOnly('kvm_hv_stimer_cleanup'),
    kvm_hv_stimer_expiration: reader(
      /^vcpu_id (\d+) timer ([0-3]) direct (\d) send result (-?\d+)$/,
      (g) => ({
        name: 'kvm_hv_stimer_expiration',
        vcpu: Number(g[1]),
        timer: Number(g[2]),
        direct: g[3] !== '0',
        result: Number(g[4]),
      }),
    ),
    kvm_hv_hypercall: reader(
      new RegExp(`^code ${HEX} (fast|slow) (?:var_cnt ${HEX} )?(?:rep_)?cnt ${HEX} idx ${HEX} +${IN_OUT}$`),
      (g) => ({
        name: 'kvm_hv_hypercall',
        code: hex(g[1]),
        fast: g[2] === 'fast',
        variable: hex(g[3] ?? '0'),
        reps: hex(g[4]),
        first: hex(g[5]),
        input: big(g[6]),
        output: big(g[7]),
      }),
    ),
    kvm_hv_hypercall_done: reader(/^result 0x([0-9a-f]+)$/, (g) => ({
      name: 'kvm_hv_hypercall_done',
      result: big(g[1]),
    })),
    kvm_apic_accept_irq: reader(
      /^apicid ([0-9a-f]+) vec (\d+) \(([\w ]+)\|(edge|level)\)(?: \(coalesced\))?$/,
      (g) => ({
        name: 'kvm_apic_accept_irq',
        vcpu: hex(g[1]),
        vector: Number(g[2]),
        fixed: (g[3] === 'Fixed' || g[3] === 'LowPrio') && g[4] === 'edge',
      }),
    ),
    kvm_inj_virq: reader(/^(?:(IRQ|Soft\/INTn) 0x([0-9a-f]+)|(?:irq|IRQ) (\d+))( \[reinjected\])?$/, (g) => ({
      name: 'kvm_inj_virq',
      vector: g[2] === undefined ? Number(g[3]) : hex(g[2]),
      soft: g[1] === 'Soft/INTn',
      reinjected: g[4] !== undefined,
    })),
    kvm_entry: entry('kvm_entry'),
    kvm_exit: entry('kvm_exit'),
  } satisfies Record<EventName, ReturnType<typeof reader>>),
)

/** The name of the thread that an event was recorded on. */
export function commOf({ text }: Pick<FtraceEvent, 'text'>): string {
  return text.slice(0, LINE.exec(text)?.index ?? 0).trim()
}

/** What a line says. Anything may stand in a file: nothing here throws. */
export function parseFtraceLine(raw: string, line: number): ParsedLine {
  const text = raw.replace(QUOTE, '').trim()
  if (text === '') return { kind: 'blank' }
  const match = LINE.exec(text)
  if (match === null) {
    if (LOST.test(text)) return { kind: 'lost', text }
    if (UNTIMED.test(text)) return { kind: 'untimed' }
    return { kind: text.startsWith('#') || CHATTER.test(text) ? 'comment' : 'unknown' }
  }
  const [, pid, cpu, seconds, fraction, name, content] = match
  const known = READERS.get(name)
  if (known === undefined) return { kind: 'other', name }
  const groups = known.pattern.exec(content.trim())
  if (groups === null) return { kind: 'unreadable', name }
  const at = Number(seconds) * 1e7 + Math.floor(Number(fraction.padEnd(9, '0')) / 100)
  const body = known.read(groups)
  return { kind: 'event', event: { line, text, pid: Number(pid), cpu: Number(cpu), at, body } }
}
