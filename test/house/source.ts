// Reads the project's own files for the house rules, and blanks out what is not code.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface SourceFile {
  /** From the project's root, with forward slashes. */
  readonly path: string
  readonly text: string
}

const NOT_OURS = new Set(['node_modules', 'dist', '.bundles', 'coverage', 'test-results', '.git'])

/** Every file below `folder`, but for what is installed, built or versioned. */
function pathsBelow(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return []
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name)) return []
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return pathsBelow(path)
    return entry.isFile() ? [path] : []
  })
}

export function filesBelow(folders: readonly string[], suffixes: readonly string[]): SourceFile[] {
  return folders
    .flatMap(pathsBelow)
    .filter((path) => suffixes.length === 0 || suffixes.some((suffix) => path.endsWith(suffix)))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

const COMMENT = String.raw`\/\/[^\n]*|\/\*[\s\S]*?\*\/`
const QUOTED = String.raw`'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"`
const TEMPLATE = '`(?:\\\\[\\s\\S]|\\$\\{(?:[^{}`]|\\{[^{}]*\\}|`[^`]*`)*\\}|[^`\\\\])*`'
/** A slash opens a regular expression only where no value can end: after an operator or an open bracket. */
const NO_VALUE_BEFORE = String.raw`(?<=(?:^|[=(,:[!&|?{};+\n]|=>|\breturn)\s*)`
const REGEX = String.raw`${NO_VALUE_BEFORE}\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/`
const TOKENS = new RegExp([COMMENT, QUOTED, TEMPLATE, REGEX].join('|'), 'g')

const blank = (text: string): string => text.replace(/[^\n]/g, ' ')

/** The same text without comments; strings stay, since import paths are strings. */
export function withoutComments(text: string): string {
  return text.replace(TOKENS, (token) => (/^\/[/*]/.test(token) ? blank(token) : token))
}

/** The same text without comments, strings and regular expressions; what a template holds in `${}` stays. */
export function codeOnly(text: string): string {
  return text.replace(TOKENS, (token) => {
    if (!token.startsWith('`')) return blank(token)
    return (token.match(/\$\{[^}]*\}|[\s\S]/g) ?? []).map((p) => (p.startsWith('${') ? p : blank(p))).join('')
  })
}
