import { once } from 'node:events'
import { execa } from 'execa'
import t from 'tap'

/** A program that logs by the real logger to its standard output. */
function program(text: string) {
  const source = `const { createLogger } = await import('./src/lib/log.ts')
    const log = createLogger({ level: 'info' })
    ${text}`
  const node = ['--import', './scripts/lib/typescript_loader.js', '--input-type=module', '--eval', source]
  return execa(process.execPath, node, { reject: false, timeout: 60_000 })
}

const messages = (stdout: string) => stdout.split('\n').map((line) => JSON.parse(line).msg as string)

t.test('no line is lost, whatever its size, up to the exit of the process', async (t) => {
  const { stdout, exitCode } = await program(`
    for (let i = 0; i < 300; i++) log.info('x'.repeat(i * 100))
    setTimeout(() => {
      log.info('the last words')
      process.exit(3)
    }, 1)`)
  t.equal(exitCode, 3)
  t.same(messages(stdout), [...Array.from({ length: 300 }, (_, i) => 'x'.repeat(i * 100)), 'the last words'])
})

t.test('what one turn says is out when the next begins, and a fatal line at once', async (t) => {
  const { stdout } = await program(`
    log.info('a line')
    setImmediate(() => {
      log.warn('is lost with a turn that is killed')
      process.kill(process.pid, 'SIGKILL')
    })`)
  t.same(messages(stdout), ['a line'])
  const fatal = await program(`
    log.fatal('the end')
    process.kill(process.pid, 'SIGKILL')`)
  t.same(messages(fatal.stdout), ['the end'])
})

t.test('a reader that goes away does not end the program', async (t) => {
  const child = program(`
    process.stderr.write('begun')
    process.stdin.once('data', () => {
      log.info('to nobody')
      setImmediate(() => {
        log.info('again')
        setImmediate(() => {
          log.fatal('still')
          process.exit(4)
        })
      })
    })`)
  await once(child.stderr, 'data')
  child.stdout.destroy()
  child.stdin.write('go')
  t.equal((await child).exitCode, 4)
})
