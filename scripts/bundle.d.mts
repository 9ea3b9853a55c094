/** See bundle.mjs. */
export function bundle(root: string, entryPoints: string[], outdir: string): Promise<void>
