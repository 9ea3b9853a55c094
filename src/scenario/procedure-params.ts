/** What each procedure may be given in `with`, and what it may be. */
import type { ParamValues } from '../api/scenario.js'
import { QUIESCE_FORMS } from '../drivers/ipxe.js'
import { MSHV_VERSIONS } from '../drivers/mshv-state.js'
import type { Procedure } from '../drivers/procedures.js'
import { MEMORY_ORDERS } from '../drivers/vmm.js'
import { VCPU_ID_LIMIT } from '../hv/limits.js'
import { didYouMean } from './did-you-mean.js'
import type { FieldProblem } from './vcpu-choice.js'

interface Kind {
  /** What it must be, for people. */
  readonly says: string
  readonly fits: (value: unknown) => boolean
}

const oneOf = (...choices: readonly unknown[]): Kind => ({
  says: `is none of ${choices.map(String).join(', ')}`,
  fits: (value) => choices.includes(value),
})
const isNumber = (value: unknown) => typeof value === 'number'
const FLAG = oneOf(true, false)
const NUMBER: Kind = { says: 'must be a number', fits: isNumber }
const TEXT: Kind = { says: 'must be a text', fits: (value) => typeof value === 'string' }
const isListOf = (fits: (value: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every(fits)
const isVcpu = (value: unknown) =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) < VCPU_ID_LIMIT
const areDifferent = (value: unknown) => Array.isArray(value) && new Set(value).size === value.length
const VCPUS: Kind = {
  says: 'must be a list of different vCPUs, such as [0, 1]',
  fits: (value) => isListOf(isVcpu)(value) && areDifferent(value),
}

/** A name means the same wherever it is taken. */
const KINDS: Readonly<Record<string, Kind>> = {
  vcpus: VCPUS,
  version: oneOf(...MSHV_VERSIONS, null),
  fails_at: oneOf(1, 2, 3),
  host: FLAG,
  mshv_first: FLAG,
  goes_on: FLAG,
  takes_interrupts: FLAG,
  notifier: oneOf('root-only', 'every-parent', null),
  skip_release: oneOf(true, false, 'mshv', 'vmbus'),
  rounds: NUMBER,
  polls: NUMBER,
  ticks: NUMBER,
  relid: NUMBER,
  id: NUMBER,
  gpa: NUMBER,
  gpn: NUMBER,
  value: NUMBER,
  flags: NUMBER,
  vector: NUMBER,
  next: TEXT,
  registers: TEXT,
  pages: TEXT,
  form: oneOf(...QUIESCE_FORMS),
  memory: oneOf(...MEMORY_ORDERS),
  polled: VCPUS,
  order: { says: 'must be a list of numbers', fits: isListOf(isNumber) },
}

const PATIENCE = ['rounds', 'takes_interrupts']
const FAULTS = ['notifier', 'skip_release']

const TAKES: Readonly<Record<string, readonly string[]>> = {
  'vmbus.up': ['host', ...PATIENCE],
  'vmbus.down': PATIENCE,
  'vmbus.connect': PATIENCE,
  'vmbus.unload': PATIENCE,
  'vmbus.crash_unload': ['rounds'],
  'vmbus.signal': ['relid'],
  'mshv.up': ['version', 'fails_at'],
  'mshv.down': FAULTS,
  'mshv.reboot': FAULTS,
  'mshv.init_cpu': ['version', 'fails_at'],
  'mshv.exit_cpu': ['version'],
  'mshv.register_doorbell': ['gpa', 'value', 'flags'],
  'mshv.unregister_doorbell': ['id'],
  'stimer.arm': ['ticks'],
  'linux.boot': ['version', 'host', 'mshv_first', ...PATIENCE],
  'linux.kexec': ['next', 'goes_on', ...PATIENCE, ...FAULTS],
  'linux.crash': ['next', 'rounds'],
  'linux.offline': FAULTS,
  'ipxe.probe': ['polls'],
  'ipxe.contact': ['polls'],
  'ipxe.wait': ['polls'],
  'ipxe.quiesce': ['form'],
  'ipxe.unquiesce': ['polls'],
  'ipxe.remove': ['polls'],
  'winload.up': ['polls'],
  'windows_kd.probe': ['gpn'],
  'freebsd.up': ['vector'],
  'firmware.up': ['vector'],
  'crash_kernel.poll': ['polled', 'polls'],
  'qemu.reset': ['order'],
  'vmm.restore': ['registers', 'pages', 'memory'],
}

/** Names that a procedure takes in `with`. */
export function paramsTaken(procedure: string, { chooses }: Procedure): readonly string[] {
  const own = Object.hasOwn(TAKES, procedure) ? TAKES[procedure] : []
  return chooses === 'none' ? own : ['vcpus', ...own]
}

/** What is wrong with what a procedure is given; undefined: nothing. */
export function paramProblem(
  name: string,
  procedure: Procedure,
  given: ParamValues,
): FieldProblem | undefined {
  const known = paramsTaken(name, procedure)
  for (const [field, value] of Object.entries(given)) {
    if (!known.includes(field)) return { field, message: unknownParam(name, field, known) }
    const { says, fits } = KINDS[field] as Kind
    if (!fits(value)) return { field, message: `${JSON.stringify(value)} ${says}` }
  }
  return undefined
}

function unknownParam(name: string, field: string, known: readonly string[]): string {
  if (field === 'vcpus')
    return `${name} has no choice of vCPUs: it acts where its driver does; leave vcpus out`
  const takes = known.length === 0 ? 'none' : known.join(', ')
  return `is no parameter of ${name}; it takes ${takes}${didYouMean(field, known)}`
}
