/** Flags win over environment over defaults; a bad value stops the start with one line that names it. */
import { describe, expect, it } from 'vitest'
import { ConfigError, loadConfig } from '../src/config.js'

const refusal = (flags: Record<string, unknown>, env: NodeJS.ProcessEnv) => {
  try {
    loadConfig(flags, env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
  }
  throw new Error('was not refused')
}

describe('configuration', () => {
  it('needs nothing', () => {
    expect(loadConfig({}, {})).toMatchObject({
      host: '127.0.0.1',
      port: 8440,
      logLevel: 'info',
      insecure: false,
    })
  })

  it('takes a flag before a variable before the default', () => {
    const env = { SYNICD_PORT: '9000', SYNICD_MAX_OPS: '500' }
    expect(loadConfig({ port: '9001' }, env)).toMatchObject({
      port: 9001,
      maxOps: 500,
      maxPartitions: 16_384,
    })
  })

  it.each([
    ['a port that is none', { port: '70000' }, {}, '--port: "70000"'],
    ['a stream budget below 64 KiB', { streamBudgetBytes: '1000' }, {}, '--stream-budget-bytes: "1000"'],
    ['text for a number', { maxOps: 'many' }, {}, '--max-ops: "many"'],
    ['an unknown level, by variable', {}, { SYNICD_LOG_LEVEL: 'loud' }, 'SYNICD_LOG_LEVEL: "loud"'],
    ['an empty variable', {}, { SYNICD_PORT: '' }, 'SYNICD_PORT: ""'],
    [
      'a misspelt variable',
      {},
      { SYNICD_PROT: '1' },
      'SYNICD_PROT: no such setting; did you mean "SYNICD_PORT"?',
    ],
    ['an open address without authentication', { host: '0.0.0.0' }, {}, '--insecure'],
    ['a host with its port', { allowedHosts: 'lab:8440' }, {}, '--allowed-hosts: "lab:8440"'],
    ['a name that only looks local', { host: 'localhost.example.org' }, {}, '--insecure'],
  ])('refuses %s', (_why, flags, env, message) => {
    expect(refusal(flags, env)).toContain(message)
    expect(refusal(flags, env)).not.toContain('\n')
  })

  it.each(['localhost', '127.0.0.1', '127.1.2.3', '::1'])('listens on %s without more', (host) => {
    expect(loadConfig({ host }, {}).host).toBe(host)
  })

  it.each([
    ['none', {}, []],
    ['any, where others may come', { host: '::', insecure: true }, ['*']],
    ['those that are given', { allowedHosts: 'lab.example, synicd' }, ['lab.example', 'synicd']],
    ['the same where others may come', { host: '::', insecure: true, allowedHosts: 'synicd' }, ['synicd']],
  ])('names: %s', (_which, flags, names) => {
    expect(loadConfig(flags, {}).allowedHosts).toEqual(names)
  })

  it('opens up when it is said out loud', () => {
    expect(loadConfig({ host: '0.0.0.0', insecure: true }, {}).insecure).toBe(true)
    expect(loadConfig({ host: '::' }, { SYNICD_INSECURE: '1' }).insecure).toBe(true)
    expect(refusal({ host: '::' }, { SYNICD_INSECURE: 'false' })).toContain('--host')
  })
})
