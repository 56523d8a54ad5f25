/**
 * What the server tells the service manager that started it (systemd, Type=notify): when it is ready, that it ends, and a line on
 * what it is doing (sd_notify(3)).
 */

import { notifyServiceManager } from '../addon/os.js'
import { asError } from '../lib/errors.js'
import type { Logger } from '../lib/log.js'

interface News {
  /** Clients are served from now on. */
  ready?: true
  /** It ends, for whatever reason. */
  stopping?: true
  /** One line for people. */
  status: string
}

export class ServiceManager {
  readonly #address: string | undefined

  private constructor(address: string | undefined) {
    this.#address = address
  }

  /** By NOTIFY_SOCKET, which is taken away: the programs that we start have nothing to say there. */
  static take(env: NodeJS.ProcessEnv): ServiceManager {
    const address = env['NOTIFY_SOCKET']
    delete env['NOTIFY_SOCKET']
    return new ServiceManager(address || undefined)
  }

  /** Nothing where nobody listens. What cannot be told is logged, and hinders nothing here. */
  tell({ ready, stopping, status }: News, log: Logger): void {
    if (this.#address === undefined) return
    const lines = [...(ready ? ['READY=1'] : []), ...(stopping ? ['STOPPING=1'] : []), `STATUS=${status}`]
    try {
      notifyServiceManager(this.#address, lines.join('\n'))
    } catch (error) {
      log.warn({ err: asError(error) }, 'the service manager cannot be told how the server does')
    }
  }
}
