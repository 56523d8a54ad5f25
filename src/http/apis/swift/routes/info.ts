/** `/info`: exactly what is served; clients and test suites decide by it. */

import type { FastifyInstance } from 'fastify'
import { linksMax } from '../../../../core/objects/contents.js'
import { limits, metadataLimits, storagePolicy, tempUrlDigests, tempUrlMethods } from '../limits.js'
import { heartbeatSeconds } from '../responses/heartbeat.js'

const info = {
  swift: {
    version: '2.30.0',
    valid_api_versions: ['v1', 'v1.0'],
    account_autocreate: true,
    allow_account_management: false,
    account_listing_limit: limits.listing,
    container_listing_limit: limits.listing,
    extra_header_count: 0,
    max_account_name_length: limits.accountNameBytes,
    max_container_name_length: limits.containerNameBytes,
    max_object_name_length: limits.objectNameBytes,
    max_file_size: limits.objectBytes,
    max_header_size: 8192,
    max_meta_count: metadataLimits.count,
    max_meta_name_length: metadataLimits.nameBytes,
    max_meta_overall_size: metadataLimits.totalBytes,
    max_meta_value_length: metadataLimits.valueBytes,
    policies: [{ name: storagePolicy, aliases: storagePolicy, default: true }],
  },
  tempauth: { account_acls: true },
  account_quotas: {},
  container_quotas: {},
  crossdomain: {},
  staticweb: {},
  tempurl: {
    methods: tempUrlMethods,
    incoming_remove_headers: ['x-timestamp'],
    incoming_allow_headers: [],
    outgoing_remove_headers: ['x-object-meta-*'],
    outgoing_allow_headers: ['x-object-meta-public-*'],
    allowed_digests: tempUrlDigests,
    deprecated_digests: ['sha1'],
  },
  slo: {
    max_manifest_segments: limits.manifestSegments,
    max_manifest_size: limits.manifestBytes,
    min_segment_size: 1,
    yield_frequency: heartbeatSeconds,
    allow_async_delete: false,
  },
  symlink: { symloop_max: linksMax, static_links: true },
  bulk_delete: { max_deletes_per_request: limits.bulkDeletes, max_failed_deletes: limits.failedDeletes },
}

export function addInfo(app: FastifyInstance): void {
  app.get('/info', async () => info)
}
