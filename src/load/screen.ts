/** A few lines of a terminal that are written over and over in the same place. */
import { clearScreenDown, moveCursor } from 'node:readline'

/** Unless the terminal knows better. */
const WIDTH = 80

export class Screen {
  #lines = 0

  constructor(private readonly terminal: NodeJS.WritableStream & { readonly columns?: number }) {}

  draw(lines: readonly string[]): void {
    this.clear()
    // A line that wraps would be two, and the next drawing in the wrong place.
    const width = this.terminal.columns || WIDTH
    this.terminal.write(lines.map((line) => `${line.slice(0, width - 1)}\n`).join(''))
    this.#lines = lines.length
  }

  clear(): void {
    if (this.#lines === 0) return
    moveCursor(this.terminal, 0, -this.#lines)
    clearScreenDown(this.terminal)
    this.#lines = 0
  }
}
