/** Steps in short form: the table in docs/scenarios.md is the test, and no form is missing from it. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { encodeOp } from '../../src/api/op-encode.js'
import { NAMES_MAX } from '../../src/hv/limits.js'
import { FORMS, parseShort } from '../../src/scenario/short-form.js'
import { NameTable } from '../../src/synic/names.js'
import { OpWriter } from '../../src/synic/op.js'

const page = readFileSync(new URL('../../docs/scenarios.md', import.meta.url), 'utf8')

/** Rows of three code cells: form, example, what it stands for. */
const rows = [...page.matchAll(/^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$/gm)].map(([, ...cells]) => cells)

describe('the table of short forms', () => {
  it('has every form, in order, after the two of register accesses', () => {
    expect(rows.slice(2).map(([form]) => form)).toEqual(FORMS.map(([form]) => form))
  })

  it.each(rows)('%s: %s', (_form, example, stands) => {
    const steps = parseShort(example)
    expect(steps).toEqual(JSON.parse(`[${stands}]`))
    for (const step of steps) {
      if ('op' in step) encodeOp(step, new OpWriter(), new NameTable(NAMES_MAX), 0)
    }
  })
})

describe('a line', () => {
  it.each([
    ['v0,v1 SIMP=1; SINT2?', 4],
    ['v0 vmbus NESTED.SIMP=0x1', 1],
    ['v0 0x40000083=1', 1],
    ['boot linux-2 crash by linux', 1],
    ['hc v0 signal c2', 1],
    ['route', 1],
  ])('%s is %i steps', (line, count) => expect(parseShort(line)).toHaveLength(count))

  it.each([
    ['', '"" begins no step'],
    ['pots v0 s2 t=1', '"pots" begins no step'],
    ['post v0 x2 t=1', '"x2" is not understood: post vVCPU sSINT t=TYPE [#TAG]'],
    ['post v0 s2', '"post v0 s2" ends too early: post vVCPU sSINT t=TYPE [#TAG]'],
    ['post v0 s2 t=1 #A #B', '"#B" is not understood'],
    ['hc v0 pst c1 t=1', '"pst" is not understood: hc vVCPU'],
    ['route 5:v0.s2 6:v0', '"6:v0" is not understood: route [GSI:vVCPU.sSINT...]'],
    ['bind 5 resampled', '"resampled" is not understood'],
    ['v0 SIMP', '"SIMP" is followed by no register'],
    ['v0 vmbus mshv SIMP=1', '"mshv" is neither REGISTER=value nor REGISTER?'],
  ])('"%s" is told: %s', (line, why) => expect(() => parseShort(line)).toThrow(why))
})
