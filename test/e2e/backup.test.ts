// Incremental backups of a volume that is being written to, by metadata contexts, and what stock tools make of these.

import { mkdtemp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { generations, hostClients, type NbdClients, tool } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(300_000)

const script = fileURLToPath(new URL('../../scripts/incremental-backup', import.meta.url))
const server = await startServerProcess(t)
const environment = await server.environment()
const api = await Api.login(environment)

interface Index {
  since: string | null
  snapshot: string
  extents: [offset: number, length: number, data: boolean][]
}

/** The IDs of all volumes and snapshots, sorted. */
async function present(): Promise<{ volumes: string[]; snapshots: string[] }> {
  const ids = async (kind: 'volumes' | 'snapshots') => (await api.list(kind)).map(({ id }) => id).sort()
  return { volumes: await ids('volumes'), snapshots: await ids('snapshots') }
}

async function incrementalBackup(clients: NbdClients, ...args: string[]): Promise<string> {
  const { exitCode, all } = await execa(...clients.command(script, args), {
    all: true,
    reject: false,
    env: environment,
    timeout: 120_000,
  })
  if (exitCode !== 0) throw new Error(`incremental-backup ${args.join(' ')}: exit status ${exitCode}\n${all}`)
  return all
}

/** Writes, zeroes and trims at random places of the first 64 MiB until it is told to stop; says how often. */
function liveWriter(clients: NbdClients, uri: string, seed: number) {
  const lines = [
    'import nbd, random, select, sys',
    `dice = random.Random(${seed})`,
    'h = nbd.NBD()',
    `h.connect_uri(${JSON.stringify(uri)})`,
    'count = 0',
    'while not select.select([sys.stdin], [], [], 0)[0]:',
    '  at, length = dice.randrange(64 << 20), dice.randrange(1, 8000)',
    '  kind = dice.randrange(8)',
    '  if kind == 0: h.trim(length, at)',
    '  elif kind == 1: h.zero(length, at)',
    '  else: h.pwrite(dice.randbytes(length), at, nbd.CMD_FLAG_FUA)',
    '  count += 1',
    '  if count == 200: print("under way", flush=True)',
    'h.shutdown()',
    'print(count)',
  ]
  return execa(...clients.command('/usr/bin/python3', ['-c', lines.join('\n')]), { reject: false, timeout: 200_000 })
}

for (const clients of generations) {
  t.test(
    `${clients.name}: increments of a volume under writes restore byte for byte, a snapshot deleted in between`,
    async (t) => {
      const seed = Number(process.env.ATOLL_SEED ?? Date.now() % 1_000_000)
      t.comment(`ATOLL_SEED=${seed}`)
      const volume = await api.createVolume({})
      const scratch = await mkdtemp(join(server.scratchDir, 'increments-'))
      const directory = join(scratch, 'backups')
      const before = await present()
      const { uri } = await api.attach(volume)
      const writer = liveWriter(clients, uri, seed)
      const underWay = new Promise<undefined>((resolve) => writer.stdout?.once('data', () => resolve(undefined)))
      const early = await Promise.race([underWay, writer])
      if (early) throw new Error(`the writer ended with status ${early.exitCode}: ${early.stderr}`)
      let between: string | undefined
      for (let number = 0; number < 3; number++) {
        t.comment(await incrementalBackup(clients, 'backup', volume, directory))
        const index = JSON.parse(await readFile(join(directory, `${number}.json`), 'utf8')) as Index
        t.equal(index.since === null, number === 0, 'the first is whole, the others are increments')
        // The snapshot is what the volume was; the operator's door shows it.
        const truth = join(scratch, `truth-${number}`)
        const restored = join(scratch, `restored-${number}`)
        await clients.run('nbdcopy', [server.operatorUri(index.snapshot), truth])
        await incrementalBackup(clients, 'restore', directory, restored)
        await tool('cmp', [truth, restored])
        if (between !== undefined) await api.delete('snapshots', between)
        between = await api.createSnapshot({ volumeId: volume, name: 'between' })
      }
      writer.stdin?.end()
      const { exitCode, stderr } = await writer
      t.equal(exitCode, 0, `the writer met no error ${stderr}`)
      await incrementalBackup(clients, 'restore', directory, join(scratch, 'second'), '1')
      await tool('cmp', [join(scratch, 'truth-1'), join(scratch, 'second')])
      const after = await present()
      t.same(after.volumes, before.volumes, 'the temporary volumes are gone')
      t.equal(
        after.snapshots.length,
        before.snapshots.length + 2,
        'the last backup’s snapshot is left, and the last one between',
      )
    },
  )

  t.test(`${clients.name}: nbdinfo and qemu-img read what changed since a snapshot`, async (t) => {
    const volume = await api.createVolume({})
    const operator = server.operatorUri(volume)
    const write = (...commands: string[]) =>
      clients.run('qemu-io', ['-f', 'raw', ...commands.flatMap((each) => ['-c', each]), operator])
    await write('write -P 1 0 1M')
    const snapshot = await api.createSnapshot({ volumeId: volume })
    await write('write -P 2 64k 8k', 'write -P 3 16M 4k')
    const contexts = await clients.run('nbdinfo', [operator])
    for (const name of ['atoll:depth', 'qemu:allocation-depth', 'atoll:changed-since:', 'qemu:dirty-bitmap:'])
      t.match(contexts, name)
    const expected = [
      [0, 65536, 0],
      [65536, 8192, 1],
      [73728, 16703488, 0],
      [16777216, 4096, 1],
      [16781312, 1056960512, 0],
    ]
    for (const name of [`qemu:dirty-bitmap:${snapshot}`, `atoll:changed-since:${snapshot}`]) {
      const map = JSON.parse(await clients.run('nbdinfo', ['--json', `--map=${name}`, operator])) as Record<
        string,
        number
      >[]
      t.same(
        map.map(({ offset, length, type }) => [offset, length, type]),
        expected,
        name,
      )
    }
    const depth = JSON.parse(await clients.run('nbdinfo', ['--json', '--map=atoll:depth', operator])) as Record<
      string,
      number
    >[]
    t.same(
      depth.map(({ length, type }) => [length, type]),
      [
        [65536, 2],
        [8192, 1],
        [974848, 2],
        [15728640, 0],
        [4096, 1],
        [1056960512, 0],
      ],
    )
    const image = `driver=nbd,server.type=unix,server.path=${server.nbdSocket},export=${volume}`
    const bitmap = `x-dirty-bitmap=qemu:dirty-bitmap:${snapshot}`
    const extents = JSON.parse(
      await clients.run('qemu-img', ['map', '--output=json', '--image-opts', `${image},${bitmap}`]),
    ) as { start: number; length: number; data: boolean }[]
    // In this mode QEMU shows what is dirty as `data: false`.
    t.same(
      extents.map(({ start, length, data }) => [start, length, data ? 0 : 1]),
      expected,
    )
  })
}

t.test('when the snapshot of the backup before is gone, the next backup is whole', async (t) => {
  const volume = await api.createVolume({})
  const directory = join(server.scratchDir, 'gone')
  await incrementalBackup(hostClients, 'backup', volume, directory)
  const read = async (number: number) => JSON.parse(await readFile(join(directory, `${number}.json`), 'utf8')) as Index
  const { snapshot } = await read(0)
  await api.delete('snapshots', snapshot)
  t.match(await incrementalBackup(hostClients, 'backup', volume, directory), /no longer there/)
  t.equal((await read(1)).since, null)
})
