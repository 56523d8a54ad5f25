/** The query parameters of the images API. */

import type { ParameterTable } from '../../../shared/parameters.js'

export const glanceParameters = {
  // What is no member of images is the name of a custom property: list_query.ts.
  '/images': 'judged by the call',
} as const satisfies ParameterTable
