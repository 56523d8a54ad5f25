/** Filters of the Identity API's lists: they look at the bodies that would be answered. */

import type { FastifyRequest } from 'fastify'
import { BadParameter } from '../../../shared/errors.js'
import { flagOf, queryParameter } from '../../../shared/query.js'
import { comparisons } from './parameters.js'

type Comparison = (typeof comparisons)[number]

const compare: Readonly<Record<Comparison, (text: string, part: string) => boolean>> = {
  contains: (text, part) => text.includes(part),
  startswith: (text, part) => text.startsWith(part),
  endswith: (text, part) => text.endsWith(part),
  icontains: (text, part) => text.toLowerCase().includes(part.toLowerCase()),
  istartswith: (text, part) => text.toLowerCase().startsWith(part.toLowerCase()),
  iendswith: (text, part) => text.toLowerCase().endsWith(part.toLowerCase()),
}

/**
 * Is a body one that the query asks for? `parameters`: of the table; each is the name of a member, perhaps with a comparison, or
 * one of the four about tags. Throws BadParameter.
 */
export function filterOf(request: FastifyRequest, parameters: readonly string[]): (body: object) => boolean {
  const conditions = parameters.flatMap((parameter) => {
    const value = queryParameter(request, parameter)
    return value === undefined ? [] : [conditionOf(parameter, value)]
  })
  return (body) => conditions.every((holds) => holds(body as Record<string, unknown>))
}

/** Those that the query asks for. Throws BadParameter. */
export function filtered<Body extends object>(
  request: FastifyRequest,
  bodies: Body[],
  parameters: readonly string[],
): Body[] {
  return bodies.filter(filterOf(request, parameters))
}

const flags: ReadonlySet<string> = new Set(['enabled', 'is_domain'])

type Condition = (body: Record<string, unknown>) => boolean

function conditionOf(parameter: string, value: string): Condition {
  const ofTags = tagConditions[parameter]
  if (ofTags !== undefined) {
    const wanted = value.split(',')
    return ({ tags }) => ofTags(tags as string[], wanted)
  }
  const [member = '', comparison] = parameter.split('__')
  const known = comparisons.find((candidate) => candidate === comparison)
  if (known !== undefined) return (body) => typeof body[member] === 'string' && compare[known](body[member], value)
  const wanted = flags.has(parameter) ? requiredFlag(parameter, value) : value
  return (body) => body[member] === wanted
}

const tagConditions: Readonly<Record<string, (tags: readonly string[], wanted: readonly string[]) => boolean>> = {
  tags: (tags, wanted) => wanted.every((tag) => tags.includes(tag)),
  'tags-any': (tags, wanted) => wanted.some((tag) => tags.includes(tag)),
  'not-tags': (tags, wanted) => !wanted.every((tag) => tags.includes(tag)),
  'not-tags-any': (tags, wanted) => !wanted.some((tag) => tags.includes(tag)),
}

/** False when it is not given. Throws BadParameter. */
export function flagParameter(request: FastifyRequest, parameter: string): boolean {
  const value = queryParameter(request, parameter)
  return value === undefined ? false : requiredFlag(parameter, value)
}

/** A parameter without a value means yes, as to Keystone. */
function requiredFlag(parameter: string, value: string): boolean {
  const flag = value === '' ? true : flagOf(value)
  if (flag === undefined) throw new BadParameter(`expected true or false for ${parameter}, got "${value.slice(0, 64)}"`)
  return flag
}
