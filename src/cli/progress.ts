// Progress on a terminal, for work that lasts: on stderr, so that what is piped on stays clean.
import cliProgress from 'cli-progress'

/** Shorter work ends before anyone wonders. */
const PATIENCE_MS = 1000

export interface ProgressStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean | undefined
}

/** A bar that appears after a second, if anyone watches. */
export class Progress {
  readonly #bar: cliProgress.SingleBar | undefined
  readonly #since: number
  #shown = false

  constructor(
    stream: ProgressStream,
    label: string,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#since = now()
    if (stream.isTTY !== true) return
    const format = `${label} [{bar}] {percentage}% | {value}/{total} KiB | {eta_formatted} left`
    this.#bar = new cliProgress.SingleBar({ stream, format, clearOnComplete: true, hideCursor: true, fps: 5 })
  }

  /** @param total undefined where the end is not known */
  update(bytes: number, total: number | undefined): void {
    if (this.#bar === undefined || this.now() - this.#since < PATIENCE_MS) return
    const done = Math.ceil(bytes / 1024)
    const all = total === undefined ? done : Math.ceil(total / 1024)
    if (!this.#shown) this.#bar.start(all, done)
    else if (total === undefined) this.#bar.setTotal(all)
    this.#shown = true
    this.#bar.update(done)
  }

  /** Clears the line. */
  stop(): void {
    if (this.#shown) this.#bar?.stop()
  }
}
