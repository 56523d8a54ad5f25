/**
 * Runs TypeScript from the sources: `node --import ./scripts/lib/typescript_loader.js FILE.ts`. `.taprc` passes it to each test file.
 */

import { register } from 'node:module'

register('./typescript_hooks.js', import.meta.url)
