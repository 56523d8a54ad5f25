/**
 * Sharing: an image with the visibility `shared` is seen by its owner and by the projects that are its members. A member sees it by its ID
 * at once, and in lists once it has accepted.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import type { ImageMemberRow, ImageRow } from '../../catalog/schema.js'
import {
  ImageMemberExists,
  ImageMemberLimit,
  ImageMemberNotFound,
  ImageNotShared,
  NotAllowed,
} from '../model/errors.js'
import type { ImageMember, MemberStatus, ProjectCaller } from '../model/records.js'
import { mayWrite } from '../policy/access.js'
import { imageRow, ownImageRow } from './image_rows.js'

/** Glance's image_member_quota. */
const membersMax = 128

export class ImageMembers {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** The owner's view: all of them; a member's: itself. Throws ImageNotFound, ImageNotShared. */
  async list(caller: ProjectCaller, id: string): Promise<ImageMember[]> {
    const { db } = this.#catalog
    const image = mustBeShared(await imageRow(db, caller, id))
    const all = db.selectFrom('image_members').selectAll().where('image_id', '=', image.id).orderBy('member')
    const seen = owns(caller, image) ? all : all.where('member', '=', caller.project.id)
    return (await seen.execute()).map(toMember)
  }

  /** Throws ImageNotFound, ImageNotShared, ImageMemberNotFound. */
  async get(caller: ProjectCaller, id: string, member: string): Promise<ImageMember> {
    const { db } = this.#catalog
    const image = mustBeShared(await imageRow(db, caller, id))
    return toMember(await memberRow(db, caller, image, member))
  }

  /** For the owner. Throws ImageNotFound, NotAllowed, ImageNotShared, ImageMemberExists, ImageMemberLimit. */
  async add(caller: ProjectCaller, id: string, member: string): Promise<ImageMember> {
    return this.#catalog.transaction(async ({ db }) => {
      const image = mustBeShared(await ownImageRow(db, caller, id))
      const members = await db.selectFrom('image_members').selectAll().where('image_id', '=', image.id).execute()
      if (members.some((row) => row.member === member)) throw new ImageMemberExists(member, image.id)
      if (members.length >= membersMax) throw new ImageMemberLimit(members.length + 1, membersMax)
      const now = Date.now()
      const row: ImageMemberRow = { image_id: image.id, member, status: 'pending', created_at: now, updated_at: now }
      await db.insertInto('image_members').values(row).execute()
      return toMember(row)
    })
  }

  /** For the member itself. Throws ImageNotFound, ImageNotShared, ImageMemberNotFound, NotAllowed. */
  async setStatus(caller: ProjectCaller, id: string, member: string, status: MemberStatus): Promise<ImageMember> {
    mayWrite(caller)
    return this.#catalog.transaction(async ({ db }) => {
      const image = mustBeShared(await imageRow(db, caller, id))
      const row = await memberRow(db, caller, image, member)
      if (!caller.isAdmin && caller.project.id !== member)
        throw new NotAllowed('admin, or member of the project that the image is shared with')
      const next = { ...row, status, updated_at: Date.now() }
      await db
        .updateTable('image_members')
        .set(next)
        .where('image_id', '=', image.id)
        .where('member', '=', member)
        .execute()
      return toMember(next)
    })
  }

  /** For the owner. Throws ImageNotFound, NotAllowed, ImageNotShared, ImageMemberNotFound. */
  async remove(caller: ProjectCaller, id: string, member: string): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      const image = mustBeShared(await ownImageRow(db, caller, id))
      await memberRow(db, caller, image, member)
      await db.deleteFrom('image_members').where('image_id', '=', image.id).where('member', '=', member).execute()
    })
  }
}

function mustBeShared(image: ImageRow): ImageRow {
  if (image.visibility !== 'shared') throw new ImageNotShared(image.id, image.visibility)
  return image
}

function owns(caller: ProjectCaller, { owner }: ImageRow): boolean {
  return caller.isAdmin || caller.project.id === owner
}

/** A member knows of itself only. */
async function memberRow(db: Reader, caller: ProjectCaller, image: ImageRow, member: string): Promise<ImageMemberRow> {
  const row =
    owns(caller, image) || caller.project.id === member
      ? await db
          .selectFrom('image_members')
          .selectAll()
          .where('image_id', '=', image.id)
          .where('member', '=', member)
          .executeTakeFirst()
      : undefined
  if (row === undefined) throw new ImageMemberNotFound(member, image.id)
  return row
}

function toMember(row: ImageMemberRow): ImageMember {
  return {
    imageId: row.image_id,
    member: row.member,
    status: row.status,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
