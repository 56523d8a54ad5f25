/** The media types of listings, the preferred one first. */

export const listingFormats = ['text/plain', 'application/json', 'application/xml', 'text/xml'] as const
export type ListingFormat = (typeof listingFormats)[number]
