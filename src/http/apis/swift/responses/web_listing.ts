/** Listings of web sites, as HTML. Style sheets of Swift's static web fit: the same ids and classes. */

import type { Listed, ObjectSummary } from '../../../../core/model/records.js'

export interface WebListing {
  title: string
  /** A style sheet, relative to the container unless it is a URL or begins with a slash; empty if there is none. */
  css: string
  /** What the listed names begin with; empty in the container's root. */
  prefix: string
  /** The index page that the site should have; empty if none. */
  index: string
}

type Slices = AsyncIterable<Listed<ObjectSummary>[]>

export const listingPages = { listing, disabled }

/** `pass`: begins the listing from its start. */
async function* listing(page: WebListing, pass: () => Slices): AsyncGenerator<string, void, void> {
  const { prefix, title } = page
  yield `${head(page)}<body>\n<h1 id="title">Listing of ${htmlText(title)}</h1>\n<table id="listing">\n` +
    '<tr id="heading"><th class="colname">Name</th><th class="colsize">Size</th><th class="coldate">Date</th></tr>\n'
  if (prefix !== '') yield row('item', { id: 'parent', href: '../', name: '../' })
  for await (const slice of pass()) {
    const folders = slice.flatMap((line) => (line.kind === 'subdir' ? [line.subdir.slice(prefix.length)] : []))
    yield folders.map((name) => row('item subdir', { href: encoded(name), name })).join('')
  }
  for await (const slice of pass()) {
    const objects = slice.flatMap((line) => (line.kind === 'item' ? [line.item] : []))
    yield objects.map((object) => objectRow(object, prefix)).join('')
  }
  yield '</table>\n</body>\n</html>\n'
}

/** The page of a site that does not list its objects. */
function disabled(page: WebListing): string {
  const index =
    page.index === ''
      ? ''
      : '<h1>Index File Not Found</h1>\n<p>The owner of this web site has set ' +
        `<b>X-Container-Meta-Web-Index: ${htmlText(page.index)}</b>. However, this file is not found.</p>\n`
  return (
    `${head(page)}<body>\n<h1>Web Listing Disabled</h1>\n<p>The owner of this web site has disabled web listing.</p>\n` +
    '<p>If you are the owner of this web site, you can enable web listing by setting X-Container-Meta-Web-Listings.</p>\n' +
    `${index}</body>\n</html>\n`
  )
}

function head({ title, css, prefix }: WebListing): string {
  const style =
    css === ''
      ? '<style>h1 {font-size: 1em} th {text-align: left} th, td {padding: 0 1em} a {text-decoration: none}</style>'
      : `<link rel="stylesheet" type="text/css" href="${htmlText(cssPath(css, prefix))}" />`
  return `<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>Listing of ${htmlText(title)}</title>\n${style}\n</head>\n`
}

function cssPath(css: string, prefix: string): string {
  if (/^(\/|https?:\/\/)/.test(css)) return encodeURI(css)
  return '../'.repeat(prefix.split('/').length - 1) + encoded(css)
}

function objectRow(object: ObjectSummary, prefix: string): string {
  const name = object.name.slice(prefix.length)
  const types = object.contentType.toLowerCase().split('/')
  const classes = ['item', ...types.map((type) => `type-${type}`)].join(' ')
  const date = new Date(object.updatedAt).toISOString().slice(0, 19).replace('T', ' ')
  return row(classes, { href: encoded(name), name, size: humanSize(object.sizeBytes), date })
}

interface Cells {
  id?: string
  href: string
  name: string
  size?: string
  date?: string
}

function row(classes: string, { id, href, name, size = '&nbsp;', date = '&nbsp;' }: Cells): string {
  return (
    `<tr${id === undefined ? '' : ` id="${id}"`} class="${htmlText(classes)}">` +
    `<td class="colname"><a href="${htmlText(href)}">${htmlText(name)}</a></td>` +
    `<td class="colsize">${size}</td><td class="coldate">${date}</td></tr>\n`
  )
}

/** A name as a relative reference: never taken for a scheme, for a colon in it is encoded. */
const encoded = (name: string): string => {
  const path = name.split('/').map(encodeURIComponent).join('/')
  // At the beginning, a slash would lead out of the container.
  return path.startsWith('/') ? `./${path}` : path
}

const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi']

function humanSize(sizeBytes: number): string {
  let [size, unit] = [sizeBytes, 0]
  for (; size >= 1024 && unit < units.length - 1; unit++) size = Math.round(size / 1024)
  return `${size}${units[unit]}`
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#x27;',
}

const htmlText = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character] as string)
