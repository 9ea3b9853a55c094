// Draws the modules behind an entry together. What a module imports from another is looked up each time it is
// used; in one file functions lie side by side, and constants stand in the code as the numbers they are
// (ADR 8).
import { readFileSync } from 'node:fs'
import { build } from 'esbuild'
import { numbersOf } from './numbers.mjs'

const NUMBERS = '?numbers'

/**
 * esbuild puts a number where it is used if its constant stands in front of all else in its module, imports too:
 * then nobody can use it too early. So the numbers of a module are given a module of their own, each worked
 * out. Lines stay.
 */
const numbersApart = {
  name: 'numbers-apart',
  setup({ onLoad, onResolve }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const numbers = numbersOf(path)
      if (numbers.length === 0) return undefined
      const from = JSON.stringify(path + NUMBERS)
      const all = numbers.map(({ name }) => name)
      const exported = numbers.filter(({ isExported }) => isExported).map(({ name }) => name)
      const links = `import { ${all} } from ${from}; export { ${exported} };`
      const source = numbers.reduceRight(
        (rest, { at, text }) => rest.slice(0, at) + text.replace(/[^\n]/g, '') + rest.slice(at + text.length),
        readFileSync(path, 'utf8'),
      )
      return { contents: `${links} ${source}`, loader: 'ts' }
    })
    onResolve({ filter: /\?numbers$/ }, ({ path }) => ({ path, namespace: 'numbers' }))
    onLoad({ filter: /.*/, namespace: 'numbers' }, ({ path }) => {
      const numbers = numbersOf(path.slice(0, -NUMBERS.length))
      return { contents: numbers.map(({ name, value }) => `export const ${name} = ${value}`).join('\n') }
    })
  },
}

/**
 * @param {string} root folder of the project, that paths are relative to
 * @param {string[]} entryPoints
 * @param {string} outdir each entry lies there as it does in the project; what several share lies beside them,
 *   as deep below `outdir` as any module of `src`, so that paths relative to a module hold
 */
export async function bundle(root, entryPoints, outdir) {
  await build({
    absWorkingDir: root,
    entryPoints,
    outdir,
    outbase: '.',
    chunkNames: 'src/shared/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    minifySyntax: true,
    sourcemap: 'linked',
    logLevel: 'warning',
    plugins: [numbersApart],
  })
}
