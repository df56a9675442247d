import { defineConfig } from 'vite';

/** Static files that work from any folder of any server. */
export default defineConfig({ base: './', build: { target: 'es2022' } });
