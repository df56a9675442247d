/** One call of an engine after another: sessions that answer later (in pages, and on devices) bear only one at a time. */

import type { Engine } from './engine.js';

/** An engine whose calls wait for those before them. */
export function inOrder(engine: Engine): Engine {
  let last: Promise<unknown> = Promise.resolve();
  const after = <A extends readonly unknown[], R>(call: (...inputs: A) => Promise<R>) => {
    return (...inputs: A): Promise<R> => {
      const next = last.then(() => call(...inputs));
      last = next.catch(() => undefined);
      return next;
    };
  };
  return {
    open: after((options) => engine.open(options)),
    load: after((model, plan) => engine.load(model, plan)),
    staysOnDevice: after((program) => engine.staysOnDevice(program)),
    runsOnDevice: after((models) => engine.runsOnDevice(models)),
    ports: after((program) => engine.ports(program)),
    unload: after((program) => engine.unload(program)),
    store: after((values) => engine.store(values)),
    read: after((cells) => engine.read(cells)),
    write: after((cells, values) => engine.write(cells, values)),
    free: after((cells) => engine.free(cells)),
    run: after((request) => engine.run(request)),
    close: after(() => engine.close()),
  };
}
