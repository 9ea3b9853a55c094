// Writes openapi.yaml and asyncapi.yaml from the schemas: `npm run openapi`.
import { writeFileSync } from 'node:fs'
import { asyncapiYaml, openapiYaml } from '../routes/contract.js'

writeFileSync(new URL('../openapi.yaml', import.meta.url), openapiYaml())
writeFileSync(new URL('../asyncapi.yaml', import.meta.url), asyncapiYaml())
