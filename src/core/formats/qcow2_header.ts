/**
 * The header of a qcow2 file (QEMU, docs/interop/qcow2.txt), read by us before any tool reads the file. One pass over at most `headBytes`.
 *
 * Refused: what could name another file or needs a key (backing files, external data files, encryption), internal snapshots, unknown
 * incompatible features, and numbers that cannot be.
 */

import { maxResourceBytes } from '../../lib/units.js'

const magic = 0x514649fb

/** Offsets of header fields. */
const at = {
  version: 4,
  backingOffset: 8,
  clusterBits: 20,
  size: 24,
  encryption: 32,
  l1Entries: 36,
  l1Offset: 40,
  refcountsOffset: 48,
  refcountClusters: 56,
  snapshots: 60,
  incompatible: 72,
  refcountOrder: 96,
  headerLength: 100,
}
const headerBytes = { 2: 72, 3: 104 } as const

const extensions = { end: 0, backingFormat: 0xe2792aca, encryption: 0x0537be77, dataFile: 0x44415441 }

/** Bits of the incompatible features. */
const feature = { dirty: 1n << 0n, corrupt: 1n << 1n, dataFile: 1n << 2n, compression: 1n << 3n, extendedL2: 1n << 4n }
const knownFeatures = Object.values(feature).reduce((all, bit) => all | bit, 0n)

/** QEMU's own limit (32 MiB of entries). */
const l1EntriesMax = 4 << 20

export const isQcow2 = (head: Buffer): boolean => head.length >= 4 && head.readUInt32BE(0) === magic

/** Returns the size of the disk, or in words why the file is refused. `head`: the first bytes; all of them, if there are few. */
export function parseQcow2(head: Buffer, fileBytes: number): { virtualSizeBytes: number } | { refusal: string } {
  if (!isQcow2(head) || head.length < headerBytes[2]) return { refusal: 'it ends within its header' }
  const version = head.readUInt32BE(at.version)
  if (version !== 2 && version !== 3) return { refusal: `version ${version} is unknown` }
  if (head.length < headerBytes[version]) return { refusal: 'it ends within its header' }
  const refusal =
    referenceRefusal(head, version) ?? numbersRefusal(head, version, fileBytes) ?? extensionsRefusal(head, version)
  return refusal === undefined ? { virtualSizeBytes: Number(head.readBigUInt64BE(at.size)) } : { refusal }
}

function referenceRefusal(head: Buffer, version: 2 | 3): string | undefined {
  if (head.readBigUInt64BE(at.backingOffset) !== 0n) return 'it has a backing file'
  if (head.readUInt32BE(at.encryption) !== 0) return 'it is encrypted'
  if (head.readUInt32BE(at.snapshots) !== 0) return 'it has internal snapshots'
  if (version === 2) return undefined
  const features = head.readBigUInt64BE(at.incompatible)
  if ((features & feature.dataFile) !== 0n) return 'it has an external data file'
  if ((features & feature.corrupt) !== 0n) return 'it is marked as corrupt'
  if ((features & ~knownFeatures) !== 0n) return `its incompatible features 0x${features.toString(16)} are unknown`
  return undefined
}

function numbersRefusal(head: Buffer, version: 2 | 3, fileBytes: number): string | undefined {
  const clusterBits = head.readUInt32BE(at.clusterBits)
  if (clusterBits < 9 || clusterBits > 21) return `its cluster size 2^${clusterBits} is not between 2^9 and 2^21`
  const size = head.readBigUInt64BE(at.size)
  if (size > BigInt(maxResourceBytes)) return `its disk of ${size} bytes is larger than ${maxResourceBytes} bytes`
  const entryBytes = version === 3 && (head.readBigUInt64BE(at.incompatible) & feature.extendedL2) !== 0n ? 16n : 8n
  const clusterBytes = 1n << BigInt(clusterBits)
  const bytesPerL1Entry = clusterBytes * (clusterBytes / entryBytes)
  const l1Entries = head.readUInt32BE(at.l1Entries)
  if (l1Entries > l1EntriesMax || BigInt(l1Entries) * bytesPerL1Entry < size)
    return `its table of ${l1Entries} entries does not fit a disk of ${size} bytes`
  const tables = [
    [head.readBigUInt64BE(at.l1Offset), BigInt(l1Entries) * 8n],
    [head.readBigUInt64BE(at.refcountsOffset), BigInt(head.readUInt32BE(at.refcountClusters)) * clusterBytes],
  ] as const
  for (const [offset, bytes] of tables) {
    if (offset % clusterBytes !== 0n || offset + bytes > BigInt(fileBytes)) return 'a table lies outside of the file'
  }
  if (version === 3 && head.readUInt32BE(at.refcountOrder) > 6) return 'its reference counts are too wide'
  return undefined
}

function extensionsRefusal(head: Buffer, version: 2 | 3): string | undefined {
  const headerLength = version === 2 ? headerBytes[2] : head.readUInt32BE(at.headerLength)
  if (headerLength < headerBytes[version] || headerLength % 8 !== 0)
    return `its header length ${headerLength} cannot be`
  for (let offset = headerLength; ; ) {
    if (offset + 8 > head.length) return 'its header extensions do not end'
    const type = head.readUInt32BE(offset)
    const length = head.readUInt32BE(offset + 4)
    if (type === extensions.end) return undefined
    if (type === extensions.dataFile) return 'it has an external data file'
    if (type === extensions.encryption) return 'it is encrypted'
    if (type === extensions.backingFormat) return 'it has a backing file'
    offset += 8 + Math.ceil(length / 8) * 8
  }
}
