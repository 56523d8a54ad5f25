import type { FastifyRequest } from 'fastify'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { volumeHost } from '../backend.js'
import { volumeTypeId } from '../volume_type.js'

/** What a view needs to know of the request it answers. */
export interface ViewContext {
  microversion: number
  isAdmin: boolean
  /** Of the block storage API, without its version: `http://host/volume`. */
  endpoint: string
  /** As the client wrote it into the path; undefined when it left it out. */
  projectId: string | undefined
  volumeTypeId: string
  host: string
}

export function viewContext(request: FastifyRequest, urls: UrlSettings): ViewContext {
  return {
    microversion: request.microversion,
    isAdmin: request.caller?.isAdmin ?? false,
    endpoint: `${baseUrl(request, urls)}/volume`,
    projectId: (request.params as { projectId?: string }).projectId,
    volumeTypeId,
    host: volumeHost,
  }
}
