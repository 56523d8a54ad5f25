/** The query parameters of the Identity API: every list, and what it can be filtered by. */

import type { ParameterTable } from '../../../shared/parameters.js'

/** How a text is compared: `name__contains=x`; those with an `i` do not tell cases apart. */
export const comparisons = ['contains', 'icontains', 'startswith', 'istartswith', 'endswith', 'iendswith'] as const

const name = ['name', ...comparisons.map((comparison) => `name__${comparison}`)]
const projects = [
  ...name,
  'enabled',
  'domain_id',
  'parent_id',
  'is_domain',
  'tags',
  'tags-any',
  'not-tags',
  'not-tags-any',
]

export const identityParameters = {
  '/users': [...name, 'enabled', 'domain_id', 'default_project_id'],
  '/users/:id/projects': projects,
  '/projects': projects,
  '/auth/projects': projects,
  '/domains': [...name, 'enabled'],
  '/auth/domains': [...name, 'enabled'],
  '/roles': [...name, 'domain_id'],
  '/role_assignments': [
    'user.id',
    'group.id',
    'role.id',
    'scope.project.id',
    'scope.domain.id',
    'scope.system',
    'scope.OS-INHERIT:inherited_to',
    'effective',
    'include_names',
    'include_subtree',
  ],
  '/services': ['type', 'name'],
  '/endpoints': ['interface', 'service_id', 'region_id'],
  '/regions': ['parent_region_id'],
  '/auth/tokens': ['nocatalog'],
} as const satisfies ParameterTable
