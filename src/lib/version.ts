import { readFileSync } from 'node:fs'

/** Of package.json, which lies at the same distance from src/cli and from dist/cli. */
export const version: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
