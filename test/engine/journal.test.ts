/** The log is bounded, numbered without holes, and says where it begins. */
import { describe, expect, it } from 'vitest'
import { resultText } from '../../src/api/result.js'
import { readResult } from '../../src/api/result-record.js'
import { Journal } from '../../src/engine/journal.js'
import { Effects } from '../../src/synic/effects.js'

/** Ops of five words each, whose results hold `bytes` bytes. */
function filled(ops: number, opsMax: number, bytesMax = 1e9, bytes = 0): Journal {
  const journal = new Journal(0, opsMax, bytesMax)
  const effects = new Effects()
  if (bytes > 0) effects.setBytes(new Uint8Array(bytes))
  for (let seq = 1; seq <= ops; seq++) journal.append(seq, Int32Array.of(0, 6, 5, 0, 0, seq), 1, 5, effects)
  return journal
}

const seqs = (journal: Journal, from: number, to: number) =>
  [...journal.entries(from, to)].map(({ seq }) => seq)

describe('the log', () => {
  it('gives back what was put in, over chunk borders', () => {
    const journal = filled(1300, 10_000)
    expect(seqs(journal, 510, 515)).toEqual([510, 511, 512, 513, 514, 515])
    const [entry] = journal.entries(600, 600)
    expect([...entry.words.subarray(entry.at, entry.at + 5)]).toEqual([6, 5, 0, 0, 600])
    expect(resultText(readResult(entry.words, entry.resultAt, new Effects()))).toBe('{"ok":true}')
    expect(seqs(journal, 1, 5000)).toHaveLength(1300)
  })

  it('keeps as many ops as it was asked to, forgets older ones, and says so', () => {
    const journal = filled(5000, 2048)
    expect(journal.firstSeq).toBeLessThanOrEqual(5000 - 2048 + 1)
    expect(journal.firstSeq).toBeGreaterThan(5000 - 2048 - 512)
    expect(seqs(journal, 1, 5000)[0]).toBe(journal.firstSeq)
    expect(seqs(journal, 1, 5000).at(-1)).toBe(5000)
  })

  it('forgets the oldest beyond its bound of bytes', () => {
    const journal = filled(5000, 1e9, 100_000, 100)
    expect(5000 - journal.firstSeq).toBeLessThan(100_000 / 100 + 512)
  })

  it('keeps its bound with results of any size: a chunk of large ones is short', () => {
    const journal = filled(600, 1e9, 160_000, 20_000)
    expect(600 - journal.firstSeq).toBeLessThan(12)
  })

  it('keeps nothing where it is switched off, and still knows the next seq', () => {
    const journal = filled(10, 0)
    expect([journal.firstSeq, seqs(journal, 0, 100)]).toEqual([11, []])
  })

  it('begins after the state it was opened on', () => {
    expect(new Journal(41, 100, 100).firstSeq).toBe(42)
  })
})
