/** The page's thread that trains: it runs the script and answers with its result, or with the sentence of an error. */

import { type ScriptOptions, trainingScript } from './script.js';

addEventListener('message', (event: MessageEvent<ScriptOptions>) => {
  trainingScript(event.data).then(
    (result) => postMessage({ result }),
    (error: unknown) => {
      const { message, code, hint } = error as { message?: string; code?: string; hint?: string };
      postMessage({ error: { message: message ?? String(error), code, hint } });
    },
  );
});
