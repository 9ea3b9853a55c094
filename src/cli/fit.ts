// Fits a report to the terminal it is read on. What goes to a file or a pipe keeps one line a row, for grep.

/** A last column that has at least this much room is wrapped where it stands. */
const ROOM_MIN = 40
/** Where it goes otherwise: below its row. */
const BELOW = ' '.repeat(7)
const COLUMNS_MIN = 40

/** Where people read it; undefined: nobody does. */
export function columnsOf(stdout: NodeJS.WritableStream): number | undefined {
  const { isTTY, columns } = stdout as { isTTY?: boolean; columns?: number }
  return isTTY === true && columns !== undefined ? Math.max(columns, COLUMNS_MIN) : undefined
}

/** The same text in lines of at most so many columns, words permitting; tables keep their columns. */
export function fitText(text: string, columns: number | undefined): string {
  if (columns === undefined) return text
  return text
    .split('\n\n')
    .map((block) => fitBlock(block.split('\n'), columns).join('\n'))
    .join('\n\n')
}

function fitBlock(lines: readonly string[], columns: number): string[] {
  const long = lines.filter((line) => line.length > columns)
  const starts = new Set(long.map(lastCell).filter((at) => at > 0))
  return lines.flatMap((line) => {
    const at = lastCell(line)
    if (starts.has(at)) {
      if (columns - at >= ROOM_MIN) return wrapped(line.slice(0, at), line.slice(at), ' '.repeat(at), columns)
      return [line.slice(0, at).trimEnd(), ...wrapped(BELOW, line.slice(at), BELOW, columns)]
    }
    if (line.length <= columns) return [line]
    const [indent] = /^ */.exec(line) ?? ['']
    return wrapped(indent, line.slice(indent.length), `${indent}  `, columns)
  })
}

/** Where the last column begins: two spaces or more stand between columns; 0 where there is one column. */
function lastCell(line: string): number {
  const [lead = ''] = /^(?:.*\S)? {2,}(?=\S)/.exec(line) ?? []
  return lead.trim() === '' ? 0 : lead.length
}

function wrapped(first: string, text: string, indent: string, columns: number): string[] {
  const lines: string[] = []
  let line = first
  let isEmpty = true
  for (const word of text.split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = indent
      isEmpty = true
    }
    line += isEmpty ? word : ` ${word}`
    isEmpty = false
  }
  return [...lines, line]
}
