// power_cuts.ts: what scripts/power-cuts does.

import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Cleanup } from '../testkit/power/cleanup.js'
import { chooseCuts, judgeCuts } from '../testkit/power/cuts.js'
import { type FileSystem, fileSystems } from '../testkit/power/disk.js'
import { record } from '../testkit/power/recording.js'

const { values } = parseArgs({
  options: {
    fs: { type: 'string', default: fileSystems.join(',') },
    cuts: { type: 'string', default: '20' },
    'per-recording': { type: 'string', default: '50' },
    seed: { type: 'string', default: randomBytes(4).toString('hex') },
    lives: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    forget: { type: 'string' },
  },
})
const cutsEach = Number(values.cuts)
const perRecording = Number(values['per-recording'])

/** Answers how many of the cuts lost something. */
async function cutsOn(fileSystem: FileSystem): Promise<number> {
  let lost = 0
  for (let done = 0, round = 1; done < cutsEach; done += perRecording, round++) {
    const seed = `${values.seed} ${fileSystem} ${round}`
    const cleanup = new Cleanup()
    try {
      const recording = await record(cleanup, {
        ...{ fileSystem, seed, lives: Number(values.lives), lifeMs: Number(values.seconds) * 1000 },
        ...(values.forget && { forgetting: values.forget }),
      })
      const { writes, flushes, steps } = recording.answered
      const entries = recording.endedAt - recording.mountedAt
      say(
        `${fileSystem}, recording ${round}: ${entries} entries; answered: ${writes} writes, ${flushes} flushes, ${steps} API steps`,
      )
      const cuts = chooseCuts(recording, { count: Math.min(perRecording, cutsEach - done), seed })
      let n = done
      for await (const { position, keep, unflushed, wrong, ms } of judgeCuts(recording, cuts)) {
        n++
        const verdict = wrong.length === 0 ? 'nothing lost' : `LOST: ${wrong.join('\n    ')}`
        say(`  ${n}/${cutsEach} at ${position} (${keep}: ${unflushed}), ${Math.round(ms)} ms: ${verdict}`)
        if (wrong.length > 0) lost++
      }
    } finally {
      await cleanup.run()
    }
  }
  return lost
}

function say(line: string): void {
  console.log(line)
}

say(`seed ${values.seed}`)
const begin = performance.now()
const summary: string[] = []
let lostInAll = 0
for (const name of values.fs.split(',')) {
  const fileSystem = fileSystems.find((each) => each === name)
  if (fileSystem === undefined) throw new Error(`--fs ${name}: one of ${fileSystems.join(', ')} is needed`)
  const lost = await cutsOn(fileSystem)
  lostInAll += lost
  summary.push(`${fileSystem}: ${cutsEach} cuts, ${lost} lost something`)
}
for (const line of summary) say(line)
say(`${Math.round((performance.now() - begin) / 1000)} s`)
process.exitCode = lostInAll === 0 ? 0 : 1
