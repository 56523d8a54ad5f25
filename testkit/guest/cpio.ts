// cpio.ts: writes the archive format that the Linux kernel unpacks as its first root file system.
//
// Source of the format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst ("newc"):
// a header of fourteen 8-digit hexadecimal fields, the name with a NUL, the content; both padded to 4 bytes.

export interface CpioEntry {
  /** Relative to the root, without a leading slash. Parents come before their children. */
  path: string
  /** Type and permissions, as in stat(2). */
  mode: number
  content?: Buffer
}

export const directoryMode = 0o040755
export const programMode = 0o100755
export const fileMode = 0o100644

const trailer = 'TRAILER!!!'

export function cpio(entries: CpioEntry[]): Buffer {
  const parts = entries.map((entry, index) => member(entry, index + 1))
  parts.push(member({ path: trailer, mode: 0 }, 0))
  return Buffer.concat(parts)
}

function member({ path, mode, content = Buffer.alloc(0) }: CpioEntry, inode: number): Buffer {
  const name = Buffer.from(`${path}\0`)
  // inode, mode, uid, gid, links, mtime, size, device (4 fields), name length, checksum (unused in newc)
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0]
  const header = Buffer.from(`070701${fields.map((n) => n.toString(16).padStart(8, '0')).join('')}`)
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(content)])
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}
