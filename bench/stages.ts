/** All that can be measured, in the order of the report. */

import { type RunnableStage, runnable } from './runner.js'
import { cowStage } from './stages/cow.js'
import { fuaStage } from './stages/fua.js'
import { depthStage, snapshotsStage } from './stages/history.js'
import { deleteStage, imageStage } from './stages/lifecycle.js'
import { listingStage } from './stages/listing.js'
import { memoryStage } from './stages/memory.js'
import { nbdIoStages } from './stages/nbd_io.js'
import { objectsStage } from './stages/objects.js'
import { nothingStage } from './stages/nothing.js'
import { exportsStage, openingStage } from './stages/opening.js'
import { scaleStage } from './stages/scale.js'
import { tlsStage } from './stages/tls.js'

export const stages: RunnableStage[] = [
  ...nbdIoStages.map(runnable),
  runnable(fuaStage),
  runnable(tlsStage),
  runnable(cowStage),
  runnable(depthStage),
  runnable(snapshotsStage),
  runnable(scaleStage),
  runnable(imageStage),
  runnable(deleteStage),
  runnable(nothingStage),
  runnable(openingStage),
  runnable(memoryStage),
  runnable(exportsStage),
  runnable(objectsStage),
  runnable(listingStage),
]
