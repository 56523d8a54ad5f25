// certificates.ts: certificate authorities and certificates for tests, made by the openssl command.

import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'

const config = `
[req]
distinguished_name = name
prompt = no
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[ca]
default_ca = register
[register]
database = revoked.txt
default_md = sha256
default_crl_days = 30
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
`

export interface Authority {
  name: string
  /** Path of its certificate. */
  certificate: string
  key: string
}

export interface Certificate {
  certificate: string
  key: string
}

export async function makeAuthority(dir: string, name: string): Promise<Authority> {
  const folder = join(dir, name)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'openssl.cnf'), config)
  const made = { name, certificate: join(folder, 'ca-cert.pem'), key: join(folder, 'ca-key.pem') }
  await openssl(folder, 'authority', made, name, [])
  return made
}

/** Writes NAME-cert.pem and NAME-key.pem into the folder. */
export async function issue(
  authority: Authority,
  use: 'server' | 'client',
  { dir, name }: { dir: string; name: string },
): Promise<Certificate> {
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, 'openssl.cnf'), config)
  const made = { certificate: join(dir, `${name}-cert.pem`), key: join(dir, `${name}-key.pem`) }
  await openssl(dir, use, made, `${name} of ${authority.name}`, ['-CA', authority.certificate, '-CAkey', authority.key])
  return made
}

/** Writes the authority's list of the certificates that it has revoked: these, and those of the calls before. */
export async function revoke(authority: Authority, certificates: string[], list: string): Promise<void> {
  const cwd = join(authority.certificate, '..')
  await appendFile(join(cwd, 'revoked.txt'), '')
  const register = ['ca', '-config', 'openssl.cnf', '-keyfile', authority.key, '-cert', authority.certificate]
  for (const certificate of certificates) await execa('openssl', [...register, '-revoke', certificate], { cwd })
  await execa('openssl', [...register, '-gencrl', '-out', list], { cwd })
}

async function openssl(dir: string, section: string, made: Certificate, name: string, signer: string[]): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', made.key]
  const subject = ['-subj', `/CN=${name}`, '-days', '30', '-sha256']
  const form = ['-config', join(dir, 'openssl.cnf'), '-extensions', section]
  await execa('openssl', ['req', '-x509', ...form, ...key, ...subject, ...signer, '-out', made.certificate])
}
