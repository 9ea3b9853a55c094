/** Mistakes that people make in a scenario's text: each is told with its line, its field and the remedy. */
import { describe, expect, it } from 'vitest'
import { checkScenario, parseScenario } from '../../src/scenario/document.js'
import { NESTING_MAX, PROBLEMS_MAX } from '../../src/scenario/limits.js'
import { ScenarioError } from '../../src/scenario/problems.js'
import { runScenario } from '../../src/scenario/run.js'

const HEAD = 'scenario: own\ntitle: t\nsource: s\n'
const step = (text: string) => `${HEAD}steps:\n  - ${text}\n`

/** `5: steps/0: what is wrong`. */
function toldOf(action: () => unknown): string[] {
  try {
    action()
    return []
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error
    return error.problems.map(({ line, path, message }) => `${line}: ${path}: ${message}`)
  }
}

describe('YAML that is not as it looks:', () => {
  it.each([
    ['an empty file', '', /^1: : is empty: a scenario has scenario, title, source and steps; /],
    ['nothing but a comment', '# soon\n', /^1: : is empty/],
    [
      'two documents',
      `${HEAD}steps: [settle]\n---\n${HEAD}`,
      /^5: : a second document begins here: .* split it/,
    ],
    ['no object', '- a\n', /^1: : must be an object with scenario, title, source and steps/],
    [
      'a field too far right',
      'scenario: own\n title: t\n',
      /^1: : .*: begin the fields of one object in the same column/,
    ],
    ['a "-" too far left', `${step('settle')} - settle\n`, /^6: : .*: begin the fields of one object/],
    [
      'a "-" too far right',
      `${step('settle')}   - settle\n`,
      /^5: steps\/0: the "- settle" below .* same column/,
    ],
    ['a tab', `${HEAD}steps:\n\t- settle\n`, /^5: : .*: indent with spaces$/],
    ['a text with a colon', 'scenario: own\ntitle: a: b\n', /^2: : .* put a text with ": " in it in quotes$/],
    [
      'a brace that is not closed',
      step('{ run: vmbus.up, with: { vcpus: [0] }'),
      /^6: : .*: close each \{, \[/,
    ],
    [
      'a text that begins with *',
      step('*x'),
      /^5: steps\/0: \*x stands for nothing: put a text .* in quotes$/,
    ],
    [
      'a large number',
      step('{ op: mem.read, gpa: 0x8000000000000001 }'),
      /^5: steps\/0\/gpa: .* '0x8000000000000001'$/,
    ],
    [
      'an octal number',
      step('{ op: mem.read, gpa: 0363 }'),
      /^5: steps\/0\/gpa: 0363 may be octal or decimal: /,
    ],
  ])('%s', (_what, text, told) => {
    expect(toldOf(() => parseScenario(text))).toEqual([expect.stringMatching(told)])
  })

  it.each([
    ['[ in [', '['.repeat(50_000)],
    ['{ in {', '{a: '.repeat(50_000)],
    ['- in -', `\n${'- '.repeat(20_000)}`],
    ['? in ?', `\n${'? '.repeat(20_000)}`],
    [
      'field in field',
      `\n${Array.from({ length: 2000 }, (_, depth) => `${' '.repeat(depth + 1)}a:`).join('\n')}`,
    ],
  ])('%s without end', (_what, text) => {
    const [told] = toldOf(() => parseScenario(`${HEAD}steps: ${text}`))
    expect(told).toMatch(new RegExp(`^\\d+: : is nested deeper than ${NESTING_MAX} levels`))
  })
})

describe('YAML in great number:', () => {
  it.each([
    ['aliases', `&a 1, ${'*a, '.repeat(50_000)}`, /Excessive alias count/],
    ['numbers that may be octal', '010, '.repeat(100_000), /010 may be octal/],
  ])('%s are looked at once each', (_what, items, told) => {
    const all = toldOf(() => parseScenario(`${HEAD}steps: [${items}]`))
    expect(all[0]).toMatch(told)
    expect(all.length).toBeLessThanOrEqual(PROBLEMS_MAX)
  })
})

const CLEAN = 'expect: clean'

describe('fields:', () => {
  it.each([
    [
      'one that is missing',
      'scenario: own\nsource: s\nsteps: []\n',
      ['1: title: is missing: must be a text'],
    ],
    [
      'one that is misspelt',
      'scenario: own\ntitel: t\nsource: s\nsteps: []\n',
      [
        '2: titel: must be absent: there is no such field; did you mean "title"?',
        '1: title: is missing: must be a text',
      ],
    ],
    [
      'one that nothing is like',
      `${HEAD}wombat: 1\nsteps: []\n`,
      [
        '4: wombat: must be absent: there is no such field; there are scenario, title, source, about, zoo, ' +
          'partition, with, steps, variants, expect',
      ],
    ],
    [
      'a level too high',
      `${HEAD}vcpus: 2\nsteps: []\n`,
      ['4: vcpus: must be absent here: it belongs into partition'],
    ],
    [
      'of a variant, a level too high',
      `${HEAD}steps: []\nvariants:\n  a: { expect: clean, faults: 1 }\n`,
      ['6: variants/a/faults: must be absent here: it belongs into expect'],
    ],
    [
      'of an option',
      `${HEAD}partition: { options: { disabled_wrte: fault } }\nsteps: []\n`,
      [expect.stringMatching(/^4: partition\/options\/disabled_wrte: .* did you mean "disabled_write"\?$/)],
    ],
    [
      'of an expectation',
      `${HEAD}steps: []\nexpect: { fault: 1 }\n`,
      [expect.stringMatching(/^5: expect\/fault: .* did you mean "faults"\?$/)],
    ],
    [
      'a parameter of a variant that no step asks for',
      `${HEAD}with: { page: 1 }\nsteps: ['v0 SIMP=$page']\nvariants: { a: { with: { pge: 2 }, ${CLEAN} } }\n`,
      ['6: variants/a/with/pge: is no parameter: the steps ask for page; did you mean "page"?'],
    ],
    [
      'a count that is none',
      `${HEAD}steps: []\nexpect: { faults: many }\n`,
      ['5: expect/faults: must be a count of ops: an integer from 0'],
    ],
    [
      'of a pattern',
      `${HEAD}steps: []\nexpect: { violations: [{ rul: rug_pull }] }\n`,
      [expect.stringMatching(/^5: expect\/violations\/0\/rul: .* did you mean "rule"\?$/)],
    ],
    [
      'a rule that is misspelt',
      `${HEAD}steps: []\nexpect: { violations: [{ rule: rugpull }] }\n`,
      ['5: expect/violations/0/rule: is no rule; did you mean "rug_pull"?'],
    ],
  ])('%s', (_what, text, told) => {
    expect(toldOf(() => parseScenario(text))).toEqual(told)
  })
})

describe('steps:', () => {
  it.each([
    [
      'an object that is neither',
      '{ do: settle }',
      /^steps\/0: has neither run nor op: a step is a line, \{ run: /,
    ],
    ['a line with a colon', 'route 5: v0.s2', /^steps\/0: has neither .* a line with ": " needs quotes$/],
    [
      'vcpus beside with',
      '{ run: vmbus.up, vcpus: [0] }',
      /^steps\/0\/vcpus: .* write \{ run: vmbus.up, with: \{ vcpus: \[0\] \} \}$/,
    ],
    [
      'another parameter there',
      '{ run: mshv.up, version: v4 }',
      /^steps\/0\/version: .* with: \{ version: "v4" \}/,
    ],
    ['a field that is misspelt', '{ run: mshv.up, wiht: {} }', /^steps\/0\/wiht: .* did you mean "with"\?$/],
    ['a procedure that is misspelt', '{ run: vmbsu.up }', /^steps\/0\/run: .* did you mean "vmbus.up"\?$/],
    ['a parameter that is misspelt', '{ run: mshv.up, with: { versoin: v4 } }', /did you mean "version"\?$/],
    ['an op that is misspelt', '{ op: msr.wirte }', /^steps\/0\/op: .* did you mean "msr.write"\?$/],
    [
      'a field of an op',
      '{ op: clock.advance, tikcs: 1, ticks: 1 }',
      /^steps\/0\/tikcs: .* did you mean "ticks"\?$/,
    ],
    [
      'what gives no number',
      '{ run: vmbus.up, gives: gp }',
      /^steps\/0\/gives: must be what it returns: 0, or an errno/,
    ],
    ['a line that is misspelt', 'singal v0 s2 f1', /begins no step; did you mean "signal"\?$/],
    [
      'vCPUs with a space',
      'v0, v1 SIMP=1',
      /^steps\/0: "v0," begins no step: vCPUs are written v0 or v0,v1, /,
    ],
    ['a large letter', 'V0 SIMP=1', /^steps\/0: "V0" begins no step: vCPUs are written v0/],
    [
      'spaces around "="',
      'v0 SIMP = 1',
      /^steps\/0: "=" is neither REGISTER=value nor REGISTER\?, without spaces$/,
    ],
    ['a word of a parameter', '{ run: mshv.up, with: { version: V4 } }', /, v4, null; did you mean "v4"\?$/],
    ['a vCPU that is no list', '{ run: vmbus.up, vcpus: 0 }', /with: \{ vcpus: \[0\] \} \}$/],
    ['a register that is misspelt', 'v0 SMIP=1', /"SMIP" must be an MSR: .*; did you mean "SIMP"\?$/],
    [
      'the same in an op',
      '{ op: msr.read, vcpu: 0, msr: SMIP }',
      /^steps\/0\/msr: .* did you mean "SIMP"\?$/,
    ],
    ['a SINT too many', 'v0 SINT16=1', /; a vCPU has SINT0 to SINT15$/],
    ['the same in a post', 'post v0 s16 t=1', /^steps\/0: there is no SINT 16: a vCPU has SINT0 to SINT15$/],
    [
      'the same in an op',
      '{ op: event.signal, vcpu: 0, sint: 16, flag: 0 }',
      /^steps\/0\/sint: there is no SINT 16/,
    ],
    [
      'a value that may be octal',
      'v0 SINT2=0363',
      /"0363" may be octal or decimal: write it without the leading 0/,
    ],
    ['a SINT that may be octal', 'post v0 s010 t=1', /"s010" may be octal/],
    ['a vCPU that may be octal', 'v00 SIMP=1', /"v00" may be octal/],
    ['a type that may be octal', 'post v0 s2 t=010', /"t=010" may be octal/],
  ])('%s', (_what, text, told) => {
    expect(toldOf(() => parseScenario(step(text)))).toEqual([
      expect.stringMatching(new RegExp(`^5: .*${told.source.replace(/^\^/, '(?<=^5: )')}`)),
    ])
  })

  it('a parameter that is misspelt, or said nowhere', () => {
    const text = step('v0 SIMP=$pgae')
    expect(toldOf(() => parseScenario(`${text}with: { page: 1 }\n`))).toEqual([
      '5: steps/0: $pgae is no parameter of the scenario; did you mean "page"?',
    ])
    expect(toldOf(() => parseScenario(text))[0]).toMatch(/; it has none: say its value in with$/)
  })

  it('a decimal value is exact up to its last digit', () => {
    const [{ trace }] = runScenario(parseScenario(step('v0 SIMP=18446744073709547521')))
    expect(trace.at(-1)?.in.value).toBe('0xfffffffffffff001')
  })

  it('a JSON number that has lost digits is refused', () => {
    const document = { scenario: 'own', title: 't', source: 's', with: { page: 2 ** 60 }, steps: [] }
    expect(toldOf(() => checkScenario(document))).toEqual([
      expect.stringMatching(/^0: with\/page: must be a text, a number \(above 2\^53-1: hex in quotes\), /),
    ])
  })
})
