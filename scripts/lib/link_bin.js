/** After tsc: makes the command executable, and known to `npx --no-install atoll` (npm links the bins of dependencies only). */
import { chmodSync, existsSync, lstatSync, rmSync, symlinkSync } from 'node:fs'

const root = new URL('../../', import.meta.url)
const command = new URL('dist/cli/main.js', root)
const link = new URL('node_modules/.bin/atoll', root)

if (existsSync(command)) {
  chmodSync(command, 0o755)
  if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) rmSync(link)
  symlinkSync('../../dist/cli/main.js', link)
}
