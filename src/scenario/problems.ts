/** What is wrong with a scenario, by place: for a person with a file and a program with a request. */

export interface ScenarioProblem {
  /** `steps/3`, empty for the document as a whole. */
  readonly path: string
  /** Of the file, from 1; 0 where there is no file. */
  readonly line: number
  readonly message: string
}

export class ScenarioError extends Error {
  constructor(readonly problems: readonly ScenarioProblem[]) {
    super(problems.map(problemText).join('; '))
  }
}

/** `line 12: steps/3: "pots" is no step`. */
export function problemText({ path, line, message }: ScenarioProblem): string {
  return `${line === 0 ? '' : `line ${line}: `}${path === '' ? '' : `${path}: `}${message}`
}

/** A step that cannot be run; becomes a ScenarioError with the step's place. */
export class StepError extends Error {}
