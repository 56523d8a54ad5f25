import { createCipheriv, createHash } from 'node:crypto'

/** Bytes that no compression shortens and that the same seed gives again, in pieces of up to 1 MiB. */
export function* pseudorandom(seed: string, lengthBytes: number): Generator<Buffer> {
  const cipher = createCipheriv(
    'aes-128-ctr',
    createHash('sha256').update(seed).digest().subarray(0, 16),
    Buffer.alloc(16),
  )
  const piece = Buffer.alloc(1 << 20)
  for (let left = lengthBytes; left > 0; left -= piece.length)
    yield cipher.update(piece.subarray(0, Math.min(left, piece.length)))
}
