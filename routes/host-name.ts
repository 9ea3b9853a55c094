/**
 * Names that this server is not known by. A page can have its own name resolve to 127.0.0.1 once it is loaded
 * (DNS rebinding): then it and the server have one origin, to the browser and to `originRefusal` alike. What
 * cannot be made to mean another machine is always known: addresses, and names without a dot, which the DNS
 * gives to nobody.
 */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { InputError } from '../src/api/problem.js'

/** Names of this machine (RFC 6761, section 6.3), or of one nearby, such as a container. */
const LOCAL = /^(?:.+\.localhost|[^.]+)$/

const ANY = '*'

export class HostNames {
  readonly #known: ReadonlySet<string>
  /** What clients said last, and was right: mostly all say the same. */
  #last: string | undefined

  /** @param known names besides those; `*` means any */
  constructor(known: readonly string[]) {
    this.#known = new Set(known.map((name) => name.toLowerCase()))
  }

  /** Why the request is not answered, if `Host` is missing, or a name that is not known. */
  refusal({ headers: { host }, httpVersion }: IncomingMessage): InputError | undefined {
    if (host === undefined) return httpVersion === '1.0' ? undefined : missing()
    if (host === this.#last) return undefined
    const name = nameOf(host)
    if (this.#isKnown(name)) {
      this.#last = host
      return undefined
    }
    const called = name.slice(0, 100)
    const detail = `This server is not known as ${called}; --allowed-hosts says what else it is called.`
    return new InputError([], 'unknown-host', detail)
  }

  #isKnown(name: string): boolean {
    return isIP(name) !== 0 || LOCAL.test(name) || this.#known.has(name) || this.#known.has(ANY)
  }
}

function missing(): InputError {
  return new InputError([{ path: 'host', message: 'must be given, as HTTP/1.1 has it' }])
}

/** Without port, brackets and the root's dot. */
function nameOf(host: string): string {
  const [, address, name = ''] = /^(?:\[(.*)\]|([^:]*))/.exec(host) ?? []
  return (address ?? name).toLowerCase().replace(/\.$/, '')
}
