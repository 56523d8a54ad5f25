import { execFileSync } from 'node:child_process'
import t from 'tap'
import { shellQuoted } from '../../src/lib/shell.js'

t.test('a shell reads quoted text back as it is, and runs none of it', async (t) => {
  for (const text of [
    'http://127.0.0.1:8780/v3',
    '',
    "it's",
    "'; echo x; '",
    '$(echo x) `echo x` $HOME "x" \\',
    'a b\tc\nd',
    '* ? [a] ~ # ! & | ; < > ( ) { }',
    '-n',
    'größe',
  ])
    t.equal(execFileSync('sh', ['-c', `printf %s ${shellQuoted(text)}`], { encoding: 'utf8' }), text)
  t.equal(shellQuoted('http://[::1]:8780/v3').at(0), "'", 'brackets are patterns')
  t.equal(shellQuoted('http://cloud.example.org:8780/v3'), 'http://cloud.example.org:8780/v3')
})
