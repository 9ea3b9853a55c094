/** Guest memory as drivers use it: loads, stores, compare-and-swap, and pages from the kernel's allocator. */
import { GPA_PAGE_BYTES } from '../hv/limits.js'
import * as o from '../synic/op.js'
import type { Gpn, Kernel } from './kernel.js'
import { halves, type Place, type Step, type Strand } from './step.js'

/** A guest physical address; below 2^52, so exact as a number. */
export type Gpa = number

const NO_BYTES = new Uint8Array(0)

export function gpaOf(gpn: Gpn, offset = 0): Gpa {
  return gpn * GPA_PAGE_BYTES + offset
}

export function memRead({ actor, vcpu }: Place, gpa: Gpa, bytes: number): Step {
  return { actor, vcpu, code: o.OP_MEM_READ, args: [...halves(gpa), bytes] }
}

export function memWrite({ actor, vcpu }: Place, gpa: Gpa, bytes: Uint8Array): Step {
  return { actor, vcpu, code: o.OP_MEM_WRITE, args: halves(gpa), bytes }
}

/** One atomic step on one or four bytes; `valueLo` of the effects is what stood there. */
export function memCas({ actor, vcpu }: Place, gpa: Gpa, bytes: 1 | 4, expect: number, value: number): Step {
  return { actor, vcpu, code: o.OP_MEM_CAS, args: [...halves(gpa), bytes, expect, 0, value, 0] }
}

export function claimPage({ actor, vcpu }: Place, gpn: Gpn): Step {
  return { actor, vcpu, code: o.OP_PAGE_CLAIM, args: halves(gpaOf(gpn)) }
}

export function freePage({ actor, vcpu }: Place, gpn: Gpn): Step {
  return { actor, vcpu, code: o.OP_PAGE_FREE, args: halves(gpaOf(gpn)) }
}

/** Bytes of memory; none if there is no memory at that address. */
export function* load(at: Place, gpa: Gpa, bytes: number): Strand<Uint8Array> {
  const effects = yield memRead(at, gpa, bytes)
  return effects.ok ? effects.bytes : NO_BYTES
}

export function* loadByte(at: Place, gpa: Gpa): Strand<number> {
  const bytes = yield* load(at, gpa, 1)
  return bytes[0] ?? 0
}

export function* loadU32(at: Place, gpa: Gpa): Strand<number> {
  return u32(yield* load(at, gpa, 4), 0)
}

/** A little-endian u32, signed as op words are; 0 beyond the end. */
export function u32(bytes: Uint8Array, offset: number): number {
  if (offset + 4 > bytes.length) return 0
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getInt32(offset, true)
}

/** Little-endian u32s back to back: messages and small stores. */
export function u32s(...words: number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(words).buffer)
}

/**
 * Takes a page for the actor. Where another kernel had the memory before, it is cleared as get_zeroed_page
 * does; memory that nobody had is zero already.
 */
export function* allocate(kernel: Kernel, at: Place, purpose: string): Strand<Gpn> {
  const gpn = kernel.page(purpose, at.vcpu)
  yield claimPage(at, gpn)
  if (kernel.config.clearsPages === true) yield memWrite(at, gpaOf(gpn), new Uint8Array(GPA_PAGE_BYTES))
  return gpn
}

/** Gives a page back, if the kernel has one for this purpose. */
export function* free(kernel: Kernel, at: Place, purpose: string): Strand {
  if (!kernel.hasPage(purpose, at.vcpu)) return
  yield freePage(at, kernel.page(purpose, at.vcpu))
  kernel.release(purpose, at.vcpu)
}
