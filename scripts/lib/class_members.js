/**
 * Counts the members of classes: a class with many of them probably has a second subject. `scripts/check-floors` checks the limit,
 * and prints the largest classes with `--largest-classes`.
 *
 * Methods, accessors (a pair counts once), fields and parameter properties are members, private and static ones too; the
 * constructor, overloads and index signatures are not.
 *
 * @typedef {{ path: string, line: number, name: string, members: number }} ClassSize
 */

import ts from 'typescript'

export const maxMembers = 36

/**
 * Returns the classes of one source file, in the order of the source.
 * @param {string} path
 * @param {string} text
 * @returns {ClassSize[]}
 */
export function classesIn(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  /** @type {ClassSize[]} */
  const found = []
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isClassLike(node)) {
      const line = source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1
      found.push({ path, line, name: node.name?.text ?? '(anonymous)', members: membersOf(node, source) })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/**
 * @param {ts.ClassLikeDeclaration} node
 * @param {ts.SourceFile} source
 */
function membersOf(node, source) {
  /** @type {Set<string>} */
  const names = new Set()
  for (const member of node.members) {
    if (ts.isConstructorDeclaration(member)) {
      for (const parameter of member.parameters)
        if (ts.isParameterPropertyDeclaration(parameter, member)) names.add(parameter.name.getText(source))
    } else if (member.name !== undefined) {
      const isStatic =
        ts.canHaveModifiers(member) && (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static) !== 0
      names.add(`${isStatic ? 'static ' : ''}${member.name.getText(source)}`)
    }
  }
  return names.size
}
