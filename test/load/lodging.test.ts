/** The partitions of a load: deleted also where the server refuses for a while, or its answer was lost. */
import { describe, expect, it } from 'vitest'
import { type Fetch, SynicdClient } from '../../src/client/index.js'
import { Lodging } from '../../src/load/lodging.js'

const problem = (code: string, status: number) => ({
  status,
  headers: new Headers({ 'content-type': 'application/problem+json' }),
  arrayBuffer: async () => new ArrayBuffer(0),
  text: async () => JSON.stringify({ type: `/problems/${code}`, title: code, status }),
})
const gone = { ...problem('', 204), headers: new Headers(), text: async () => '' }

/** A server whose answers are given, and what it was asked. */
function lodging(...answers: (ReturnType<typeof problem> | Error)[]) {
  const asked: string[] = []
  const fetch: Fetch = async (url, { method }) => {
    asked.push(`${method} ${new URL(url).pathname.replace(/load-\w+-/, 'load-')}`)
    const answer = answers.shift() ?? gone
    if (answer instanceof Error) throw answer
    return answer
  }
  return { asked, lodging: new Lodging(new SynicdClient('http://x', { fetch })) }
}

describe('the partitions of a load', () => {
  it('are deleted although nobody said that they were made', async () => {
    const { asked, lodging: own } = lodging(new TypeError('fetch failed'))
    await expect(own.create('tlfs', 1)).rejects.toThrow('cannot reach')
    expect(await own.clear()).toEqual([])
    expect(asked).toEqual(['POST /v1/partitions', 'DELETE /v1/partitions/load-0'])
  })

  it('are asked for again where the server refuses for the rate', async () => {
    const { asked, lodging: own } = lodging(new TypeError('x'), problem('too-many-requests', 429))
    await expect(own.create('tlfs', 1)).rejects.toThrow()
    expect(await own.clear()).toEqual([])
    expect(asked.slice(1)).toEqual(Array(2).fill('DELETE /v1/partitions/load-0'))
  })

  it('are named where they are left, and not where none was made', async () => {
    const { asked, lodging: own } = lodging(
      problem('limit-vcpus', 409),
      new TypeError('x'),
      problem('internal-error', 500),
    )
    await expect(own.create('tlfs', 1)).rejects.toThrow()
    await expect(own.create('tlfs', 1)).rejects.toThrow()
    expect(await own.clear()).toEqual([expect.stringMatching(/^load-\w+-0$/)])
    expect(asked).toHaveLength(3)
  })
})
