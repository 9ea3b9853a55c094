/** Documents with mistakes: each is told with its line and its field. */
import { describe, expect, it } from 'vitest'
import { checkScenario, parseScenario } from '../../src/scenario/document.js'
import { STEPS_MAX } from '../../src/scenario/limits.js'
import { ScenarioError } from '../../src/scenario/problems.js'

const HEAD = 'scenario: own\ntitle: t\nsource: s\n'

function problemsOf(action: () => unknown): [line: number, path: string, message: string][] {
  try {
    action()
    return []
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error
    return error.problems.map(({ line, path, message }) => [line, path, message])
  }
}

const EXPECT = 'steps: []\nexpect: { violations: ['

describe('a file with', () => {
  it.each([
    ['no YAML in it', 'steps: [a, b', 4, '', /flow sequence|must end/i],
    ['the same field twice', 'steps: []\nsteps: []', 5, '', /unique/],
    ['a list instead', '- a', 4, '', /./],
    [
      'an unknown field',
      'stepps: []\nsteps: [settle]',
      4,
      'stepps',
      'must be absent: there is no such field; did you mean "steps"?',
    ],
    ['no steps', 'zoo: [BZ-01]', 1, '', 'must have steps, or variants with steps'],
    ['a variant without steps', 'variants: { a: { expect: clean } }', 4, 'variants/a', /must have steps/],
    ['a variant that expects nothing', 'steps: []\nvariants: { a: {} }', 5, 'variants/a/expect', /clean, or/],
    ['a number for a step', 'steps:\n  - settle\n  - 5', 6, 'steps/1', /must be a line .*, a procedure/],
    [
      'a line that is no step',
      'steps:\n  - settle\n  - pots v0',
      6,
      'steps/1',
      '"pots" begins no step; did you mean "post"?',
    ],
    ['a word that does not fit', 'steps:\n  - post v0 2 t=1', 5, 'steps/0', /^"2" is not understood: post/],
    ['a register that is none', 'steps:\n  - v0 SIIMP=1', 5, 'steps/0', /^"SIIMP" must be an MSR/],
    ['a value that is none', 'steps:\n  - v0 SIMP=on', 5, 'steps/0', /^"on" must be a u64/],
    ['a result that is none', 'steps:\n  - v0 SIMP=1 -> gpp', 5, 'steps/0', /^"gpp" is no result/],
    ['an op that is none', 'steps:\n  - { op: msr.reed }', 5, 'steps/0/op', /the name of an op/],
    ['an op that lacks a field', 'steps:\n  - { op: apic.ack }', 5, 'steps/0/vcpu', /an integer/],
    [
      'a procedure that is none',
      'steps:\n  - { run: vmbus.upp }',
      5,
      'steps/0/run',
      /^"vmbus.upp" is no proc/,
    ],
    ['an unknown field of a step', 'steps:\n  - { run: mshv.up, wth: 1 }', 5, 'steps/0/wth', /absent/],
    ['a parameter that is none', 'steps:\n  - v0 SIMP=$x', 5, 'steps/0', /^\$x is no parameter/],
    ['the same for a procedure', 'steps: [{ run: mshv.up, with: { version: $x } }]', 4, 'steps/0', /^\$x is/],
    [
      'an MSHV that never was',
      'steps: [{ run: mshv.up, with: { version: v9 } }]',
      4,
      'steps/0/with/version',
      /"v9" is none/,
    ],
    [
      'vCPUs that are none',
      'steps: [{ run: mshv.up, with: { vcpus: [-1] } }]',
      4,
      'steps/0/with/vcpus',
      /list of different vCPUs/,
    ],
    [
      'an expected register that is none',
      'steps: []\nexpect:\n  registers:\n    v0.SINTT: 1',
      7,
      'expect/registers/v0.SINTT',
      'is no register; write v0.SINT2',
    ],
    [
      'a step of a variant that is none',
      'variants:\n  a:\n    expect: clean\n    steps:\n      - nonsense',
      8,
      'variants/a/steps/0',
      /^"nonsense" begins no step; a line begins with v0 and a register .*, or with post, signal, /,
    ],
    [
      'a tag without quotes',
      'steps:\n  - post v0 s2 t=1 #A -> ok',
      5,
      'steps/0',
      /^"#A -> ok" is a comment to YAML; put/,
    ],
    [
      'a vCPU that is not there',
      'steps:\n  - v1 SIMP=1',
      5,
      'steps/0',
      /^there is no vCPU 1: the .* has vCPU 0 here/,
    ],
    ['a rule that is none', `${EXPECT}{ rule: x }] }`, 5, 'expect/violations/0/rule', /^is no rule/],
    [
      'an invariant that is none',
      `${EXPECT}{ invariant: I25 }] }`,
      5,
      'expect/violations/0/invariant',
      /^is no inv/,
    ],
    [
      'a register of a violation',
      `${EXPECT}{ register: x }] }`,
      5,
      'expect/violations/0/register',
      /^is no reg/,
    ],
    [
      'a parameter of no procedure',
      'steps: [{ run: mshv.up, with: { v: 1 } }]',
      4,
      'steps/0/with/v',
      /^is no param/,
    ],
    ['an unknown profile', 'partition: { profile: xen }\nsteps: []', 4, 'partition/profile', /one of kvm/],
  ] as const)('%s', (_what, text, line, path, message) => {
    const told = problemsOf(() => parseScenario(HEAD + text))
    expect(told).toContainEqual([
      line,
      path,
      typeof message === 'string' ? message : expect.stringMatching(message),
    ])
  })
})

describe('a document', () => {
  const head = { scenario: 'own', title: 't', source: 's' }

  it.each([
    'steps: [v0 SIMP=1] # a comment of its own',
    'steps:\n  - v0 SIMP=1  # why',
    "steps:\n  - 'post v0 s2 t=1 #A -> ok'",
    'steps:\n  - create v1\n  - v1 SIMP=1',
    'steps:\n  - { op: vcpu.create, vcpu: 1 }\n  - v1 SIMP=1',
    'steps:\n  - v9 SIMP=1 -> -22',
    'partition: { vcpus: 2 }\nsteps:\n  - v1 SIMP=1',
  ])('may say %j', (text) => {
    expect(() => parseScenario(HEAD + text)).not.toThrow()
  })

  it('as JSON has no lines', () => {
    const told = problemsOf(() => checkScenario({ ...head, steps: ['settle', 'nonsense'] }))
    expect(told).toEqual([[0, 'steps/1', expect.stringMatching(/^"nonsense" begins no step/)]])
  })

  it('tells all its problems, but not for ever, and shared steps once', () => {
    const variants = { a: { expect: 'clean' }, b: { expect: 'clean' } }
    expect(problemsOf(() => checkScenario({ ...head, variants, steps: ['x', 'y'] }))).toHaveLength(2)
    expect(problemsOf(() => checkScenario({ ...head, steps: Array(50).fill('x') }))).toHaveLength(20)
  })

  it('has a bounded number of steps, over all its variants', () => {
    const steps = Array(STEPS_MAX / 2 + 1).fill('settle')
    const document = { ...head, steps, variants: { a: { steps, expect: 'clean' } } }
    expect(problemsOf(() => checkScenario(document))).toEqual([
      [0, '', `must have at most ${STEPS_MAX} steps in all`],
    ])
  })

  it('reads values for parameters of every kind', () => {
    const steps = ['v$vcpu SIMP=$value', { run: 'mshv.up', with: { version: '$mshv', vcpus: '$vcpus' } }]
    const values = { vcpu: 0, value: '0x10001', mshv: null, vcpus: [0] }
    expect(checkScenario({ ...head, with: values, steps })).toMatchObject({ with: values })
  })
})
