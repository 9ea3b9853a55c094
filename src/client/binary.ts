/**
 * `synicd/client/binary`: the codec of `synic.v1.bin`, for load. Apart from the rest, because it checks and
 * encodes ops by the schemas themselves, which bring zod along.
 */
import { BinCodec } from '../api/bin-codec.js'
import { BIN_PROTOCOL, type Filter } from '../api/frames.js'
import { OpInputError } from '../api/op-fields.js'
import { PROBLEMS, problemType } from '../api/problem.js'
import type { StreamCodec } from './codec.js'
import { SynicdProblem } from './errors.js'

const records = new BinCodec()

/** Same ops, results and notifications as `jsonCodec`. A malformed op is refused here, not by the server. */
export const binaryCodec: StreamCodec = {
  protocol: BIN_PROTOCOL,
  binaryType: 'arraybuffer',
  encodeOps(id, ops, stopOnFault) {
    try {
      return records.encodeOps(id, ops, stopOnFault).slice()
    } catch (error) {
      throw error instanceof OpInputError ? problemOf(error) : error
    }
  },
  encodeSubscribe: (id, filter) => records.encodeSubscribe(id, filter as Filter).slice(),
  decode(data) {
    if (typeof data === 'string') throw new TypeError('this protocol has binary frames')
    return records.decode(data)
  },
}

function problemOf({ path, rule }: OpInputError): SynicdProblem {
  const message = `must be ${rule}`
  return new SynicdProblem({
    type: problemType('invalid-op'),
    ...PROBLEMS['invalid-op'],
    detail: `${path} ${message}.`,
    errors: [{ path, message }],
  })
}
