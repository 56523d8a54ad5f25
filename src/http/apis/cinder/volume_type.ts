/**
 * The one volume type, `atoll`: public, and the default. `__DEFAULT__`, the name of the type that a fresh Cinder installation
 * creates, is an alias of it.
 */

export const volumeTypeId = 'd1f6ae5c-8b0e-4a52-9c3f-0a6c7b1e4f20'
export const volumeTypeName = 'atoll'

/** Whether this is a reference to the one volume type: its ID or either of its names. */
export function isVolumeType(nameOrId: string): boolean {
  return nameOrId === volumeTypeId || nameOrId === volumeTypeName || nameOrId === '__DEFAULT__'
}
