/** The names of an object. */
export interface ObjectRef {
  projectId: string
  container: string
  object: string
}
