/** By which names a server is called: a page whose own name comes to mean this machine is kept out. */
import { describe, expect, it } from 'vitest'
import { HostNames } from '../../routes/host-name.js'

const problemOf = (host: string | undefined, known: readonly string[] = []) =>
  new HostNames(known).refusal({ headers: { host }, httpVersion: '1.0' } as never)?.code

describe('Host', () => {
  it.each([
    ['an address', '127.0.0.1:8440', []],
    ['another address of this machine', '192.0.2.7', []],
    ['an IPv6 address', '[::1]:8440', []],
    ['localhost', 'localhost:8440', []],
    ['the same, in capitals and with the dot of the root', 'LOCALHOST.:8440', []],
    ['a machine or container nearby', 'synicd:8440', []],
    ['a name below localhost', 'synicd.localhost', []],
    ['a name that is allowed', 'Lab.example:80', ['lab.EXAMPLE']],
    ['any name, where any is', 'elsewhere.example', ['*']],
    ['nothing, as HTTP/1.0 may', undefined, []],
  ])('may be %s', (_what, host, known) => {
    expect(problemOf(host, known)).toBeUndefined()
  })

  it.each([
    ['the name of a page that was made to mean this machine', 'elsewhere.example:8440', []],
    ['one that begins like ours', 'localhost.elsewhere.example', []],
    ['one that ends like an allowed one', 'badlab.example', ['lab.example']],
    ['one below an allowed one', 'a.lab.example', ['lab.example']],
    ['one that begins like an address', '127.0.0.1.elsewhere.example', []],
    ['an empty name', '', []],
    ['a dot alone', '.', []],
    ['a name in brackets', '[elsewhere.example]', []],
  ])('may not be %s', (_what, host, known) => {
    expect(problemOf(host, known)).toBe('unknown-host')
  })

  it('is looked at anew after one that was right', () => {
    const names = new HostNames([])
    const said = (host: string) => names.refusal({ headers: { host }, httpVersion: '1.0' } as never)?.code
    expect(['localhost', 'elsewhere.example', 'localhost'].map(said)).toEqual([
      undefined,
      'unknown-host',
      undefined,
    ])
  })
})
