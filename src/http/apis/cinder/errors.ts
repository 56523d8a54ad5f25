/**
 * Errors of the block storage API: `{"itemNotFound": {"code": 404, "message": "…"}}`.
 * The name follows the status (cinder/api/openstack/wsgi, class Fault); what has none is a `computeFault`.
 */

const faultNames: Record<number, string> = {
  400: 'badRequest',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'itemNotFound',
  405: 'badMethod',
  409: 'conflictingRequest',
  413: 'overLimit',
  415: 'badMediaType',
  429: 'overLimit',
  501: 'notImplemented',
  503: 'serviceUnavailable',
}

/** An error that only this API knows; the plugin's error handler formats it. */
export class CinderFault extends Error {
  constructor(
    readonly statusCode: number,
    message: string,
  ) {
    super(message)
    this.name = 'CinderFault'
  }
}

export function faultBody(statusCode: number, message: string): Record<string, { code: number; message: string }> {
  return { [faultNames[statusCode] ?? 'computeFault']: { code: statusCode, message } }
}

export function renderFault(statusCode: number, message: string): { contentType: string; body: string } {
  return { contentType: 'application/json; charset=utf-8', body: JSON.stringify(faultBody(statusCode, message)) }
}

export const badRequest = (message: string): CinderFault => new CinderFault(400, message)
export const notFound = (message: string): CinderFault => new CinderFault(404, message)
