/** Readiness: true from the start of listening until the server is told to stop. */

export class Health {
  #reason = 'starting'

  get ready(): boolean {
    return this.#reason === ''
  }

  /** Why the server is not ready; empty while it is. */
  get reason(): string {
    return this.#reason
  }

  start(): void {
    this.#reason = ''
  }

  /** From now on `/readyz` fails, so that load balancers send their requests elsewhere. */
  drain(): void {
    this.#reason = 'draining: the server is going away'
  }
}
