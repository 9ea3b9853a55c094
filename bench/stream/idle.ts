// What a stream that is silent costs the server, resident, against an idle socket of a plain `ws` server.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Row } from '../measure.js'
import { BIN_PROTOCOL, STREAM } from './frames.js'
import { Peer } from './peer.js'
import { inTurn, pairRows } from './rows.js'
import { Server, type ServerKind } from './server.js'

const SOCKETS = 2000
const DIALS_AT_ONCE = 100
const ROUNDS = 3
const SETTLE_MS = 300

async function dial(port: number, count: number): Promise<Peer[]> {
  const path = `${STREAM}?kinds=message`
  const peers: Peer[] = []
  while (peers.length < count) {
    const dials = Array.from({ length: DIALS_AT_ONCE }, () => Peer.connect(port, path, BIN_PROTOCOL))
    peers.push(...(await Promise.all(dials)))
  }
  await sleep(SETTLE_MS)
  return peers
}

/** Kilobytes a socket, of a new server that has seen some connections before. */
async function perSocket(kind: ServerKind): Promise<number> {
  const server = await Server.start(kind)
  for (const peer of await dial(server.port, DIALS_AT_ONCE)) peer.end()
  await sleep(SETTLE_MS)
  const before = await server.rssBytes()
  const peers = await dial(server.port, SOCKETS)
  const bytes = (await server.rssBytes()) - before
  for (const peer of peers) peer.end()
  server.stop()
  return bytes / SOCKETS / 1024
}

export async function idleRows(): Promise<Row[]> {
  const pairs = await inTurn(
    ROUNDS,
    () => perSocket('synicd'),
    () => perSocket('plain'),
  )
  const labels = { what: `memory per idle socket, ${SOCKETS} of them`, unit: 'KiB' }
  return pairRows(pairs, (each) => each, { ...labels, subject: 'synicd', baseline: 'plain ws' })
}
