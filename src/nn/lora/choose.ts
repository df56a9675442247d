/** Choosing the modules that get adapters, as PEFT's `target_modules` does. */

import { TesseraError } from '../../tensor/index.js';
import { matchPaths } from '../paths.js';

/** A linear module that can be adapted. */
export interface LoraModule {
  /** Its published name: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /**
   * The leaves that are its weight, each `[in, out]`; several lie side by side along the outputs, as the query, key and value
   * of GPT-2's `c_attn`.
   */
  readonly paths: readonly string[];
  /** True for heads, which `all-linear` leaves out. */
  readonly isHead?: boolean;
}

/**
 * The modules that `targets` name, in their own order. A target is a whole name, the end of one after a dot (`q_proj`,
 * `self_attn.q_proj`), or a pattern with `*` over whole names (see `matchPaths`); `all-linear` stands for all but heads. A
 * string that is none of these is a regular expression of whole names, as PEFT has it.
 *
 * @throws bad-option for a target that no module has, naming what there is; for none at all.
 */
export function chooseModules(modules: readonly LoraModule[], targets: string | readonly string[]): LoraModule[] {
  if (targets === 'all-linear')
    return nonEmpty(
      modules.filter(({ isHead }) => isHead !== true),
      modules,
      targets,
    );
  if (typeof targets === 'string') {
    const whole = expression(targets);
    return nonEmpty(
      modules.filter(({ name }) => whole.test(name)),
      modules,
      targets,
    );
  }
  const chosen = new Set<LoraModule>();
  for (const target of targets) {
    const found = chooseBy(modules, target);
    for (const module of nonEmpty(found, modules, target)) chosen.add(module);
  }
  if (chosen.size === 0) throw new TesseraError('bad-option', 'No module was named for the adapters.', hintOf(modules));
  return modules.filter((module) => chosen.has(module));
}

function chooseBy(modules: readonly LoraModule[], target: string): readonly LoraModule[] {
  if (target === 'all-linear') return modules.filter(({ isHead }) => isHead !== true);
  if (target.includes('*')) {
    const matches = matchPaths([target]);
    return modules.filter(({ name }) => matches(name));
  }
  return modules.filter(({ name }) => name === target || name.endsWith(`.${target}`));
}

/**
 * The shortest list of PEFT's targets that chooses exactly these modules of all: the last steps of their names, or else
 * their whole names.
 */
export function targetsOf(chosen: readonly LoraModule[], all: readonly LoraModule[]): string[] {
  const ends = [...new Set(chosen.map(({ name }) => name.split('.').at(-1) ?? name))].sort();
  const reached = new Set(ends.flatMap((end) => chooseBy(all, end)));
  return reached.size === chosen.length ? ends : chosen.map(({ name }) => name);
}

/** The distinct last steps of all names. */
function endsOf(modules: readonly LoraModule[]): string[] {
  return [...new Set(modules.map(({ name }) => name.split('.').at(-1) ?? name))];
}

function hintOf(modules: readonly LoraModule[]): { readonly hint: string } {
  return { hint: `There are ${endsOf(modules).join(', ')}, whole names, patterns with *, and all-linear.` };
}

function nonEmpty(found: readonly LoraModule[], modules: readonly LoraModule[], target: string): LoraModule[] {
  if (found.length > 0) return [...found];
  throw new TesseraError('bad-option', `No module is named "${target}".`, hintOf(modules));
}

function expression(source: string): RegExp {
  try {
    return new RegExp(`^(?:${source})$`);
  } catch (cause) {
    throw new TesseraError('bad-option', `"${source}" is no regular expression.`, { cause });
  }
}
