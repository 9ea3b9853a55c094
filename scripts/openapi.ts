// Writes openapi.yaml from the schemas: `npm run openapi`.
import { writeFileSync } from 'node:fs'
import { openapiYaml } from '../routes/contract.js'

writeFileSync(new URL('../openapi.yaml', import.meta.url), openapiYaml())
