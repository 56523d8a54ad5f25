/** Snapshots: make, list, show, change, delete. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { readJson } from '../../../shared/body.js'
import { parseNewSnapshot, parseSnapshotChange } from '../requests/snapshot_body.js'
import { parseSnapshotQuery } from '../requests/snapshot_query.js'
import { viewContext } from '../responses/context.js'
import { sendCinderList } from '../responses/list.js'
import { snapshotDetail, snapshotSummary, snapshotView } from '../responses/snapshot.js'

interface SnapshotRoute {
  Params: { snapshotId: string }
}

export function snapshotRoutes(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.post('/snapshots', async (request, reply) => {
    const caller = requireProject(request)
    const wanted = parseNewSnapshot(await readJson(request), request.microversion)
    const snapshot = await core.snapshots.create(caller, wanted)
    return reply.code(202).send({ snapshot: snapshotView(snapshot, viewContext(request, urls)) })
  })

  const list = async (request: FastifyRequest, reply: FastifyReply, detailed: boolean) => {
    const caller = requireProject(request)
    const { params, query } = parseSnapshotQuery(request)
    const context = viewContext(request, urls)
    return sendCinderList(request, reply, {
      collection: 'snapshots',
      path: detailed ? 'snapshots/detail' : 'snapshots',
      context,
      withCount: params.withCount,
      page: (pace) => core.snapshots.page(caller, { ...query, limit: params.limit }, pace),
      view: (snapshot) => (detailed ? snapshotDetail(snapshot, context) : snapshotSummary(snapshot)),
      count: () => core.snapshots.count(caller, query),
    })
  }
  app.get('/snapshots', async (request, reply) => list(request, reply, false))
  app.get('/snapshots/detail', async (request, reply) => list(request, reply, true))

  app.get<SnapshotRoute>('/snapshots/:snapshotId', async (request) => {
    const snapshot = await core.snapshots.get(requireProject(request), request.params.snapshotId)
    return { snapshot: snapshotDetail(snapshot, viewContext(request, urls)) }
  })

  app.put<SnapshotRoute>('/snapshots/:snapshotId', async (request) => {
    const caller = requireProject(request)
    const change = parseSnapshotChange(await readJson(request))
    const snapshot = await core.snapshots.update(caller, request.params.snapshotId, change)
    return { snapshot: snapshotView(snapshot, viewContext(request, urls)) }
  })

  app.delete<SnapshotRoute>('/snapshots/:snapshotId', async (request, reply) => {
    await core.snapshots.delete(requireProject(request), request.params.snapshotId)
    return reply.code(202).send()
  })
}
