/**
 * A harness that posts MSR writes in batches over REST and says how many a second went through:
 * `npx tsx examples/post-msr-writes.ts [URL] [BATCHES] [WRITES A BATCH]`
 */
import { type Op, SynicdClient } from '../src/client/index.js'

const [url = 'http://127.0.0.1:8440', batches = '50', writes = '200'] = process.argv.slice(2)

const client = new SynicdClient(url)
const { body } = await client.call.createPartition({ body: { profile: 'tlfs', vcpus: 2 } })
const partition = client.partition(body.id)

/** Each batch programs the SINTs of both vCPUs, one after the other, with another vector. */
function batchOf(batch: number): Op[] {
  return Array.from({ length: Number(writes) }, (_, i) => ({
    op: 'msr.write',
    vcpu: i % 2,
    msr: `SINT${i % 16}`,
    value: 0x20 + (batch % 0xd0),
  }))
}

try {
  const beganAtMs = performance.now()
  let faults = 0
  for (let batch = 0; batch < Number(batches); batch++) {
    // With a key, a batch may be sent again after a break: it is applied once.
    const idempotencyKey = `${body.id}-${batch}`
    const { results } = await partition.ops(batchOf(batch), { actor: 'harness', idempotencyKey })
    faults += results.filter(({ ok }) => !ok).length
  }
  const seconds = (performance.now() - beganAtMs) / 1000
  const total = Number(batches) * Number(writes)
  console.log(`${total} MSR writes, ${faults} faults, ${Math.round(total / seconds)} a second`)
} finally {
  await partition.delete()
}
