/** Whether the first bytes of an image fit its declared disk format. Read by us, before any tool reads them. */

import type { ByteSource } from '../model/records.js'
import { isQcow2, parseQcow2 } from './qcow2_header.js'

/** What is looked at; a file may be shorter. */
export const headBytes = 64 << 10

/** Formats that are recognized by their first bytes. */
const signatures: readonly { format: string; offset: number; bytes: Buffer }[] = [
  { format: 'qcow2', offset: 0, bytes: Buffer.from('QFI\xfb', 'latin1') },
  { format: 'qed', offset: 0, bytes: Buffer.from('QED\0', 'latin1') },
  { format: 'vmdk', offset: 0, bytes: Buffer.from('KDMV', 'latin1') },
  { format: 'vmdk', offset: 0, bytes: Buffer.from('COWD', 'latin1') },
  { format: 'vmdk', offset: 0, bytes: Buffer.from('# Disk DescriptorFile', 'latin1') },
  { format: 'vhdx', offset: 0, bytes: Buffer.from('vhdxfile', 'latin1') },
  { format: 'vhd', offset: 0, bytes: Buffer.from('conectix', 'latin1') },
  { format: 'vdi', offset: 64, bytes: Buffer.from([0x7f, 0x10, 0xda, 0xbe]) },
]

export function detectFormat(head: Buffer): string | undefined {
  return signatures.find(({ offset, bytes }) => head.subarray(offset, offset + bytes.length).equals(bytes))?.format
}

/** Formats whose images can become volumes after a conversion. */
export const convertibleFormats: readonly (string | null)[] = ['qcow2']

/** undefined: not known. `refusal`: in words, why these bytes are no image of that format. */
export interface Inspection {
  virtualSizeBytes?: number
  refusal?: string
}

/** Formats that are no format: any bytes are a disk. */
const rawFormats: readonly string[] = ['raw', 'iso']

export function inspect(diskFormat: string, head: Buffer, fileBytes: number): Inspection {
  const detected = detectFormat(head)
  if (rawFormats.includes(diskFormat)) {
    return detected === undefined
      ? {}
      : {
          refusal: `the data is a ${detected} image, but the disk_format is ${diskFormat}: set disk_format to ${detected}`,
        }
  }
  if (diskFormat !== 'qcow2') return {}
  if (!isQcow2(head))
    return { refusal: `the data is ${detected ? `a ${detected}` : 'no qcow2'} image, but the disk_format is qcow2` }
  const parsed = parseQcow2(head, fileBytes)
  return 'refusal' in parsed ? { refusal: `the qcow2 image is refused: ${parsed.refusal}` } : parsed
}

/** Keeps the first bytes of a source that passes through. */
export class HeadCapture {
  #pieces: Buffer[] = []
  #bytes = 0

  through(source: ByteSource): ByteSource {
    if (typeof source === 'function') {
      return (take) =>
        source((piece) => {
          this.#add(piece)
          return take(piece)
        })
    }
    return this.#iterated(source)
  }

  get head(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  async *#iterated(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      this.#add(piece)
      yield piece
    }
  }

  #add(piece: Uint8Array): void {
    const left = headBytes - this.#bytes
    if (left <= 0) return
    // A copy: pieces may be reused.
    const part = Buffer.from(piece.subarray(0, left))
    this.#pieces.push(part)
    this.#bytes += part.length
  }
}
