/**
 * A guest on one vCPU: sets up its SynIC, takes interrupts, reads slots, acknowledges, ends. A host beside it
 * posts the messages: `npx tsx examples/guest.ts [URL] [MESSAGES]`
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Op, type Partition, SynicdClient } from '../src/client/index.js'

const [url = 'http://127.0.0.1:8440', messages = '10'] = process.argv.slice(2)

const VCPU = 0
const SINT = 2
const VECTOR = 0xf3
const MESSAGE_PAGE = 0x10000
const SLOT_BYTES = 256
const HEADER_BYTES = 16

const write = (msr: string, value: number): Op => ({ op: 'msr.write', vcpu: VCPU, msr, value })

/** Posts messages as fast as the guest takes them: `busy` means that the queue behind the slot is full. */
async function host(partition: Partition): Promise<void> {
  for (let i = 0; i < Number(messages); ) {
    const hex = i.toString(16).padStart(8, '0')
    const { delivery } = await partition.postMessage(VCPU, { sint: SINT, type: 1, hex })
    if (delivery === 'delivered' || delivery === 'queued') i++
    else await sleep(5)
  }
}

async function guest(partition: Partition): Promise<void> {
  const stream = partition.stream({ vcpus: [VCPU], kinds: ['interrupt'], actor: 'vmbus' })
  await stream.ops([write('SIMP', MESSAGE_PAGE | 1), write(`SINT${SINT}`, VECTOR), write('SCONTROL', 1)])
  const hosting = host(partition)
  let taken = 0
  // Whatever the event says, gaps too, the guest looks for itself: its registers tell the truth.
  for await (const _event of stream) {
    const slot = MESSAGE_PAGE + SINT * SLOT_BYTES
    const { results } = await stream.ops([
      { op: 'apic.ack', vcpu: VCPU },
      { op: 'mem.read', gpa: slot, len: SLOT_BYTES },
    ])
    const [{ vector }, { hex = '' }] = results
    if (vector !== VECTOR) continue
    const bytes = Buffer.from(hex, 'hex')
    const payload = bytes.subarray(HEADER_BYTES, HEADER_BYTES + bytes[4])
    console.log(`vector 0x${vector.toString(16)}: type ${bytes.readUInt32LE(0)}, ${payload.toString('hex')}`)
    await stream.ops([
      { op: 'message.complete', vcpu: VCPU, sint: SINT },
      { op: 'apic.eoi', vcpu: VCPU },
    ])
    if (++taken >= Number(messages)) break
  }
  await hosting
  await stream.close({ drain: true })
  console.log(`${taken} messages taken`)
}

const client = new SynicdClient(url)
const { body } = await client.call.createPartition({ body: { profile: 'tlfs' } })
const partition = client.partition(body.id)
try {
  await guest(partition)
} finally {
  await partition.delete()
}
