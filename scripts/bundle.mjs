// Draws the modules behind an entry together. What a module imports from another is looked up each time it is
// used; in one file functions lie side by side, and constants stand in the code as the numbers they are
// (ADR 8).
import { buildSync } from 'esbuild'

/**
 * @param {string} root folder of the project, that paths are relative to
 * @param {string[]} entryPoints
 * @param {string} outdir each entry lies there as it does in the project; what several share lies beside them,
 *   as deep below `outdir` as any module of `src`, so that paths relative to a module hold
 */
export function bundle(root, entryPoints, outdir) {
  buildSync({
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
  })
}
