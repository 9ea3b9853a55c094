/** The scenarios that come with the product: the files of `scenarios/`, by name. */
import { readdirSync, readFileSync } from 'node:fs'
import type { ScenarioDocument } from '../api/scenario.js'
import { parseScenario } from './document.js'

/** Beside the sources, and beside what the build makes of them. */
const FOLDER = new URL('../../scenarios/', import.meta.url)

let library: ReadonlyMap<string, ScenarioDocument> | undefined

/** By name, in the order of the alphabet; read at first use. */
export function scenarioLibrary(): ReadonlyMap<string, ScenarioDocument> {
  if (library !== undefined) return library
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml'))
  const documents = files.sort().map(read)
  library = new Map(documents.map((document) => [document.scenario, document]))
  return library
}

function read(file: string): ScenarioDocument {
  try {
    return parseScenario(readFileSync(new URL(file, FOLDER), 'utf8'))
  } catch (error) {
    throw new Error(`scenarios/${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** What a list says of a scenario. */
export function summaryOf({ scenario, title, source, zoo = [], variants = {}, ...rest }: ScenarioDocument) {
  return { name: scenario, title, source, zoo, variants: Object.keys(variants), with: rest.with ?? {} }
}
