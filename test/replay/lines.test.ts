/** Bytes to lines, however they are cut and packed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { LINE_BYTES_MAX, openInput, readLines } from '../../src/replay/lines.js'

const folder = mkdtempSync(join(tmpdir(), 'synicd-lines-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function read(chunks: readonly Buffer[]): Promise<string[]> {
  const input = { name: 'stdin', stream: Readable.from(chunks), bytes: undefined }
  const lines: string[] = []
  for await (const batch of readLines(input)) lines.push(...batch)
  return lines
}

const bytes = (text: string) => Buffer.from(text)
const singly = (buffer: Buffer) => [...buffer].map((byte) => Buffer.of(byte))

describe('readLines', () => {
  it.each([
    ['one chunk', [bytes('a\nbc\n')], ['a', 'bc']],
    ['a last line without its end', [bytes('a\nbc')], ['a', 'bc']],
    ['lines cut anywhere', singly(bytes('a\nbö\n\nc')), ['a', 'bö', '', 'c']],
    ['carriage returns', [bytes('a\r\nb\r\n')], ['a', 'b']],
    ['a byte order mark', [bytes('\ufeffa\n')], ['a']],
    ['nothing', [], []],
    ['gzip', [gzipSync('a\nb\n')], ['a', 'b']],
    ['gzip cut anywhere', singly(gzipSync('a\nb\n')), ['a', 'b']],
    ['one byte, as gzip begins', [Buffer.of(0x1f)], ['\u001f']],
  ])('reads %s', async (_what, chunks, lines) => {
    expect(await read(chunks)).toEqual(lines)
  })

  it('bounds a line', async () => {
    const chunk = Buffer.alloc(LINE_BYTES_MAX / 2 + 1, 'x')
    await expect(read([bytes('a\n'), chunk, chunk])).rejects.toThrow('stdin:2: the line is longer than')
    await expect(read([Buffer.concat([chunk, chunk, bytes('\n')])])).rejects.toThrow('stdin:1:')
  })

  it('says where a cut-off gzip file ends', async () => {
    const packed = gzipSync(`${'line\n'.repeat(50_000)}`)
    await expect(read([packed.subarray(0, packed.length / 2)])).rejects.toThrow(
      /^stdin: cannot be read behind line/,
    )
  })

  it('counts the bytes that were read', async () => {
    const seen: number[] = []
    const input = { name: 'x', stream: Readable.from([bytes('a\n'), bytes('bc\n')]), bytes: undefined }
    for await (const _ of readLines(input, (count) => seen.push(count)));
    expect(seen).toEqual([2, 5])
  })
})

describe('openInput', () => {
  it('opens a file and knows its size', async () => {
    const path = join(folder, 'a.txt')
    writeFileSync(path, 'a\n')
    expect(await openInput(path, process.stdin)).toMatchObject({ name: path, bytes: 2 })
  })

  it('takes - for standard input', async () => {
    expect(await openInput('-', process.stdin)).toEqual({
      name: 'stdin',
      stream: process.stdin,
      bytes: undefined,
    })
  })

  it.each([
    [join(folder, 'none'), /^cannot read .*none: ENOENT/],
    [folder, /^cannot read .*: it is a directory$/],
  ])('refuses %s', async (path, why) => {
    await expect(openInput(path, process.stdin)).rejects.toThrow(why)
  })
})
