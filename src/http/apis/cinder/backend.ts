/** What the API says of the one backend behind it. */

import { hostname } from 'node:os'

export const availabilityZone = 'nova'
/** Of the process, as services report it: HOST@BACKEND. */
export const serviceHost = `${hostname()}@atoll`
/** Of a volume: HOST@BACKEND#POOL. */
export const volumeHost = `${serviceHost}#atoll`
