/** Bytes, blocks and their multiples. */

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
export const TiB = 1024 * GiB

/** The unit of copy-on-write; sizes of writable resources are multiples of it. */
export const blockBytes = 4 * KiB
/** The unit of metadata records. */
export const regionBytes = 4 * MiB

/** The largest resource: 1 PiB. The engine's own limit is 8 PiB, the last number that JavaScript still counts exactly. */
export const maxResourceBytes = 1024 * TiB

/** How many blocks hold so many bytes. */
export const blocksOf = (bytes: number): number => Math.ceil(bytes / blockBytes)

/** How many whole GiB hold so many bytes. */
export const gibOf = (bytes: number): number => Math.ceil(bytes / GiB)

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** For people: `1.5 GiB`. */
export function sizeInWords(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : Number(value.toFixed(1))} ${units[unit]}`
}
