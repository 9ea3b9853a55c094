// JSON-lines traces and downloaded logs: the header, and the ops with the results that were recorded.
import { closest, distance } from 'fastest-levenshtein'
import { z } from 'zod'
import type { WireOp } from '../api/op-decode.js'
import { encodeOp } from '../api/op-encode.js'
import { OpInputError } from '../api/op-fields.js'
import { fieldProblems } from '../api/problem.js'
import { NAMES_MAX } from '../hv/limits.js'
import { NameTable } from '../synic/names.js'
import { OpWriter } from '../synic/op.js'
import { ReplayInputError, reasonOf } from './input-error.js'
import { Header } from './machine-config.js'

export interface TraceStep {
  readonly line: number
  readonly seq: number
  readonly op: WireOp
  /** The recorded result; undefined: nothing was recorded, so nothing is compared. */
  readonly out: Readonly<Record<string, unknown>> | undefined
}

const Step = z.looseObject({
  seq: z.int().min(1).optional(),
  in: z.record(z.string(), z.unknown()),
  out: z.record(z.string(), z.unknown()).nullish(),
})

const HEADER_FIELDS = Object.keys(Header.shape)
/** Letters that a slip of the finger changes. */
const SLIP = 2

/** Reads one trace line after line; keeps what it needs to say where something is wrong. */
export class TraceReader {
  header: Header = {}
  #line = 0
  #seq = 0
  readonly #writer = new OpWriter()
  readonly #names = new NameTable(NAMES_MAX)

  constructor(private readonly name: string) {}

  /** The header, or undefined where the line is none: then it is the first step. */
  readHeader(text: string): Header | undefined {
    const value = this.#json(text)
    if (isStep(value)) {
      this.#line--
      return undefined
    }
    this.#refuseStranger(Object.keys(value))
    const header = Header.safeParse(value)
    if (!header.success) throw this.error(`the header is wrong: ${issueOf(header.error, Header, value)}`)
    this.header = header.data
    this.#seq = header.data.base_seq ?? 0
    return header.data
  }

  /** What a header says beyond its fields is for people; but a file of another kind, or a slip, is told. */
  #refuseStranger(names: readonly string[]): void {
    const unknown = names.filter((name) => !HEADER_FIELDS.includes(name))
    if (unknown.length === names.length) {
      throw this.error('this is no trace: it begins with a header, such as {"profile":"tlfs"}, or with an op')
    }
    for (const name of unknown) {
      const meant = closest(name, HEADER_FIELDS)
      if (distance(name, meant) <= SLIP) throw this.error(`${name}: did you mean "${meant}"?`)
    }
  }

  /** One step; undefined for a blank line. */
  readStep(text: string): TraceStep | undefined {
    if (text.trim() === '') {
      this.#line++
      return undefined
    }
    const value = this.#json(text)
    // An op alone is a step without a recorded result.
    const bare = typeof value.op === 'string' && value.in === undefined
    const step = Step.safeParse(bare ? { in: value } : value)
    if (!step.success)
      throw this.error(`a step is {"in":{op},"out":{result}}: ${issueOf(step.error, Step, value)}`)
    const { in: op, out, seq = this.#seq + 1 } = step.data
    if (seq !== this.#seq + 1) {
      throw this.error(`seq ${seq} follows seq ${this.#seq}: a replay needs every op, in order`)
    }
    this.#seq = seq
    this.#check(op)
    return { line: this.#line, seq, op: op as WireOp, out: out ?? undefined }
  }

  error(reason: string): ReplayInputError {
    return new ReplayInputError(`${this.name}:${this.#line}: ${reason}`)
  }

  #json(text: string): Record<string, unknown> {
    this.#line++
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw this.error(`not JSON (${reasonOf(error)}); is the file cut off or of another format?`)
    }
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>
    }
    throw this.error('a line holds one JSON object')
  }

  /** The codec's own check, so that a mistake is told with its line whatever the replay runs on. */
  #check(op: Record<string, unknown>): void {
    this.#writer.clear()
    try {
      encodeOp(op, this.#writer, this.#names, 0)
    } catch (error) {
      if (!(error instanceof OpInputError)) throw error
      throw this.error(
        `in${error.path === '' ? '' : '.'}${error.path.replaceAll('/', '.')}: must be ${error.rule}`,
      )
    }
  }
}

function isStep(value: Record<string, unknown>): boolean {
  return value.in !== undefined || typeof value.op === 'string'
}

function issueOf(error: z.ZodError, schema: z.ZodType, value: unknown): string {
  const [{ path, message }] = fieldProblems(error.issues, { schema, value })
  return `${path === '' ? 'the line' : path.replaceAll('/', '.')}: ${message}`
}
