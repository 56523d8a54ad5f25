/**
 * Module hooks that load TypeScript files (typescript_loader.js registers them). Each file is transpiled once; the result stays in
 * build/transpiled together with a digest of its inputs, so later test processes only read it.
 *
 * Types are removed, not checked; `npm run typecheck` checks them.
 */

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'build/transpiled')
// Everything but the source that decides the result: these options and the compiler's version.
const maker = createHash('sha256')
  .update(readFileSync(new URL(import.meta.url)))
  .update(readFileSync(join(root, 'node_modules/typescript/package.json')))
  .digest()
const digestLine = '//# transpiledFrom='

/**
 * Relative imports name the JavaScript file that `tsc` would write; the TypeScript file beside it is meant if it exists.
 *
 * @type {import('node:module').ResolveHook}
 */
export function resolve(specifier, context, nextResolve) {
  const parent = context.parentURL
  if (specifier.startsWith('.') && specifier.endsWith('.js') && parent?.endsWith('.ts')) {
    const url = new URL(`${specifier.slice(0, -3)}.ts`, parent)
    if (existsSync(url)) return { url: url.href, format: 'module', shortCircuit: true }
  }
  return nextResolve(specifier, context)
}

/** @type {import('node:module').LoadHook} */
export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context)
  return { format: 'module', source: await transpiled(fileURLToPath(url)), shortCircuit: true }
}

/**
 * Returns the JavaScript of a TypeScript file.
 *
 * @param {string} path
 */
async function transpiled(path) {
  const source = readFileSync(path)
  const digest = createHash('sha256').update(maker).update(source).digest('hex')
  const kept = join(folder, `${relative(root, path)}.js`)
  if (existsSync(kept)) {
    const text = readFileSync(kept, 'utf8')
    if (text.endsWith(digestLine + digest)) return text
  }
  const text = `${await transpile(path, source.toString())}\n${digestLine}${digest}`
  // Test files run in parallel: the file must appear with all of its text.
  const fresh = `${kept}.${process.pid}`
  mkdirSync(dirname(kept), { recursive: true })
  writeFileSync(fresh, text)
  renameSync(fresh, kept)
  return text
}

/**
 * @param {string} path
 * @param {string} source
 */
async function transpile(path, source) {
  const { default: ts } = await import('typescript')
  return ts.transpileModule(source, {
    fileName: pathToFileURL(path).href,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
    },
  }).outputText
}
