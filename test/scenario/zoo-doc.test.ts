/** Pages that are generated, and output in pages that are not, are what the scenarios and rules say. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { invariantsPage, kexecPage, proceduresPage, scenariosPage, zooPage } from '../../scripts/zoo.js'

const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')

it.each([
  ['zoo.md', zooPage],
  ['invariants.md', invariantsPage],
  ['procedures.md', proceduresPage],
  ['kexec.md', kexecPage],
  ['scenarios.md', scenariosPage],
] as const)('docs/%s is up to date', (name, page) => {
  expect(read(name) === page(), `docs/${name} differs from the code: run \`npm run zoo\``).toBe(true)
})
