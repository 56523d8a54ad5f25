import { loadAddon } from './load.js'

/** Sends the lines to the service manager's socket (sd_notify(3)). Throws when there is none at this address. */
export function notifyServiceManager(address: string, state: string): void {
  loadAddon().notifyServiceManager(address, state)
}
