/** Parses `project:user`; undefined if one of the two is missing. */
export function credentialsIn(login: string): { project: string; user: string } | undefined {
  const [, project, user] = /^([^:]+):(.+)$/.exec(login) ?? []
  return project === undefined || user === undefined ? undefined : { project, user }
}
