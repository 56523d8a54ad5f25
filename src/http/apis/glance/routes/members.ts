/** Members of shared images. Clients send a media type without a body to DELETE; nobody reads one. */

import type { FastifyInstance } from 'fastify'
import { type ImageMember, type MemberStatus, memberStatuses } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { readJsonObject } from '../../../shared/body.js'
import { GlanceFault } from '../errors.js'
import { glanceTime } from '../responses/image.js'

interface MembersRoute {
  Params: { imageId: string }
}
interface MemberRoute {
  Params: { imageId: string; memberId: string }
}

const memberLengthMax = 255

export function memberRoutes(app: FastifyInstance, { core }: ApiOptions): void {
  app.get<MembersRoute>('/images/:imageId/members', async (request) => {
    const members = await core.imageMembers.list(requireProject(request), request.params.imageId)
    return { members: members.map(memberView), schema: '/v2/schemas/members' }
  })

  app.post<MembersRoute>('/images/:imageId/members', async (request) => {
    const caller = requireProject(request)
    const member = soleMember(await readJsonObject(request), 'member')
    if (member === '' || member.length > memberLengthMax)
      throw new GlanceFault(400, `Expected a member of 1 to ${memberLengthMax} characters.`)
    return memberView(await core.imageMembers.add(caller, request.params.imageId, member))
  })

  app.get<MemberRoute>('/images/:imageId/members/:memberId', async (request) => {
    const { imageId, memberId } = request.params
    return memberView(await core.imageMembers.get(requireProject(request), imageId, memberId))
  })

  app.put<MemberRoute>('/images/:imageId/members/:memberId', async (request) => {
    const caller = requireProject(request)
    const { imageId, memberId } = request.params
    const status = soleMember(await readJsonObject(request), 'status')
    if (!isStatus(status))
      throw new GlanceFault(400, `Expected a status of ${memberStatuses.join(', ')}, got '${status.slice(0, 100)}'.`)
    return memberView(await core.imageMembers.setStatus(caller, imageId, memberId, status))
  })

  app.delete<MemberRoute>('/images/:imageId/members/:memberId', async (request, reply) => {
    const { imageId, memberId } = request.params
    await core.imageMembers.remove(requireProject(request), imageId, memberId)
    return reply.code(204).send()
  })
}

function soleMember(body: Record<string, unknown>, name: string): string {
  const value = body[name]
  if (typeof value !== 'string' || Object.keys(body).length !== 1)
    throw new GlanceFault(400, `Expected a body with one string named '${name}'.`)
  return value
}

function isStatus(text: string): text is MemberStatus {
  return memberStatuses.some((status) => status === text)
}

function memberView(member: ImageMember): Record<string, string> {
  return {
    image_id: member.imageId,
    member_id: member.member,
    status: member.status,
    created_at: glanceTime(member.createdAt),
    updated_at: glanceTime(member.updatedAt),
    schema: '/v2/schemas/member',
  }
}
