/** What VMBus knows of its host: connected or not, which protocol, which channels. */

/** Linux vmbus_connection's versions, newest first (drivers/hv/connection.c). */
export const VERSION_WIN8_1 = 0x3_0000
export const VERSION_WIN10_V4_1 = 0x4_0001
export const VERSION_WIN10_V5 = 0x5_0000
export const VMBUS_VERSIONS = [
  0x5_0003,
  0x5_0002,
  0x5_0001,
  VERSION_WIN10_V5,
  VERSION_WIN10_V4_1,
  0x4_0000,
  VERSION_WIN8_1,
  0x2_0004,
] as const

/** VMBUS_MESSAGE_CONNECTION_ID; _4 is for INITIATE_CONTACT from protocol 5.0. */
export const MESSAGE_CONNECTION = 1
export const MESSAGE_CONNECTION_4 = 4

export interface Channel {
  /** Connection that HvSignalEvent names. */
  readonly connection: number
  /** CPU that it interrupts. */
  readonly vcpu: number
  /** How often its callback ran. */
  calls: number
}

export class VmbusContact {
  connected = false
  version = 0
  connection: number = MESSAGE_CONNECTION
  /** Channels by relative id, which is also their event flag. */
  readonly channels = new Map<number, Channel>()
  /** The last message of each type since `forget`: what waiters look for. */
  readonly #answers = new Map<number, Uint8Array>()
  /** GFP_ATOMIC allocations succeed. While not, messages with deferred work stay in their slot. */
  hasAtomicMemory = true

  answer(type: number): Uint8Array | undefined {
    return this.#answers.get(type)
  }

  note(type: number, payload: Uint8Array): void {
    this.#answers.set(type, payload)
  }

  /** Whoever asks anew does not take an old answer for the new one. */
  forget(type: number): void {
    this.#answers.delete(type)
  }
}
