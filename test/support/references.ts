/** Follows the references of a contract. */

/** Every `$ref` in a document. */
function references(node: unknown): string[] {
  if (typeof node !== 'object' || node === null) return []
  return Object.entries(node).flatMap(([key, value]) =>
    key === '$ref' && typeof value === 'string' ? [value] : references(value),
  )
}

/** Those that lead nowhere. */
export function brokenReferences(document: object): string[] {
  return references(document).filter((ref) => {
    const found = ref
      .slice(2)
      .split('/')
      .reduce<unknown>((node, key) => Object(node)[key.replaceAll('~1', '/')], document)
    return typeof found !== 'object'
  })
}
