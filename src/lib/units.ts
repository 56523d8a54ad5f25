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

/** `16M`, `16 MiB`, `1.5g`, `4096`: powers of 1024. undefined: it is no size (16 MB would be 10^6 to some). */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?(?:([KMGT])(?:iB)?)?$/i.exec(text)
  if (match === null) return undefined
  const [, number = '', unit] = match
  return Math.round(Number(number) * 1024 ** (unit === undefined ? 0 : 'KMGT'.indexOf(unit.toUpperCase()) + 1))
}

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
