import type { ViewContext } from './context.js'

interface Link {
  rel: 'self' | 'bookmark' | 'next'
  href: string
}

/** Where a thing is: `self` within the version, `bookmark` without it. */
export function linksOf(context: ViewContext, collection: string, id: string): Link[] {
  const path = `${context.projectId === undefined ? '' : `/${context.projectId}`}/${collection}/${id}`
  return [
    { rel: 'self', href: `${context.endpoint}/v3${path}` },
    { rel: 'bookmark', href: `${context.endpoint}${path}` },
  ]
}
