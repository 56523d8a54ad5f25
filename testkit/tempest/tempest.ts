/**
 * Tempest, OpenStack's own test suite, as the distribution ships it: run against a server, and its results compared with a list of
 * exceptions.
 *
 * A list has two sections, `[does not apply]` and `[not yet]`, and a line `NAME | REASON` for each test that does not pass; a name
 * that ends with `*` stands for all tests whose names begin with it. Every test that is not listed must pass, and a listed test that
 * passes is an error too, so that a list never claims more than is true.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type { TestServer } from '../server.js'

/** Folders of tempest/api. */
export const tempestFamilies = ['identity', 'object_storage', 'image', 'volume'] as const
export type TempestFamily = (typeof tempestFamilies)[number]

export interface TempestResult {
  /** Such as `tempest.api.identity.v3.test_tokens.TokensV3Test.test_validate_token`. */
  name: string
  status: 'passed' | 'failed' | 'skipped'
  /** The end of the traceback, or why it was skipped. */
  reason: string
}

const timeoutMs = 1_100_000

/** Runs all tests of the families, one at a time. Rejects if tempest itself fails. */
export async function runTempest(server: TestServer, families: readonly TempestFamily[]): Promise<TempestResult[]> {
  const scratch = await mkdtemp(join(tmpdir(), 'atoll-tempest-'))
  try {
    await writeFile(join(scratch, 'tempest.conf'), configuration(server, scratch))
    const run = await execa('/usr/bin/python3', [fileURLToPath(new URL('run.py', import.meta.url)), ...families], {
      cwd: scratch,
      env: { HOME: scratch, TEMPEST_CONFIG_DIR: scratch, TEMPEST_CONFIG: 'tempest.conf' },
      reject: false,
      timeout: timeoutMs,
    })
    if (run.exitCode !== 0) throw new Error(`tempest did not end well (${run.exitCode}):\n${run.stderr.slice(-4000)}`)
    return run.stdout.split('\n').map((line) => JSON.parse(line) as TempestResult)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** What tempest is told about the server: its own users and projects are made by the administrator as tests need them. */
function configuration({ url, admin }: TestServer, scratch: string): string {
  return `[DEFAULT]
log_dir = ${scratch}
log_file = tempest.log
[oslo_concurrency]
lock_path = ${scratch}
[auth]
use_dynamic_credentials = True
create_isolated_networks = False
admin_username = ${admin.user}
admin_password = ${admin.password}
admin_project_name = ${admin.project}
admin_domain_name = Default
[identity]
auth_version = v3
uri_v3 = ${url}/v3
region = RegionOne
[identity-feature-enabled]
api_v2 = False
application_credentials = True
access_rules = True
project_tags = True
[service_available]
nova = False
neutron = False
glance = True
cinder = True
swift = True
[object-storage]
operator_role = member
reseller_admin_role = admin
[image]
build_interval = 0
[image-feature-enabled]
import_image = True
[volume]
build_interval = 0
build_timeout = 20
min_microversion = 3.0
max_microversion = latest
`
}

interface Exception {
  name: string
  isPrefix: boolean
}

/** Returns what is wrong with the results, or with the list, as sentences; nothing if all is as listed. */
export function compareWithList(results: readonly TempestResult[], list: string): string[] {
  const { exceptions, problems } = parseList(list)
  const used = new Set<Exception>()
  for (const { name, status, reason } of results) {
    const exception = exceptions.find((each) => (each.isPrefix ? name.startsWith(each.name) : name === each.name))
    if (exception !== undefined) used.add(exception)
    if (exception === undefined && status !== 'passed') problems.push(`${name} ${status}: ${reason}`)
    if (exception !== undefined && status === 'passed') problems.push(`${name} passes: remove it from the list`)
  }
  for (const exception of exceptions) {
    if (!used.has(exception)) problems.push(`${exception.name}: tempest has no such test; remove it from the list`)
  }
  return problems
}

function parseList(list: string): { exceptions: Exception[]; problems: string[] } {
  const exceptions: Exception[] = []
  const problems: string[] = []
  let section: string | undefined
  for (const line of list.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    if (line === '[does not apply]' || line === '[not yet]') {
      section = line
      continue
    }
    const [, name, star, reason] = /^([\w.]+)(\*?) \| (\S.*)$/.exec(line) ?? []
    if (section === undefined || name === undefined || reason === undefined)
      problems.push(`expected a section, or a line "NAME | REASON" in one, got "${line}"`)
    else exceptions.push({ name, isPrefix: star === '*' })
  }
  return { exceptions, problems }
}
