// programs.ts: the two native programs of the power cuts.

import { execa } from 'execa'
import { compiled } from '../compiled.js'

/** recording_disk.cc */
export async function recordingDisk(): Promise<string> {
  const { stdout } = await execa('pkg-config', ['--cflags', '--libs', 'fuse3'])
  return compiled(new URL('recording_disk.cc', import.meta.url), stdout.trim().split(/\s+/))
}

/** forgetful_sync.cc, a library. */
export function forgetfulSync(): Promise<string> {
  return compiled(new URL('forgetful_sync.cc', import.meta.url), ['-shared', '-fPIC', '-ldl'])
}
