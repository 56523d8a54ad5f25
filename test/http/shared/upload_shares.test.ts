import t from 'tap'
import { type RunningUpload, UploadShares } from '../../../src/http/shared/upload_shares.js'

interface TestUpload extends RunningUpload {
  ended: string[]
}

function upload(project: string, bytesPerSecond = 1): TestUpload {
  const ended: string[] = []
  return { project, bytesPerSecond, ended, end: (why) => void ended.push((why as Error & { code: string }).code) }
}

/** How many uploads of a project run after it has begun as many as it may. */
function fill(shares: UploadShares, project: string): number {
  let count = 0
  while (shares.begin(upload(project))) count += 1
  return count
}

t.test('projects that want as many uploads as they may leave places free for those that have none', async (t) => {
  const shares = new UploadShares(128)
  t.same(
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((project) => fill(shares, project)),
    [64, 32, 16, 8, 4, 2, 1, 1],
  )
  t.equal(new UploadShares(1).begin(upload('a')), true)
})

t.test('projects that come and go at once have the same share', async (t) => {
  for (const projects of [2, 3, 7]) {
    const shares = new UploadShares(128)
    const counts = Array.from({ length: projects }, () => 0)
    for (let i = 0; i < 128; i++)
      for (const project of counts.keys())
        if (shares.begin(upload(`${project}`))) counts[project] = (counts[project] ?? 0) + 1
    t.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`)
    t.ok(Math.min(...counts) >= Math.floor(128 / (projects + 1)), `${counts}`)
  }
})

t.test(
  'without a free place the slowest upload of the project that has the most ends for one that has none',
  async (t) => {
    const shares = new UploadShares(4)
    const [fast, slow] = [upload('a', 1000), upload('a', 10)]
    const others = [upload('b', 1), upload('c', 1)]
    for (const one of [slow, fast, ...others]) t.equal(shares.begin(one), true)
    t.equal(shares.begin(upload('b')), false, 'it has one')
    t.equal(shares.begin(upload('d')), true)
    t.same(slow.ended, ['upload_displaced'])
    for (const one of [fast, ...others]) t.same(one.ended, [])
    t.equal(shares.begin(upload('e')), false, 'nobody has more than one')
    shares.end(slow) // it noticed: its place is taken already
    t.equal(shares.begin(upload('e')), false)
    shares.end(fast)
    t.equal(shares.begin(upload('e')), true)
  },
)
