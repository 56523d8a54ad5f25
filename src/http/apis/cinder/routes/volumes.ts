/** Volumes: make, list, show, change, delete, sum up. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { readJson } from '../../../shared/body.js'
import { queryParameter } from '../../../shared/query.js'
import { badRequest } from '../errors.js'
import { requireMicroversion, since } from '../microversion.js'
import { namesOf } from '../requests/names.js'
import { flagOf } from '../requests/validation.js'
import { parseCreateBody, parseUpdateBody } from '../requests/volume_body.js'
import { parseVolumeQuery } from '../requests/volume_query.js'
import { viewContext } from '../responses/context.js'
import { sendCinderList } from '../responses/list.js'
import { totalsOf } from '../responses/totals.js'
import { volumeDetail, volumeSummary, volumeView } from '../responses/volume.js'
import { createVolume } from './create_volume.js'

interface VolumeRoute {
  Params: { volumeId: string }
}

export function volumeRoutes(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.post('/volumes', async (request, reply) => {
    const caller = requireProject(request)
    const body = parseCreateBody(await readJson(request), request.microversion)
    const volume = await createVolume(core, caller, body)
    return reply.code(202).send({ volume: volumeView(volume, viewContext(request, urls)) })
  })

  const list = async (request: FastifyRequest, reply: FastifyReply, detailed: boolean) => {
    const caller = requireProject(request)
    const { params, query } = parseVolumeQuery(request)
    const context = viewContext(request, urls)
    return sendCinderList(request, reply, {
      collection: 'volumes',
      path: detailed ? 'volumes/detail' : 'volumes',
      context,
      withCount: params.withCount,
      page: (pace) => core.volumes.page(caller, { ...query, limit: params.limit }, pace),
      view: (volume) => (detailed ? volumeDetail(volume, context) : volumeSummary(volume, context)),
      count: () => core.volumes.count(caller, query),
    })
  }
  app.get('/volumes', async (request, reply) => list(request, reply, false))
  app.get('/volumes/detail', async (request, reply) => list(request, reply, true))

  app.get('/volumes/summary', async (request) => {
    requireMicroversion(request, since.summary)
    const caller = requireProject(request)
    const { query } = parseVolumeQuery(request)
    const metadata = request.microversion >= since.summaryMetadata
    const totals = await totalsOf(core, request, caller, { query, metadata })
    return {
      'volume-summary': {
        total_count: totals.count,
        total_size: totals.sizeGib,
        ...(metadata ? { metadata: totals.metadata } : {}),
      },
    }
  })

  app.get<VolumeRoute>('/volumes/:volumeId', async (request) => {
    const volume = await core.volumes.get(requireProject(request), request.params.volumeId)
    return { volume: volumeDetail(volume, viewContext(request, urls)) }
  })

  app.put<VolumeRoute>('/volumes/:volumeId', async (request) => {
    const caller = requireProject(request)
    const body = parseUpdateBody(await readJson(request), request.microversion)
    const volume = await core.volumes.update(caller, request.params.volumeId, {
      ...namesOf(body),
      ...(body.metadata == null ? {} : { metadata: body.metadata }),
    })
    return { volume: volumeView(volume, viewContext(request, urls)) }
  })

  app.delete<VolumeRoute>('/volumes/:volumeId', async (request, reply) => {
    const force = flagParameter(request, 'force')
    if (force && request.microversion < since.deleteForce) throw badRequest('force needs microversion 3.23 or above.')
    const cascade = flagParameter(request, 'cascade')
    await core.volumes.delete(requireProject(request), request.params.volumeId, { cascade, force })
    return reply.code(202).send()
  })
}

/** Throws 400 for what is neither true nor false. */
function flagParameter(request: FastifyRequest, name: string): boolean {
  const value = queryParameter(request, name)
  const flag = value === undefined ? false : flagOf(value)
  if (flag === undefined) throw badRequest(`${name} param must be a boolean; it is '${value}'`)
  return flag
}
