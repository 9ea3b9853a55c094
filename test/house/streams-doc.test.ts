/** The byte-exact part of docs/streams.md says what the code does: op tags, and the example. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { streamPartition } from '../../routes/stream-partition.js'
import { BinCodec } from '../../src/api/bin-codec.js'
import { Service } from '../../src/engine/service.js'
import { OP_NAMES } from '../../src/synic/op.js'
import { TestClient, TestTurn } from '../support/stream.js'

const doc = readFileSync(new URL('../../docs/streams.md', import.meta.url), 'utf8')

it('lists every op under its tag', () => {
  const rows = [...doc.matchAll(/^\| (\d+(?: · \d+)*) \| (`[a-z].*?) \|/gm)]
  const listed = rows.flatMap(([, tags, ops]) => {
    const names = [...ops.matchAll(/`([a-z_]+\.?[a-z_]+)`/g)].map(([, name]) => name)
    return tags.split(' · ').map((tag, i) => `${tag} ${names[i]}`)
  })
  expect(listed).toEqual(OP_NAMES.map((name, tag) => `${tag} ${name}`).slice(1))
})

it('shows a batch and its answer as they are', () => {
  const [, example = ''] = /^```text\n([\s\S]*?)^```/m.exec(doc) ?? []
  const bytes = [...example.matchAll(/^((?:[0-9a-f]{2} +)+[0-9a-f]{2})(?!\w)/gm)].flatMap(([run]) =>
    run.split(/ +/),
  )
  const shown = Buffer.from(bytes.join(''), 'hex')
  const ops = [{ op: 'msr.write', vcpu: 0, msr: 'SIMP', value: '0x1001' }]
  const request = Buffer.from(new BinCodec().encodeOps(7, ops, false))
  expect(shown.subarray(0, request.length)).toEqual(request)

  const host = new Service().create({ profile: 'tlfs', vcpus: 4 })
  const partition = streamPartition(host, undefined)
  expect(host.partition.seq).toBe(4)
  const turn = new TestTurn()
  const client = new TestClient({ partition, turn, protocol: 'bin', filter: { kinds: [] } })
  client.receive(request, true)
  turn.end()
  expect(shown.subarray(request.length)).toEqual(client.messages()[0].payload)
})
