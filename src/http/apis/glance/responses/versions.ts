/** The version document of the images API. */

/**
 * The minor versions that stock clients know. 2.10 brought `os_hash_algo`, `os_hash_value` and `os_hidden`; 2.12 and above bring
 * calls of tasks and stores, which Atoll does not support.
 */
const minors = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]

export function versionsDocument(baseUrl: string): Record<string, unknown> {
  const href = `${baseUrl}/image/v2/`
  return {
    versions: minors.map((minor, i) => ({
      id: `v2.${minor}`,
      status: i === 0 ? 'CURRENT' : 'SUPPORTED',
      links: [{ rel: 'self', href }],
    })),
  }
}
