/** What the log says of a stream that broke: a client's fault is no error of the server's. */
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { JSON_PROTOCOL } from '../../src/api/frames.js'
import { buildApp } from '../../src/app.js'
import { Service } from '../../src/engine/service.js'
import { Health } from '../../src/telemetry/health.js'
import { createMetrics } from '../../src/telemetry/metrics.js'
import { closeCode, frameBytes, upgraded } from '../support/stream-raw.js'

it('a frame that is not masked is told as information', async () => {
  const lines: { level: number; msg: string; err?: { code: string } }[] = []
  const out = new Writable({
    write(line, _encoding, done) {
      lines.push(JSON.parse(String(line)))
      done()
    },
  })
  const service = new Service()
  service.create({ id: 'p1' })
  const metrics = createMetrics(service)
  const app = await buildApp({ service, metrics, health: new Health(), logger: pino(out) })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  try {
    const url = `${address.replace('http', 'ws')}/v1/partitions/p1/stream`
    const socket = await upgraded(url, JSON_PROTOCOL)
    socket.write(frameBytes({ first: 0x81, payload: Buffer.from('{}') }))
    expect(await closeCode(socket)).toBe(1002)
    const broke = lines.find(({ msg }) => msg === 'a stream broke')
    expect(broke).toMatchObject({ level: pino.levels.values.info, err: { code: 'WS_ERR_EXPECTED_MASK' } })
    expect(lines.filter(({ level }) => level >= pino.levels.values.error)).toEqual([])
  } finally {
    await app.close()
  }
})
