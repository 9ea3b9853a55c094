/** Before any test, and again when one is run again: dist is what the sources say. */
import type { TestProject } from 'vitest/node'
import { buildIfOld } from '../../scripts/build-if-old.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Why dist is not what the sources say; empty where it is. */
    notBuilt: string
  }
}

export function setup(project: TestProject): void {
  const build = () => {
    // Tests that run no process need no build: they go on while something else does not compile.
    let why = ''
    try {
      buildIfOld()
    } catch (error) {
      why = String(error)
    }
    project.provide('notBuilt', why)
  }
  build()
  project.onTestsRerun(build)
}
