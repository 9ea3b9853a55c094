// Bytes to lines: plain or gzip, a file of any size or a pipe, with a bound on one line.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { ReplayInputError, reasonOf } from './input-error.js'

/** No op, result or trace line is longer: the largest is a routing table or a memory write of 64 KiB. */
export const LINE_BYTES_MAX = 8 * 1024 * 1024

/** What a trace.dat begins with (trace-cmd.dat(5)). */
const TRACE_DAT = '\x17\x08\x44tracing'
const NEWLINE = 0x0a
const BYTE_ORDER_MARK = '\ufeff'

export interface Input {
  /** How messages name it: the path, or `stdin`. */
  readonly name: string
  readonly stream: Readable
  /** Size of the file as it lies on disk; undefined for a pipe. */
  readonly bytes: number | undefined
}

/** Opens a file, or standard input for `-`. */
export async function openInput(path: string, stdin: Readable): Promise<Input> {
  if (path === '-') return { name: 'stdin', stream: stdin, bytes: undefined }
  try {
    const { size } = await stat(path).then((entry) => {
      if (entry.isDirectory()) throw new Error('it is a directory')
      return entry
    })
    return { name: path, stream: createReadStream(path), bytes: size > 0 ? size : undefined }
  } catch (error) {
    throw new ReplayInputError(`cannot read ${path}: ${reasonOf(error)}`)
  }
}

/** The same chunks, counted. */
async function* counted(stream: Readable, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  let read = 0
  for await (const chunk of stream) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))
    read += bytes.length
    onBytes(read)
    yield bytes
  }
}

/** The chunks, unpacked where they begin as gzip does (RFC 1952: 1f 8b). */
async function* unpacked(chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let first = Buffer.alloc(0)
  while (first.length < 2) {
    const next = await chunks.next()
    if (next.done === true) break
    first = Buffer.concat([first, next.value])
  }
  async function* all(): AsyncGenerator<Buffer> {
    if (first.length > 0) yield first
    yield* chunks
  }
  if (first.length < 2 || first[0] !== 0x1f || first[1] !== 0x8b) yield* all()
  // The callback only keeps an error from being thrown twice: reading the unpacked side throws it.
  else yield* pipeline(Readable.from(all()), createGunzip(), () => undefined)
}

/** Lines in batches, a chunk's worth each: without their ends, the byte order mark and carriage returns. */
export async function* readLines(
  input: Input,
  onBytes: (bytes: number) => void = () => undefined,
): AsyncGenerator<string[]> {
  let rest: Buffer[] = []
  let restBytes = 0
  let count = 0
  const text = (bytes: Buffer): string => {
    const line = bytes.toString('utf8')
    if (count === 0 && line.startsWith(TRACE_DAT)) {
      const why = 'a binary file of trace-cmd; run trace-cmd report on it, and give what that prints'
      throw new ReplayInputError(`${input.name}: ${why}`)
    }
    const end = line.endsWith('\r') ? line.length - 1 : line.length
    return count++ === 0 && line.startsWith(BYTE_ORDER_MARK) ? line.slice(1, end) : line.slice(0, end)
  }
  const bound = (bytes: number): void => {
    if (bytes <= LINE_BYTES_MAX) return
    throw new ReplayInputError(`${input.name}:${count + 1}: the line is longer than ${LINE_BYTES_MAX} bytes`)
  }
  try {
    for await (const chunk of unpacked(counted(input.stream, onBytes))) {
      const lines: string[] = []
      let start = 0
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        const piece = chunk.subarray(start, end)
        bound(restBytes + piece.length)
        lines.push(text(restBytes === 0 ? piece : Buffer.concat([...rest, piece])))
        rest = []
        restBytes = 0
        start = end + 1
      }
      if (start < chunk.length) {
        rest.push(chunk.subarray(start))
        restBytes += chunk.length - start
        bound(restBytes)
      }
      if (lines.length > 0) yield lines
    }
  } catch (error) {
    if (error instanceof ReplayInputError) throw error
    throw new ReplayInputError(`${input.name}: cannot be read behind line ${count}: ${reasonOf(error)}`)
  }
  if (restBytes > 0) yield [text(Buffer.concat(rest))]
}
