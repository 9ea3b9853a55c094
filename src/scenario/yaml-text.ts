/**
 * The YAML text of a scenario: what is in it, on which line each field stands, and what YAML makes of it that
 * nobody meant.
 */
import {
  type Document,
  type ErrorCode,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  parseDocument,
  type Scalar,
  visit,
} from 'yaml'
import { NESTING_MAX, PROBLEMS_MAX } from './limits.js'
import { ScenarioError, type ScenarioProblem } from './problems.js'

export interface YamlText {
  readonly value: unknown
  /** The line of a field, `steps/3`; of one that is not there, of what it should be in. */
  readonly lineOf: (path: string) => number
}

/**
 * @throws ScenarioError where it is no YAML, is not one document, or reads otherwise than it looks
 */
export function readYaml(text: string): YamlText {
  const lines = new LineCounter()
  checkNesting(text)
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [syntax] = yaml.errors
  if (syntax !== undefined) {
    throw wholeProblem(lines.linePos(syntax.pos[0]).line, syntaxMessage(syntax.code, syntax.message))
  }
  if (yaml.contents === null) throw wholeProblem(1, EMPTY)
  const lineAt = (node: unknown): number | undefined => {
    const range = (node as Node | null)?.range
    return range ? lines.linePos(range[0]).line : undefined
  }
  const lineOf = (path: string): number => {
    const parts = path === '' ? [] : path.split('/')
    for (let length = parts.length; length >= 0; length--) {
      const line = lineAt(yaml.getIn(parts.slice(0, length), true))
      if (line !== undefined) return line
    }
    return 0
  }
  const misread = misreadNodes(yaml, text, lineAt)
  if (misread.length > 0) throw new ScenarioError(misread)
  return { value: plainOf(yaml), lineOf }
}

function wholeProblem(line: number, message: string): ScenarioError {
  return new ScenarioError([{ path: '', line, message }])
}

const EMPTY =
  'is empty: a scenario has scenario, title, source and steps; `synicd scenario show kexec-l1vh` prints one'

/** What to do about an error of the parser, whose own words say what it is. */
const REMEDIES: Partial<Readonly<Record<ErrorCode, string>>> = {
  BAD_INDENT: 'begin the fields of one object, and the "-" of one list, in the same column',
  BLOCK_AS_IMPLICIT_KEY:
    'begin the fields of one object in the same column, and put a text with ": " in it in quotes',
  BLOCK_IN_FLOW: 'inside { } and [ ] write { } and [ ], or take the outer ones away',
  MISSING_CHAR: 'close each {, [ and quote where it was opened, and put a space behind each ":" and "-"',
  MULTILINE_IMPLICIT_KEY: 'end the line before it with ":", or begin this one further right',
  UNEXPECTED_TOKEN: 'put a text that begins with a special character, or has one in it, in quotes',
  BAD_SCALAR_START: 'put a text that begins with this character in quotes',
  TAB_AS_INDENT: 'indent with spaces',
  BAD_ALIAS: 'put a text that begins with "*" or "&" in quotes',
  DUPLICATE_KEY: 'write each field once',
}

function syntaxMessage(code: ErrorCode, message: string): string {
  if (code === 'MULTIPLE_DOCS')
    return 'a second document begins here: a file has one scenario; split it at the "---"'
  const isOpen = /must be sufficiently indented and end with/.test(message)
  const remedy = REMEDIES[isOpen ? 'MISSING_CHAR' : code]
  return remedy === undefined ? message : `${message}: ${remedy}`
}

/** The parser that makes nodes calls itself; the one that reads tokens does not, and is stopped in time. */
function checkNesting(text: string): void {
  const parser = new Parser()
  let [line, depth] = [1, 0]
  for (const token of new Lexer().lex(text)) {
    for (const _ of parser.next(token));
    // Each level is a collection and the item that is being read.
    depth = parser.stack.length
    line += token.split('\n').length - 1
    if (depth > NESTING_MAX)
      throw wholeProblem(line, `is nested deeper than ${NESTING_MAX} levels: a scenario needs few`)
  }
}

/** Aliases that would grow without end are refused by the parser. */
function plainOf(yaml: Document): unknown {
  try {
    return yaml.toJS()
  } catch (error) {
    throw wholeProblem(0, `${(error as Error).message}: write out what the aliases stand for`)
  }
}

function misreadNodes(
  yaml: Document,
  text: string,
  lineAt: (node: unknown) => number | undefined,
): ScenarioProblem[] {
  const problems: ScenarioProblem[] = []
  const note = (node: Node, ancestors: readonly unknown[], message: string | undefined) => {
    if (message === undefined || problems.length >= PROBLEMS_MAX) return
    problems.push({ path: pathOf(node, ancestors), line: lineAt(node) ?? 0, message })
  }
  const anchors = new Set<string | undefined>()
  visit(yaml, {
    Collection: (_key, { anchor }) => void anchors.add(anchor),
    Scalar: (key, scalar, ancestors) => {
      anchors.add(scalar.anchor)
      if (key !== 'key') note(scalar, ancestors, misreadMessage(scalar, text))
    },
    Alias: (_key, alias, ancestors) => {
      const isKnown = anchors.has(alias.source)
      note(
        alias,
        ancestors,
        isKnown ? undefined : `*${alias.source} stands for nothing: ${REMEDIES.BAD_ALIAS}`,
      )
    },
  })
  return problems
}

function misreadMessage(
  { value, source = '', comment, type, range }: Scalar,
  text: string,
): string | undefined {
  if (type !== 'PLAIN' || !range) return undefined
  if (typeof value === 'number' && !/[.eE]/.test(source.replace(/^0x.*/, ''))) {
    if (/^[-+]?0\d/.test(source)) {
      return `${source} may be octal or decimal: write it without the leading 0, or as 0x...`
    }
    if (!Number.isSafeInteger(value))
      return `${source} loses its last digits as a number: put it in quotes, '${source}'`
  }
  if (typeof value !== 'string') return undefined
  // To YAML the tag of a message begins a comment, and what the step must give is in it.
  if (/^\S/.test(comment ?? '')) {
    return `"#${comment}" is a comment to YAML; put the whole step in quotes: '${value} #${comment}'`
  }
  // A "-" that begins further right than the one above goes on with its text.
  const next = /\n[ \t]*- (.*)/.exec(text.slice(range[0], range[1]))?.[1]
  return next === undefined
    ? undefined
    : `the "- ${next}" below is read as more of this: begin its "-" in the same column as the one above`
}

/** `steps/3/value`. */
function pathOf(scalar: Node, ancestors: readonly unknown[]): string {
  const nodes = [...ancestors, scalar]
  const parts = nodes.flatMap((node, i) => {
    const { items, key } = node as { items?: readonly unknown[]; key?: { value?: unknown } }
    if (key !== undefined) return [String(key?.value)]
    const at = items?.indexOf(nodes[i + 1]) ?? -1
    // The items of a map are its pairs, which name themselves.
    const isPair = at >= 0 && 'key' in (nodes[i + 1] as object)
    return at >= 0 && !isPair ? [String(at)] : []
  })
  return parts.join('/')
}
