/** Cinder writes times in UTC without a zone and with microseconds: `2026-11-23T22:30:00.000000`. */
export function cinderTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000`
}

export function cinderTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : cinderTime(ms)
}
