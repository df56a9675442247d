/** Ctrl-C: the first one stops the work in good order, the second one ends the process at once. */

/** Listens for SIGINT and SIGTERM; `told` is called at the first. Call `release` when the work is over. */
export function stopSignal(told: () => void): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort();
    told();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    release: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
