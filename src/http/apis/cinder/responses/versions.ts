/** The version document of the block storage API. */

import { maxMinor, minMinor } from '../microversion.js'

export function versionsDocument(baseUrl: string): Record<string, unknown> {
  return {
    versions: [
      {
        id: 'v3.0',
        status: 'CURRENT',
        version: `3.${maxMinor}`,
        min_version: `3.${minMinor}`,
        updated: '2022-03-30T00:00:00Z',
        links: [
          { rel: 'describedby', type: 'text/html', href: 'https://docs.openstack.org/' },
          { rel: 'self', href: `${baseUrl}/volume/v3/` },
        ],
        'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.volume+json;version=3' }],
      },
    ],
  }
}
