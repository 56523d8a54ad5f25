import type { Action } from './action.js'
export const connectionActions: Record<string, Action> = {}
