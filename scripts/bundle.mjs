// Draws the modules behind an entry together. What a module imports from another is looked up each time it is
// used; in one file functions lie side by side, and constants stand in the code as the numbers they are
// (ADR 8).
import { build } from 'rolldown'

/** A constant may be worked out from others, which stand in modules of their own: so often it is looked again. */
const PASSES = 5

/**
 * @param {string} root folder of the project, that paths are relative to
 * @param {string[]} entries each lies below `outdir` as it does in the project; what several share lies beside
 *   them, as deep as any module of `src`, so that paths relative to a module hold
 * @param {string} outdir
 */
export async function bundle(root, entries, outdir) {
  await build({
    cwd: root,
    input: Object.fromEntries(entries.map((path) => [path.replace(/\.ts$/, ''), path])),
    // Packages of others stay outside.
    external: /^[^./]/,
    platform: 'node',
    transform: { target: 'node20' },
    optimization: { inlineConst: { mode: 'all', pass: PASSES } },
    logLevel: 'warn',
    output: {
      dir: outdir,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: 'src/shared/[name]-[hash].js',
      sourcemap: true,
    },
  })
}
