/** A watcher: listens to all of a partition, and counts. */
import type { SynicdStream } from '../client/index.js'
import { connect, type Run, type Target } from './connect.js'

export function watch(run: Run, target: Target): SynicdStream {
  return connect(run, target, {
    kinds: ['message', 'event', 'interrupt'],
    onEvent: (event) => {
      if (event.kind === 'gap') run.troubles.gap(event)
      else if (event.kind === 'restarted') run.troubles.restarted()
      else run.figures.counts.notifications++
    },
  })
}
