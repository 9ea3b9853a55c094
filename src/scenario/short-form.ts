/**
 * Steps as people write them in bug reports, to ops: `v0 vmbus SIMP=0x10001`, `post v0 s2 t=1 #A`.
 * docs/scenarios.md has a table of them.
 */

import { didYouMean } from '../api/did-you-mean.js'
import type { WireOp } from '../api/op-decode.js'
import { StepError } from './problems.js'

/** What is no op of its own: it needs the state, or the partition as a whole. */
type SpecialStep =
  | { readonly do: 'clear'; readonly vcpu: number; readonly sint: number; readonly flag: number }
  | { readonly do: 'snap' | 'restore'; readonly name: string }
  | { readonly do: 'settle' }

export type ShortStep = WireOp | SpecialStep

/** What stands in the place of the words in capitals, by their names; '' for what was left out. */
type Values = Readonly<Record<string, string>>

/** Words in capitals are values; what is in brackets may be left out, with `...` come any number of times. */
type Form = readonly [words: string, step: (values: Values) => ShortStep]

/** A leading 0 is octal to some. */
const DECIMAL = '(?:0|[1-9]\\d*)'

/** What a value looks like. */
const VALUES: Readonly<Record<string, string>> = {
  VCPU: DECIMAL,
  SINT: DECIMAL,
  FLAG: DECIMAL,
  TYPE: `0x[0-9a-fA-F]+|${DECIMAL}`,
  TAG: '\\S+',
  CONNECTION: DECIMAL,
  GSI: DECIMAL,
  GPA: '0x[0-9a-fA-F]+',
  HEX: '[0-9a-fA-F]+',
  TICKS: DECIMAL,
  CAP: 'synic2?',
  STATE: 'on|off',
  CLAIM: '[\\w.]+',
  KERNEL: '\\S+',
  CAUSE: 'kexec|crash|reset',
  PART: 'pending|slot|irq',
  NAME: '\\S+',
}

const bytes = (tag: string) =>
  tag === '' ? {} : { hex: [...tag].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('') }
const on = ({ VCPU }: Values) => ({ vcpu: Number(VCPU) })
const onSint = (v: Values) => ({ ...on(v), sint: Number(v.SINT) })
const listOf = (text: string) => text.split(' ').filter((word) => word !== '')
const entryOf = (text: string) => {
  const [gsi, vcpu, sint] = text.split(/:v|\.s/).map(Number)
  return { gsi, vcpu, sint }
}

export const FORMS: readonly Form[] = [
  [
    'post vVCPU sSINT t=TYPE [#TAG]',
    (v) => ({ op: 'message.post', ...onSint(v), type: Number(v.TYPE), ...bytes(v.TAG) }),
  ],
  ['signal vVCPU sSINT fFLAG', (v) => ({ op: 'event.signal', ...onSint(v), flag: Number(v.FLAG) })],
  [
    'clear vVCPU sSINT fFLAG',
    (v) => ({ do: 'clear', vcpu: Number(v.VCPU), sint: Number(v.SINT), flag: Number(v.FLAG) }),
  ],
  [
    'hc vVCPU post cCONNECTION t=TYPE [#TAG]',
    (v) => ({
      op: 'hv.post_message',
      ...on(v),
      connection: Number(v.CONNECTION),
      type: Number(v.TYPE),
      ...bytes(v.TAG),
    }),
  ],
  [
    'hc vVCPU signal cCONNECTION [fFLAG]',
    (v) => ({
      op: 'hv.signal_event',
      ...on(v),
      connection: Number(v.CONNECTION),
      ...(v.FLAG === '' ? {} : { flag: Number(v.FLAG) }),
    }),
  ],
  ['take vVCPU', (v) => ({ op: 'apic.ack', ...on(v) })],
  ['eoi vVCPU', (v) => ({ op: 'apic.eoi', ...on(v) })],
  ['done vVCPU sSINT', (v) => ({ op: 'message.complete', ...onSint(v) })],
  [
    'route [GSI:vVCPU.sSINT...]',
    ({ LIST = '' }) => ({ op: 'gsi.route', entries: listOf(LIST).map(entryOf) }),
  ],
  ['assert GSI', ({ GSI }) => ({ op: 'gsi.assert', gsi: Number(GSI) })],
  ['bind GSI', ({ GSI }) => ({ op: 'irqfd.bind', gsi: Number(GSI) })],
  ['bind GSI resample', ({ GSI }) => ({ op: 'irqfd.bind', gsi: Number(GSI), resample: true })],
  ['unbind GSI', ({ GSI }) => ({ op: 'irqfd.unbind', gsi: Number(GSI) })],
  ['poke GPA=HEX', ({ GPA, HEX }) => ({ op: 'mem.write', gpa: GPA, hex: HEX })],
  ['advance TICKS', ({ TICKS }) => ({ op: 'clock.advance', ticks: Number(TICKS) })],
  ...['pause', 'resume', 'reset'].map((word): Form => [word, () => ({ op: `partition.${word}` })]),
  ...['create', 'reset', 'offline', 'online', 'halt', 'enter', 'kick'].map(
    (word): Form => [`${word} vVCPU`, (v) => ({ op: `vcpu.${word}`, ...on(v) })],
  ),
  ['cap vVCPU CAP', (v) => ({ op: 'cap.enable', ...on(v), cap: v.CAP })],
  ['apic vVCPU STATE', (v) => ({ op: 'apic.enable', ...on(v), on: v.STATE === 'on' })],
  ['claim GPA', ({ GPA }) => ({ op: 'page.claim', gpa: GPA })],
  ['free GPA', ({ GPA }) => ({ op: 'page.free', gpa: GPA })],
  ['attach [CLAIM...]', ({ LIST = '' }) => ({ op: 'actor.attach', claims: listOf(LIST) })],
  ['detach', () => ({ op: 'actor.detach' })],
  [
    'boot KERNEL [CAUSE]',
    ({ KERNEL, CAUSE }) => ({ op: 'kernel.boot', kernel: KERNEL, cause: CAUSE || 'kexec' }),
  ],
  ['deliver PART', ({ PART }) => ({ op: 'host.step', part: PART })],
  ['snap NAME', ({ NAME }) => ({ do: 'snap', name: NAME })],
  ['restore NAME', ({ NAME }) => ({ do: 'restore', name: NAME })],
  ['settle', () => ({ do: 'settle' })],
]

interface Word {
  readonly pattern: RegExp
  readonly names: readonly string[]
  readonly isOptional: boolean
  readonly repeats: boolean
}

function wordOf(text: string): Word {
  const isOptional = text.startsWith('[')
  const repeats = text.endsWith('...]')
  const bare = text.replace(/^\[|(?:\.\.\.)?\]$/g, '')
  const names = bare.match(/[A-Z]{2,}/g) ?? []
  const literal = bare.replace(/[.]/g, '\\.')
  const pattern = names.reduce((source, name) => source.replace(name, `(${VALUES[name]})`), literal)
  return { pattern: new RegExp(`^${pattern}$`), names, isOptional, repeats }
}

const PARSED = FORMS.map(([text, step]) => ({ text, step, words: text.split(' ').map(wordOf) }))

/** The values of a line in this form; a number: the word that does not fit. */
function valuesIn(forms: readonly Word[], words: readonly string[]): Values | number {
  const values: Record<string, string> = {}
  let at = 0
  for (const { pattern, names, isOptional, repeats } of forms) {
    if (repeats) {
      const from = at
      while (at < words.length && pattern.test(words[at])) at++
      values.LIST = words.slice(from, at).join(' ')
      continue
    }
    const match = at < words.length ? pattern.exec(words[at]) : null
    if (match === null && !isOptional) return at
    names.forEach((name, i) => {
      values[name] = match?.[i + 1] ?? ''
    })
    if (match !== null) at++
  }
  return at === words.length ? values : at
}

const WRITE = /^(?<register>[\w.]+)(?:=(?<value>\w+)|\?)$/

/** The host is no actor: what it does says so in a field of its own. */
const byWhom = (name: string | undefined) =>
  name === undefined ? {} : name === 'host' ? { by: 'host' } : { actor: name }

/** `v0,v1 vmbus SIMP=0x10001 SINT2?`: what `host` does is by the host; every vCPU in turn does all of it. */
function registerSteps([vcpus, ...words]: readonly string[]): WireOp[] {
  const hasActor = words.length > 0 && /^[\w.:-]+$/.test(words[0])
  const [actor] = hasActor ? words : []
  const accesses = words.slice(hasActor ? 1 : 0)
  const octal = vcpus.split(',').find((vcpu) => /^v0\d/.test(vcpu))
  if (octal !== undefined) throw new StepError(`"${octal}" ${OCTAL}`)
  if (accesses.length === 0) throw new StepError(`"${words[0] ?? vcpus}" is followed by no register`)
  return vcpus.split(',').flatMap((vcpu) =>
    accesses.map((access) => {
      const { register, value } = WRITE.exec(access)?.groups ?? {}
      if (register === undefined)
        throw new StepError(`"${access}" is neither REGISTER=value nor REGISTER?, without spaces`)
      const where = {
        vcpu: Number(vcpu.slice(1)),
        msr: register.replace('NESTED.', 'NESTED_'),
        ...byWhom(actor),
      }
      return value === undefined
        ? { op: 'msr.read', ...where }
        : { op: 'msr.write', ...where, value: wireValue(value) }
    }),
  )
}

/** The wire takes hex text for what a number does not hold exactly. */
function wireValue(text: string): number | string {
  if (/^0\d/.test(text)) throw new StepError(`"${text}" ${OCTAL}`)
  if (!/^\d+$/.test(text)) return text
  return Number.isSafeInteger(Number(text)) ? Number(text) : `0x${BigInt(text).toString(16)}`
}

const OCTAL = 'may be octal or decimal: write it without the leading 0, or as 0x...'

/**
 * The steps of one line. `by NAME` at its end says who does what is no register access.
 * @throws StepError naming the word that is not understood
 */
export function parseShort(line: string): ShortStep[] {
  if (/^v\d+(?:,v\d+)* /.test(line)) return registerSteps(line.split(/[; ]+/).filter((word) => word !== ''))
  const { body = line, actor } = /^(?<body>.*?) by (?<actor>[\w.:-]+)$/.exec(line)?.groups ?? {}
  const words = listOf(body)
  let furthest = { at: 0, text: '' }
  for (const { text, words: forms, step } of PARSED) {
    const values = valuesIn(forms, words)
    if (typeof values !== 'number') {
      const made = step(values)
      return ['op' in made ? { ...made, ...byWhom(actor) } : made]
    }
    if (values > furthest.at) furthest = { at: values, text }
  }
  if (furthest.at === 0) throw new StepError(noBeginning(words[0] ?? ''))
  const word = words[furthest.at]
  if (/^\D*0\d/.test(word ?? '')) throw new StepError(`"${word}" ${OCTAL}`)
  const what = word === undefined ? `"${line}" ends too early` : `"${word}" is not understood`
  throw new StepError(`${what}: ${furthest.text}`)
}

const BEGINNINGS = [...new Set(FORMS.map(([text]) => text.split(' ', 1)[0]))]

function noBeginning(word: string): string {
  if (/^v(?:cpu)?\d/i.test(word)) {
    return `"${word}" begins no step: vCPUs are written v0 or v0,v1, in small letters and without spaces`
  }
  const lines = `; a line begins with v0 and a register (v0 SIMP=0x10001), or with ${BEGINNINGS.join(', ')}`
  return `"${word}" begins no step${didYouMean(word, BEGINNINGS) || lines}`
}
