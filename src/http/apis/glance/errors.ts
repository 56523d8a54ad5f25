/**
 * Errors of the images API. Glance leaves them to WebOb, which answers HTML unless the client prefers JSON or takes
 * neither; clients find the explanation in all three (the stock ones strip the tags).
 */

import { STATUS_CODES } from 'node:http'

/** A refusal that only this API knows: thrown by handlers, rendered by the plugin's error handler. */
export class GlanceFault extends Error {
  constructor(
    readonly statusCode: number,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message)
    this.name = 'GlanceFault'
  }
}

interface RenderedFault {
  contentType: string
  body: string
}

/** `accept`: the request's Accept header. */
export function renderFault(statusCode: number, explanation: string, accept: string | undefined): RenderedFault {
  const title = STATUS_CODES[statusCode] ?? 'Error'
  const status = `${statusCode} ${title}`
  const format = preferredFormat(accept)
  if (format === 'json')
    return {
      contentType: 'application/json; charset=UTF-8',
      body: JSON.stringify({ message: explanation, code: status, title }),
    }
  if (format === 'plain') return { contentType: 'text/plain; charset=UTF-8', body: `${status}\n\n${explanation}\n` }
  return {
    contentType: 'text/html; charset=UTF-8',
    body:
      `<html>\n <head>\n  <title>${status}</title>\n </head>\n <body>\n` +
      `  <h1>${status}</h1>\n  ${escapeHtml(explanation)}<br /><br />\n\n\n </body>\n</html>`,
  }
}

/** The better of text/html and application/json by quality, html when they tie; plain text when neither is taken. */
function preferredFormat(accept: string | undefined): 'html' | 'json' | 'plain' {
  if (accept === undefined || accept.trim() === '') return 'html'
  const html = qualityOf(accept, 'text', 'html')
  const json = qualityOf(accept, 'application', 'json')
  if (html === 0 && json === 0) return 'plain'
  return json > html ? 'json' : 'html'
}

/** Quality of the most specific range that covers the type (RFC 9110, 12.5.1); 0 when none does. */
function qualityOf(accept: string, type: string, subtype: string): number {
  let best = { specificity: -1, quality: 0 }
  for (const range of accept.slice(0, 1000).split(',')) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const specificity = [`*/*`, `${type}/*`, `${type}/${subtype}`].indexOf(name)
    if (specificity <= best.specificity) continue
    const q = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1)
    best = { specificity, quality: Number.isFinite(q) ? q : 0 }
  }
  return best.quality
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
