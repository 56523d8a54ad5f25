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

const users = [...name, 'enabled', 'domain_id', 'default_project_id']
const groups = [...name, 'domain_id']
const domains = [...name, 'enabled']

export const identityParameters = {
  '/users': users,
  '/users/:id/projects': projects,
  '/users/:id/groups': groups,
  '/users/:id/application_credentials': ['name'],
  '/groups': groups,
  '/groups/:id/users': users,
  '/projects': projects,
  '/projects/:id': ['parents_as_list', 'subtree_as_list', 'parents_as_ids', 'subtree_as_ids'],
  '/auth/projects': projects,
  '/domains': domains,
  '/auth/domains': domains,
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
  '/credentials': ['user_id', 'type'],
  '/services': ['type', 'name'],
  '/endpoints': ['interface', 'service_id', 'region_id', 'region'],
  '/regions': ['parent_region_id'],
  '/auth/tokens': ['nocatalog'],
} as const satisfies ParameterTable
