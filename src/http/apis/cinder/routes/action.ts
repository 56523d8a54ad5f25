/** What an action is: a schema for its argument, and what is done with it. */

import { type Static, type TSchema, Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import type { ProjectCaller } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'

interface ActionCall<Argument = unknown> extends ApiOptions {
  caller: ProjectCaller
  volumeId: string
  argument: Argument
  request: FastifyRequest
}

/** What an action answers: a status alone, or with a body. */
export type ActionAnswer = { status: number; body?: Record<string, unknown> }

export interface Action {
  schema: TSchema
  run(call: ActionCall): Promise<ActionAnswer>
}

export const accepted: ActionAnswer = { status: 202 }
export const done: ActionAnswer = { status: 200 }

/** Binds the type of the argument to its schema. */
export function action<T extends TSchema>(
  schema: T,
  run: (call: ActionCall<Static<T>>) => Promise<ActionAnswer>,
): Action {
  return { schema, run: run as Action['run'] }
}

export const strict = { additionalProperties: false, description: 'an object' } as const
/** What actions without an argument are sent. */
export const Nothing = Type.Union([Type.Null(), Type.Object({})], { description: 'null or an object' })
