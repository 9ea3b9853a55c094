// A coverage reporter for vitest: one line a folder, so that the table still fits a terminal at a hundred files.
const WIDTH = 28
const COLUMNS = ['statements', 'branches', 'functions', 'lines']

const cell = (summary, column) => `${summary[column].pct}`.padStart(12)

module.exports = class CoverageByFolder {
  execute(context) {
    const rows = []
    context.getTree('pkg').visit({
      onSummary: (node) => {
        const summary = node.getCoverageSummary(false).toJSON()
        const name = node.isRoot() ? 'all' : node.getQualifiedName()
        rows.push(name.padEnd(WIDTH) + COLUMNS.map((column) => cell(summary, column)).join(''))
      },
    })
    console.log('folder'.padEnd(WIDTH) + COLUMNS.map((column) => `${column} %`.padStart(12)).join(''))
    console.log(rows.join('\n'))
  }
}
