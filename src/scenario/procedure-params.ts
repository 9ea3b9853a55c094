/** What each procedure may be given in `with`, and what it may be. */

import { didYouMean } from '../api/did-you-mean.js'
import type { ParamValues } from '../api/scenario.js'
import { QUIESCE_FORMS } from '../drivers/ipxe.js'
import { MSHV_VERSIONS } from '../drivers/mshv-state.js'
import type { Procedure } from '../drivers/procedures.js'
import { MEMORY_ORDERS } from '../drivers/vmm.js'
import { VCPU_ID_LIMIT } from '../hv/limits.js'
import type { FieldProblem } from './vcpu-choice.js'

interface Kind {
  /** What it is, for people. */
  readonly is: string
  /** What is told of a value that is not. */
  readonly says: string
  readonly fits: (value: unknown) => boolean
  /** The words that it may be, where those are few. */
  readonly words?: readonly string[]
}

const oneOf = (...choices: readonly unknown[]): Kind => ({
  is: choices.map(String).join(', '),
  says: `is none of ${choices.map(String).join(', ')}`,
  fits: (value) => choices.includes(value),
  words: choices.map(String),
})
const kind = (is: string, fits: (value: unknown) => boolean): Kind => ({ is, says: `must be ${is}`, fits })
const isListOf = (fits: (value: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every(fits) && new Set(value).size === value.length
const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0
const isVcpu = (value: unknown) => isCount(value) && Number(value) < VCPU_ID_LIMIT

const FLAG = oneOf(true, false)
const NUMBER = kind('a number: an integer from 0', isCount)
const TEXT = kind('a text', (value) => typeof value === 'string')
const VCPUS = kind('a list of different vCPUs, such as [0, 1]', isListOf(isVcpu))

interface Param {
  readonly kind: Kind
  /** What it does, and what is so without it. */
  readonly means: string
}

/** A name means the same wherever it is taken. */
const PARAMS: Readonly<Record<string, Param>> = {
  vcpus: { kind: VCPUS, means: 'which vCPUs it acts on; see above' },
  version: {
    kind: oneOf(...MSHV_VERSIONS, null),
    means: 'of MSHV; else the one that is loaded, or v4. For linux.boot null is a kernel without MSHV',
  },
  host: {
    kind: FLAG,
    means:
      'VMBus contacts its host and waits for the answer; without it VMBus stays unconnected. Nobody ' +
      'answers by itself here: it gives -22 where there is no connection to post to, and -110 without ' +
      'an answer',
  },
  mshv_first: { kind: FLAG, means: 'MSHV is loaded before VMBus, the wrong way round' },
  fails_at: {
    kind: oneOf(1, 2, 3),
    means: 'the page that cannot be mapped: 1 messages, 2 event flags, 3 event ring; it gives -14 then',
  },
  rounds: {
    kind: NUMBER,
    means: 'of 10 ms, for an answer of the host; 10. Linux would wait longer, or for ever',
  },
  takes_interrupts: {
    kind: FLAG,
    means: 'while it waits its CPU takes interrupts by itself; false: lines of the scenario do (`take v0`)',
  },
  next: { kind: TEXT, means: 'name of the next kernel; linux-2, after a crash kdump' },
  goes_on: { kind: FLAG, means: 'goes on without the answer to UNLOAD, which Linux would wait for' },
  notifier: {
    kind: oneOf('root-only', 'every-parent', null),
    means: 'on whose restart MSHV lets go of the SynIC; else as its version has it',
  },
  skip_release: {
    kind: oneOf(true, false, 'mshv', 'vmbus'),
    means: 'who ends without letting go of its registers; true is everybody',
  },
  relid: { kind: NUMBER, means: 'the channel, by its number; 0' },
  gpa: { kind: NUMBER, means: 'where a store of the child rings the doorbell; 0' },
  value: { kind: NUMBER, means: 'which value must be stored to ring it, if flags say so; 0' },
  flags: { kind: NUMBER, means: 'of the doorbell, HV_DOORBELL_FLAG_*; any value of any width rings' },
  id: { kind: NUMBER, means: 'the doorbell: what mshv.register_doorbell gives; 0' },
  ticks: { kind: NUMBER, means: 'of 100 ns from now; 10000' },
  polls: {
    kind: NUMBER,
    means:
      'looks for what is waited for: of iPXE 1000, a millisecond apart, of the loader 16, of a crash ' +
      'kernel 10000, 10 ms apart',
  },
  form: {
    kind: oneOf(...QUIESCE_FORMS),
    means: 'how iPXE hands over: as published, not at all, or with SCONTROL cleared too; published',
  },
  gpn: { kind: NUMBER, means: 'the page, by its number; 0xfa1' },
  vector: { kind: NUMBER, means: 'of the interrupt; of FreeBSD 0xfb, of UEFI firmware 0x5a' },
  polled: { kind: VCPUS, means: 'vCPUs whose slots are looked at; all that the kernel has' },
  order: {
    kind: kind('a list of different numbers', isListOf(isCount)),
    means: 'of the registers that each vCPU has, by their places in the usual order; each of them once',
  },
  registers: {
    kind: TEXT,
    means: 'with their values, in the order of writing: `v0.SIMP=0x10001 v0.SINT2=0xf3`',
  },
  pages: { kind: TEXT, means: 'what is written to memory, from the start of each page on: `0x10000=01ab`' },
  memory: {
    kind: oneOf(...MEMORY_ORDERS),
    means: 'whether memory or registers come back first; memory_first',
  },
}

const PATIENCE = ['rounds', 'takes_interrupts']
const FAULTS = ['notifier', 'skip_release']
const SKIPS = ['skip_release']

const TAKES: Readonly<Record<string, readonly string[]>> = {
  'vmbus.up': ['host', ...PATIENCE],
  'vmbus.down': PATIENCE,
  'vmbus.connect': PATIENCE,
  'vmbus.unload': PATIENCE,
  'vmbus.crash_unload': ['rounds'],
  'vmbus.signal': ['relid'],
  'mshv.up': ['version', 'fails_at'],
  'mshv.down': SKIPS,
  'mshv.reboot': ['notifier'],
  'mshv.init_cpu': ['version', 'fails_at'],
  'mshv.exit_cpu': ['version'],
  'mshv.register_doorbell': ['gpa', 'value', 'flags'],
  'mshv.unregister_doorbell': ['id'],
  'stimer.arm': ['ticks'],
  'linux.boot': ['version', 'host', 'mshv_first', ...PATIENCE],
  'linux.kexec': ['next', 'goes_on', ...PATIENCE, ...FAULTS],
  'linux.crash': ['next', 'rounds'],
  'linux.offline': SKIPS,
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

/** What a parameter is, and what it does. */
export function paramText(name: string): { is: string; means: string } {
  const {
    kind: { is },
    means,
  } = PARAMS[name]
  return { is, means }
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
    const { says, fits, words = [] } = PARAMS[field].kind
    if (fits(value)) continue
    return { field, message: `${JSON.stringify(value)} ${says}${didYouMean(String(value), words)}` }
  }
  return undefined
}

function unknownParam(name: string, field: string, known: readonly string[]): string {
  if (field === 'vcpus')
    return `${name} has no choice of vCPUs: it acts where its driver does; leave vcpus out`
  const takes = known.length === 0 ? 'none' : known.join(', ')
  return `is no parameter of ${name}; it takes ${takes}${didYouMean(field, known)}`
}
