/** Procedures of everyone who is not a Linux driver, by the names that scenario files use. */
import { fromBigInt } from '../hv/bits.js'
import { EBUSY, EINVAL, ENXIO } from '../hv/errno.js'
import { MSR_BY_NAME } from '../hv/msrs.js'
import { crashPoll, oldPages, UNLOAD_POLLS } from './crash-kernel.js'
import { FIRMWARE_VECTOR, Firmware } from './firmware.js'
import { FREEBSD_VECTOR, freebsdDown, freebsdInterrupt, freebsdUp } from './freebsd.js'
import { IPXE_POLLS, Ipxe, QUIESCE_FORMS } from './ipxe.js'
import type { Kernel } from './kernel.js'
import type { Params, Procedure, VcpuChoice } from './procedures.js'
import type { Strand } from './step.js'
import { MESSAGE_PAGE, vmbusMsr } from './vmbus.js'
import { ETIMEDOUT } from './vmbus-contact.js'
import {
  isResetOrder,
  MEMORY_ORDERS,
  qemuReset,
  type SavedPage,
  type SavedRegister,
  vmmRestore,
} from './vmm.js'
import { bootDebugger, DEBUGGER_PAGE, winloadDown, winloadUp } from './winload.js'

/** Looks at SCONTROL that a loader spends before its wait counts as endless. */
const LOADER_POLLS = 16

// A driver's memory between its procedures lives as long as its kernel: one instance a kernel and vCPU.
const ipxes = new WeakMap<Kernel, Map<number, Ipxe>>()
const firmwares = new WeakMap<Kernel, Map<number, Firmware>>()

function instance<T>(
  of: WeakMap<Kernel, Map<number, T>>,
  make: new (kernel: Kernel, vcpu: number) => T,
  kernel: Kernel,
  [vcpu]: readonly number[],
): T {
  const known = of.get(kernel) ?? new Map<number, T>()
  of.set(kernel, known)
  const made = known.get(vcpu) ?? new make(kernel, vcpu)
  known.set(vcpu, made)
  return made
}

const ipxe = (kernel: Kernel, { vcpus }: Params): Ipxe => instance(ipxes, Ipxe, kernel, vcpus)
const firmware = (kernel: Kernel, { vcpus }: Params): Firmware => instance(firmwares, Firmware, kernel, vcpus)

/** A parameter that is none: the procedure then does nothing and answers EINVAL. */
class BadParameter extends Error {}

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new BadParameter(what)
}

function procedure(
  chooses: VcpuChoice,
  says: string,
  run: (kernel: Kernel, params: Params) => Strand<unknown>,
): Procedure {
  return Object.assign(
    function* (kernel: Kernel, params: Params): Strand<unknown> {
      let strand: Strand<unknown>
      try {
        strand = run(kernel, params)
      } catch (error) {
        if (!(error instanceof BadParameter)) throw error
        return EINVAL
      }
      return yield* strand
    },
    { says, chooses },
  )
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number'
}

function numberOf(params: Params, name: string, otherwise: number): number {
  const value = params[name] ?? otherwise
  must(isNumber(value), name)
  return value
}

function numbersOf(params: Params, name: string): readonly number[] | undefined {
  const value = params[name]
  if (value === undefined) return undefined
  must(Array.isArray(value) && value.every(isNumber), name)
  return value
}

function oneOf<T extends string>(params: Params, name: string, choices: readonly [T, ...T[]]): T {
  const value = params[name] ?? choices[0]
  const known = choices.find((choice) => choice === value)
  must(known !== undefined, name)
  return known
}

function orderOf(params: Params): readonly number[] | undefined {
  const order = numbersOf(params, 'order')
  must(order === undefined || isResetOrder(order), 'order')
  return order
}

/** Words of a text, each of this form. */
function wordsOf(params: Params, name: string, form: RegExp): readonly (readonly string[])[] {
  const text = params[name] ?? ''
  must(typeof text === 'string', name)
  const words = text.split(/\s+/).filter((word) => word !== '')
  return words.map((word) => {
    const parts = form.exec(word)
    must(parts !== null, word)
    return parts
  })
}

/** `v0.SIMP=0x10001 v0.SINT2=0xf3`: the registers of a restore, in the order in which they are written. */
function registersOf(params: Params): SavedRegister[] {
  const words = wordsOf(params, 'registers', /^v(\d{1,4})\.(\w+)=(0x[0-9a-fA-F]{1,16}|\d{1,19})$/)
  return words.map(([, vcpu, name, value]) => {
    const msr = MSR_BY_NAME.get(name)
    must(msr !== undefined, name)
    return { vcpu: Number(vcpu), msr, ...fromBigInt(BigInt(value)) }
  })
}

/** `0x10000=01ab 0x11000=ff`: what a restore writes to memory, from the start of each page on. */
function pagesOf(params: Params): SavedPage[] {
  const words = wordsOf(params, 'pages', /^(0x[0-9a-fA-F]{1,10})000=((?:[0-9a-fA-F]{2}){1,4096})$/)
  return words.map(([, gpn, hex]) => {
    const digits = hex.match(/../g) ?? []
    return { gpn: Number(gpn), bytes: Uint8Array.from(digits, (pair) => Number.parseInt(pair, 16)) }
  })
}

/** 0 where the strand came out well, else the error. */
function* result<T>(strand: Strand<T>, isWell: (outcome: T) => boolean, errno: number): Strand<number> {
  return isWell(yield* strand) ? 0 : errno
}

const isTrue = (outcome: boolean): boolean => outcome
const answered = (strand: Strand<boolean>): Strand<number> => result(strand, isTrue, ETIMEDOUT)

/** `polls`: looks into the slot, a millisecond apart. */
const polls = (params: Params): number => numberOf(params, 'polls', IPXE_POLLS)

const IPXE_PROCEDURES: Readonly<Record<string, Procedure>> = {
  'ipxe.attach': procedure('one', 'iPXE takes the SynIC, unless firmware owns it', (kernel, params) =>
    result(ipxe(kernel, params).attach(), isTrue, EBUSY),
  ),
  'ipxe.probe': procedure('one', 'The same, and VMBus is contacted', (kernel, params) =>
    answered(ipxe(kernel, params).probe(polls(params))),
  ),
  'ipxe.contact': procedure('one', 'iPXE contacts VMBus, unloads, contacts it again', (kernel, params) =>
    answered(ipxe(kernel, params).contact(polls(params))),
  ),
  'ipxe.wait': procedure('one', 'iPXE waits for one message', (kernel, params) =>
    result(ipxe(kernel, params).wait(polls(params)), (message) => message !== null, ETIMEDOUT),
  ),
  'ipxe.quiesce': procedure('one', 'iPXE hands over to a loader; `form` says how well', (kernel, params) =>
    ipxe(kernel, params).quiesce(oneOf(params, 'form', QUIESCE_FORMS)),
  ),
  'ipxe.unquiesce': procedure(
    'one',
    'iPXE is called back and looks whether it was robbed',
    (kernel, params) =>
      result(ipxe(kernel, params).unquiesce(polls(params)), (outcome) => outcome !== 'lost', ETIMEDOUT),
  ),
  'ipxe.remove': procedure('one', 'iPXE ends', (kernel, params) =>
    ipxe(kernel, params).remove(polls(params)),
  ),
}

const GUEST_PROCEDURES: Readonly<Record<string, Procedure>> = {
  'winload.up': procedure(
    'one',
    'The Windows loader takes the connection, once SCONTROL is set',
    (kernel, params) => {
      const strand = winloadUp(kernel, params.vcpus[0], numberOf(params, 'polls', LOADER_POLLS))
      return result(strand, (outcome) => outcome === 'running', ETIMEDOUT)
    },
  ),
  'winload.down': procedure('one', 'The Windows loader lets go of it', (kernel, { vcpus }) =>
    winloadDown(kernel, vcpus[0]),
  ),
  'windows_kd.probe': procedure('one', 'Windows boot debugging tries SIMP at page `gpn`', (_kernel, params) =>
    result(bootDebugger(params.vcpus[0], numberOf(params, 'gpn', DEBUGGER_PAGE)), isTrue, ENXIO),
  ),
  'freebsd.up': procedure('each', 'FreeBSD starts VMBus on these CPUs', (kernel, params) =>
    freebsdUp(kernel, params.vcpus, numberOf(params, 'vector', FREEBSD_VECTOR)),
  ),
  'freebsd.down': procedure('each', 'FreeBSD ends VMBus, SCONTROL first', (kernel, { vcpus }) =>
    freebsdDown(kernel, vcpus),
  ),
  'freebsd.interrupt': procedure(
    'each',
    'A CPU of FreeBSD takes an interrupt',
    function* (kernel, { vcpus }) {
      for (const vcpu of vcpus) yield* freebsdInterrupt(kernel, vcpu)
    },
  ),
  'firmware.up': procedure(
    'one',
    'UEFI firmware connects, on pages of the platform or its own',
    (kernel, params) => firmware(kernel, params).up(numberOf(params, 'vector', FIRMWARE_VECTOR)),
  ),
  'firmware.cleanup': procedure('one', 'UEFI firmware disconnects', (kernel, params) =>
    firmware(kernel, params).cleanup(),
  ),
  // The kernel is the old one, and the crash on the first vCPU named. Looks everywhere unless told otherwise.
  'crash_kernel.poll': procedure(
    'one',
    'UNLOAD, and a look into slots of `polled` for the answer',
    (kernel, params) => {
      const polled = numbersOf(params, 'polled') ?? kernel.vcpus()
      const limit = numberOf(params, 'polls', UNLOAD_POLLS)
      const msrOf = (msr: number) => vmbusMsr(kernel, msr)
      const poll = { runsOn: params.vcpus[0], polled, polls: limit, msrOf }
      return answered(crashPoll(oldPages(kernel, MESSAGE_PAGE), poll))
    },
  ),
}

const HOST_PROCEDURES: Readonly<Record<string, Procedure>> = {
  'qemu.reset': procedure('each', 'QEMU resets registers as host, in any `order`', (_kernel, params) =>
    qemuReset(params.vcpus, orderOf(params)),
  ),
  'vmm.restore': procedure('none', 'A VMM writes `registers` and `pages` back', (_kernel, params) => {
    const saved = { registers: registersOf(params), pages: pagesOf(params) }
    const strand = vmmRestore(saved, oneOf(params, 'memory', MEMORY_ORDERS))
    return result(strand, (refused) => refused === 0, EINVAL)
  }),
}

export const OTHER_PROCEDURES: Readonly<Record<string, Procedure>> = {
  ...IPXE_PROCEDURES,
  ...GUEST_PROCEDURES,
  ...HOST_PROCEDURES,
}
