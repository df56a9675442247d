/**
 * What every test file runs first. Property tests draw from one seed, so that a commit's tests give the same verdict each
 * time; `TESSERA_TEST_SEED=N`, or `=random`, looks elsewhere for counterexamples. One that is found becomes an example.
 */

import { configureGlobal } from 'fast-check';

const chosen = process.env.TESSERA_TEST_SEED;
if (chosen !== 'random') configureGlobal({ seed: chosen === undefined ? 20_260_101 : Number(chosen) });
